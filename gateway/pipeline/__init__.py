"""From a command record to its one answer, in the order of the way through it.

`command` (what comes in), `intake` (decode and check, by the `rules`), `lanes` (order, latest wins), `execute` (the
attempts at the venue), `doubt` (what became of a call that nobody answered), `answers` (what is said), `brake` (on dead
letters), `settle` (one transaction); `partition` puts them together for one owned input partition, `observer` says what
is told.
It calls venues by `gateway.calls` and knows Kafka only by the ports of `gateway.ownership`.
"""
