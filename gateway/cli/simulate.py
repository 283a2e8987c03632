"""`leverage-gateway simulate`: the simulated venues alone."""
