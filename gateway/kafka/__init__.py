"""Kafka with group and transactions.

How to connect: `connection`, `credentials`, `tokens`, `bootstrap`. What must be there: `topics`, `history`. What is
owned: `group`, `membership`, `static_member`, `assignment`. Commands come in by `fetch`, `batches` and `inflation`, of
the topic that `commands_topic` and `topic_id` know, by the keys of `partitioner`; answers go out by `answer_log` and
`packing`, and are read back by `tail`. The policy comes by `policy_topic` and `policy_follower`, what it asks of the
past by `past`.
"""
