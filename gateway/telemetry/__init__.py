"""Seeing in: `metrics` (all in one list), `logging`, and the `server` that shows health and metrics."""
