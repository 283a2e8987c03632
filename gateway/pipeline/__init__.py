"""From a command record to its one answer, in the order of the way through it.

`record` (what comes in), `intake` (decode and check), `lanes` (order, latest wins), `execute` and `call` (the attempts
at the venue), `doubt` (what became of a call that nobody answered), `answers` (what is said), `settle` (one
transaction), with `ledger`, `repeats` and `lease` as the pure arithmetic of "exactly once, and only while we own it";
`partition` puts them together for one owned input partition.
It knows Kafka only by the ports in `ports`.
"""
