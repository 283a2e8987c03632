"""Kafka with group and transactions: `connection`, `topics`, `membership`, `group` (what is owned), `answer_log`."""
