"""The only room that imports aiokafka: `connection`, `topics`, `group` (owns, fetches, commits), `claim`, `answer_log`."""
