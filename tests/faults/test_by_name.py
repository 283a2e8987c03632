"""Every fault that the simulator can produce, by its name: the calls that it costs, the event, and what the venue has.

All settings and limits are the real ones; time jumps.
"""

import pytest

from gateway.simulator.faults import KINDS, Kind
from schemas import LeverageChanged, LeverageRejected, VenueName
from tests.faults.desk import Desk, open_desk
from tests.kit.jumping import clock, jumping_over_sockets

HITS = [pytest.param(kind, venue, id=f"{kind.name}-{venue}") for kind in KINDS for venue in kind.venues]
CALL_TIMEOUT = 5.0

# Once: the second call, or the read-back after the first, settles it. A changed key is a person's work.
UNHARMED = {"latency", "latency_before"}
SEEN = {"reset_after", "black_hole_after", "truncated", "html", "empty"}  # applied: reading back shows it
STOPS = {"key_revoked"}
# Two calls at least so far apart: what the venue asked for, or how long the first might still take effect.
DOUBTFUL = {"reset_before", "black_hole_before", "outage", "okx_50004", "okx_50026"}
TOLD_DOUBTFUL = {"unknown_503", "unexpected_500", "timeout_504", "timeout_408"}
PAUSES = {"too_many": 2.0, "okx_50011": 2.0, "ban": 20.0, **dict.fromkeys(DOUBTFUL | TOLD_DOUBTFUL, CALL_TIMEOUT)}

# For good: what is known in the end.
REASONS = {
    "outage": "outcome_unknown",  # no read-back either
    "too_many": "rate_limited",
    "okx_50011": "rate_limited",
    "ban": "rate_limited",
    "key_revoked": "unauthorised",
}
SURE_AT_MARGIN = {"protected_503", "waf", "too_many", "ban", "key_revoked"}  # of what follows, nothing can be read back
BREAKING = {"service_unavailable_503", "internal_503", "protected_503", "okx_50001", "okx_50013", "waf"}


@pytest.fixture(autouse=True)
def seldom_looks(monkeypatch: pytest.MonkeyPatch):
    """A call in a black hole need not look 20 times a second whether its caller is gone: each look is a jump."""
    monkeypatch.setattr("gateway.simulator.server.BLACK_HOLE_LOOK", 1.0)


def seconds_of(kind: Kind) -> float | None:
    return 20.0 if kind.name == "ban" else None


def no_call_overlaps(desk: Desk, venue: VenueName) -> bool:
    calls = desk.calls(venue)
    # The simulator finds out a little late that the caller of a call in a black hole is gone.
    ends = [min(call.finished_at or 0, call.received_at + CALL_TIMEOUT) for call in calls]
    return all(end <= other.received_at for end, other in zip(ends, calls[1:], strict=False))


@pytest.mark.parametrize(("kind", "venue"), HITS)
@jumping_over_sockets
async def test_a_fault_that_hits_once(kind: Kind, venue: VenueName):
    async with open_desk(clock(), [("desk", venue)]) as desk:
        fault = desk.fault(kind.name, venue, seconds=seconds_of(kind), calls=None if kind.name == "clock_skew" else 1)
        event = await desk.ask(venue, 5)
        calls = desk.calls(venue)
        if kind.name in STOPS:
            assert isinstance(event, LeverageRejected)
            assert (event.reason, len(calls), desk.final(venue)) == ("unauthorised", 1, None)
            return
        reads_back = venue != "binance_margin"
        once = kind.name in UNHARMED or (kind.name in SEEN and reads_back)
        assert isinstance(event, LeverageChanged)
        assert event.certainty == ("read_back" if kind.name in SEEN and reads_back else "confirmed")
        assert [call.value for call in calls] == (["5"] if once else ["5", "5"])
        assert event.attempts == len(calls)
        assert desk.final(venue) == "5"
        assert no_call_overlaps(desk, venue)
        assert once or calls[1].received_at - calls[0].received_at >= PAUSES.get(kind.name, 0.0)
        assert fault.calls in {0, None}


@pytest.mark.parametrize(("kind", "venue"), HITS)
@jumping_over_sockets
async def test_a_fault_that_stays_is_told_as_what_it_is_and_once_it_ends_the_next_command_goes_through(
    kind: Kind, venue: VenueName
):
    async with open_desk(clock(), [("desk", venue)]) as desk:
        desk.fault(kind.name, venue)
        event = await desk.ask(venue, 10)
        calls = desk.calls(venue)
        reads_back = venue != "binance_margin"
        assert set(desk.values(venue)) == {"10"}
        assert event.attempts == len(calls) <= 5
        assert no_call_overlaps(desk, venue)
        if kind.name in UNHARMED | {"clock_skew"} or (kind.name in SEEN and reads_back):
            assert isinstance(event, LeverageChanged)
            assert len(calls) == (2 if kind.name == "clock_skew" else 1)
        else:
            assert isinstance(event, LeverageRejected)
            unknown = not reads_back and kind.name not in SURE_AT_MARGIN
            assert event.reason == ("outcome_unknown" if unknown else REASONS.get(kind.name, "venue_unavailable"))
            assert event.dead_lettered
            again = event.reason == "rate_limited" or (event.reason == "venue_unavailable" and kind.name in BREAKING)
            assert (event.retry_at is not None) == again
        assert desk.final(venue) == ("10" if kind.applied or kind.name == "clock_skew" else None)
        if kind.name in STOPS:
            return  # told apart below
        desk.simulator.faults.clear()
        event = await desk.ask(venue, 5, expires_in=600.0)
        assert isinstance(event, LeverageChanged)
        assert desk.final(venue) == "5"
