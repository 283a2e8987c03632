"""Calls to venues: who may call now (`turns`, `slots`, `breaker_lines`), how (`venue_caller`), and what is learned.

`breaker` and `pauses` say for how long nobody calls, `alarms` is one timer for all that wait, `redaction` takes our
secrets out of what a venue says. `venue_clock` measures a venue's clock, `clock_watch` does so again and again,
`published_limits` asks for the limits it publishes, `observer` says what is told of a call. It knows venues, limits and
transport, and no lane and no partition.
"""
