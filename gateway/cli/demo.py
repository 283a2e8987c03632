"""`leverage-gateway demo`: all of it on this machine."""


def demo() -> int | None:
    """See the gateway work: embedded broker, simulated venues, sample commands, and a table of what happened.

    Needs the extra `embedded` (a broker in memory, never durable), no network and no keys.

    ```sh
    leverage-gateway demo
    ```
    """
    from gateway.demo import main  # noqa: PLC0415 - it needs an extra, and without it should fail only when called

    return main()
