"""The leverage gateway: SetLeverage commands in, venue calls out, exactly one answer each.

The way of a command: `kafka` hands records to `pipeline` (intake, lanes, execute, settle), which asks `limits` for a
permit and `venues` for the signed request, sends it by `transport`, and settles the answer in a transaction.
`app` builds all of it from `settings`.
"""
