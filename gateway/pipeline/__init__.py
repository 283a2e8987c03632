"""From a command record to its one answer, in the order of the way through it.

`command` (what comes in), `intake` (decode and check, by the `rules`), `lane` (a pure machine: order, latest wins,
doubt, deadlines), `steps` (what it may want), `again` (whether a call is repeated), `serve` (does the steps),
`read_backs` (asks a venue what a lane has), `fence` (who may call), `obey` (follows the policy), `verdicts` and
`answers` (what is said), `brake` (on dead letters), `settle` (one transaction); `partition` puts them together for one
owned input partition, of the `parts` that all of them share, and `observer` says what is told.
It calls venues by `gateway.calls` and knows Kafka only by the ports of `gateway.ownership`.
"""
