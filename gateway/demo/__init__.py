"""The gateway at work on one machine, with nothing but Python: embedded broker, simulated venues, sample commands."""
