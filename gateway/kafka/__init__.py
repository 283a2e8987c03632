"""The only room that imports aiokafka: `connection`, `topics`, `group` (what is owned), `claim`, `answer_log`."""
