"""The only room that imports aiokafka: `connection`, `topics`, `group` (consuming, owning) and `answer_log` (producing)."""
