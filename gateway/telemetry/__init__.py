"""Seeing in: what a running gateway says of itself.

`observer` and `policy` turn what the rooms tell into `metrics` (all in one list) and log lines; `sampling` gauges;
`logging` sets up the lines (`own_lines`, `lines`, `repeated`, `secrets`); `journeys` makes spans (`conventions`,
`traces`, `span_export`); `health` judges, and the `server` shows health, metrics and lanes.
"""
