"""The edge, `leverage-gateway serve`: snapshots, a stream and commands for those who do not speak Kafka.

```
events, state ─▶ log ─▶ hub ─▶ groups ─▶ outlets         GET /v1/stream, /v1/events, /v1/leverage
                  │ history ─▶ subscription ─▶ ▲
commands ◀─ publisher ◀─ commands ◀─ door ◀─ tokens      POST /v1/commands
```

`record` (what of a record matters), `position` (where a reader stands), `history` (events in blocks), `hub` (what is
known now), `groups` (who gets the same frames), `subscription` (snapshot, catch-up, live), `log` (the reader of
Kafka); `tokens`, `filters`, `door`, `query` (who may what); `frames`, `wire`, `outlet` (what is written and how);
`session` with `websocket`, `masking` and `sse` (a stream), `streams` (all of them); `publisher`, `commands` (commands
in); `api`, `server`, `observer`, `app`; `documents` (OpenAPI and AsyncAPI, made of all that).
"""
