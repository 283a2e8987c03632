"""Calls to venues: who may call now (`turns`, `slots`, `breaker_lines`), how (`venue_caller`), and what is learned.

`venue_clock` measures a venue's clock, `published_limits` asks for the limits it publishes, `observer` says what is
told of a call. It knows venues, limits and transport, and no lane and no partition.
"""
