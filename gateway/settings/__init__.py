"""The settings: one tree of values (`tree`), read from file and environment (`file`), checked further (`checks`)."""
