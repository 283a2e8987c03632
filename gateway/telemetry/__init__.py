"""Seeing in: `metrics` (all in one list), `logging`, `tracing`, and the `server` that shows health and metrics."""
