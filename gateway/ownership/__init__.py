"""What is owned, and what is answered of it: the arithmetic of "exactly once, and only while we own it".

`ports` (what is asked of Kafka), `takeover` (how a new owner learns what is answered), `ledger` (what is unanswered),
`fingerprint` (which command an answer is of), `repeats` (what was answered lately), `lease` (until when calls start).
"""
