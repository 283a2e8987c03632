"""Venues' clocks are measured again in time, and a difference is said once."""

from typing import Any

from gateway.calls.clock_watch import INTERVAL, RETRY, ClockWatch


class Caller:
    """A venue whose clock is right; ours is what the test makes it."""

    class Venue:
        name = "okx"

    venue = Venue()

    def __init__(self, clock: Any) -> None:
        self.clock, self.right = clock, clock.wall() - clock.monotonic()
        self.measured, self.tells = 0, True

    @property
    def clock_offset(self) -> float | None:
        return self.clock.monotonic() + self.right - self.clock.wall() if self.measured else None

    async def measure_clock(self) -> bool:
        self.measured += self.tells
        return self.tells


class Told:
    def __init__(self) -> None:
        self.lines: list[Any] = []

    def missed_venue_clock(self, venue: str) -> None:
        self.lines.append(("missed", venue))

    def compared_clocks(self, venue: str, offset: float, *, differ: bool) -> None:
        self.lines.append((venue, round(offset), differ))


def watching(clock: Any) -> tuple[ClockWatch, Caller, Told]:
    caller, told = Caller(clock), Told()
    return ClockWatch([caller], clock, told), caller, told  # pyright: ignore[reportArgumentType]


async def test_clocks_are_measured_again_every_ten_minutes_and_when_the_wall_clock_is_set(clock):
    watch, caller, _ = watching(clock)
    await watch.measure()
    for _ in range(int(INTERVAL) - 1):
        clock.advance(1.0)
        await watch.look()
    assert caller.measured == 1
    clock.advance(1.0)
    await watch.look()
    assert caller.measured == 2
    clock.set_wall(-3600.0)
    await watch.look()
    await watch.look()
    assert caller.measured == 3


async def test_a_clock_that_nobody_could_read_yet_is_asked_again_soon(clock):
    watch, caller, _ = watching(clock)
    caller.tells = False
    await watch.measure()
    caller.tells = True
    for _ in range(int(RETRY)):
        assert not caller.measured
        clock.advance(1.0)
        await watch.look()
    assert caller.measured == 1


async def test_a_clock_that_is_slewed_is_not_measured_each_second(clock):
    watch, caller, _ = watching(clock)
    await watch.measure()
    for _ in range(100):
        clock.advance(1.0)
        clock.set_wall(0.0005)
        await watch.look()
    assert caller.measured == 1


async def test_a_difference_is_said_once_and_its_end_once(clock):
    watch, _, told = watching(clock)
    await watch.measure()
    assert told.lines == []
    for step in (-3600.0, -5.0, 3605.0, 0.4):
        clock.set_wall(step)
        await watch.look()
        await watch.measure()
    assert told.lines == [("okx", 3600, True), ("okx", 0, False)]


async def test_a_venue_that_does_not_tell_is_said(clock):
    watch, caller, told = watching(clock)
    caller.tells = False
    await watch.measure()
    assert told.lines == [("missed", "okx")]
