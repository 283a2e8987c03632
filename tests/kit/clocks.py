"""A clock that stands still until it is told: what tests hand in wherever a `gateway.clock.Clock` is asked for."""

NOON = 1_795_262_400.0  # 2026-11-21T12:00:00Z


class FakeClock:
    """Both readings of time, moved by hand."""

    def __init__(self, monotonic: float = 1000.0, wall: float = NOON) -> None:
        self._monotonic = monotonic
        self._wall = wall

    def monotonic(self) -> float:
        return self._monotonic

    def wall(self) -> float:
        return self._wall

    def set_wall(self, step: float) -> None:
        """As somebody sets the machine's clock."""
        self._wall += step

    def advance(self, seconds: float) -> None:
        self._monotonic += seconds
        self._wall += seconds
