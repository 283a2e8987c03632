"""`leverage-gateway demo`: all of it on this machine."""

from gateway.demo import main


def demo() -> int | None:
    """See the gateway work: embedded broker, simulated venues, sample commands, and a table of what happened.

    Needs the extra `embedded` (a broker in memory, never durable), no network and no keys.

    Example:
        leverage-gateway demo
    """
    return main()
