"""What is owned, and what is answered of it: the pure arithmetic of "exactly once, and only while we own it".

`ports` (what is asked of Kafka), `ledger` (what is unanswered), `repeats` (what was answered lately), `lease` (until
when calls may start).
"""
