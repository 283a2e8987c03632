"""What must hold as a call leaves: lease, clock, date, limits and breaker, looked at until it is on the wire."""

import asyncio

import pytest

from gateway.limits.limit import Cost
from gateway.outcomes import Unavailable
from gateway.transport.messages import WITHDRAWN, HttpReply
from gateway.venues.venue import Call
from schemas import BinanceUsdm
from tests.kit.bench import Bench, Script, incoming, requests, run
from tests.kit.clocks import NOON
from tests.kit.world import on_virtual_time

SET = "POST lane=BTCUSDT&leverage="
LOOK = "GET lane=BTCUSDT"


def test_nothing_is_sent_after_expiry_and_the_refusal_comes_at_once():
    def without_lease(bench):
        bench.leased = False

    bench = run(commands=[incoming(1, deadline=5.0, expires_in=5.0)], prepare=without_lease)
    assert bench.told == [("c1", "expired")]
    assert bench.world.now >= 5.0
    assert bench.event.occurred_at.timestamp() == pytest.approx(NOON + 5.0, abs=0.01)
    assert requests(bench) == []


class SlowConnection:
    """A sender whose connections take a second, given up where they may not."""

    def __init__(self):
        self.sent = []

    async def send(self, request):
        within = request.connect_within
        if within is not None and within < 1.0:
            await asyncio.sleep(within)
            return Unavailable(message="not reached")
        await asyncio.sleep(1.0)
        self.sent.append(request.target)
        return HttpReply(status=200, headers={}, body=b"1")


@pytest.mark.parametrize(("expires_in", "reason"), [(0.5, "expired"), (1.5, "changed")])
def test_a_connection_that_takes_until_expiry_leaves_the_command_unsent_and_expired(expires_in, reason):
    async def main(world):
        bench = Bench(world, SlowConnection(), call_timeout=5.0)
        event = await bench.answer(incoming(1, expires_in=expires_in))
        assert (bench.told, event.attempts) == ([("c1", reason)], len(bench.script.sent))
        assert len(bench.script.sent) == (reason == "changed")

    on_virtual_time(main)


class StoppedWhileConnecting:
    """A sender in a process that is stopped for a second: its connection stands by then, and no timer has rung."""

    def __init__(self):
        self.sent = []

    async def send(self, request):
        await asyncio.sleep(1.0)
        if not request.may_send():
            return WITHDRAWN
        self.sent.append(request.target)
        return HttpReply(status=200, headers={}, body=b"1")


@pytest.mark.parametrize(("expires_in", "reason"), [(0.5, "expired"), (1.5, "changed")])
def test_who_finds_a_connection_that_stands_after_expiry_sends_nothing(expires_in, reason):
    async def main(world):
        bench = Bench(world, StoppedWhileConnecting(), call_timeout=5.0)
        event = await bench.answer(incoming(1, expires_in=expires_in))
        assert (bench.told, event.attempts) == ([("c1", reason)], len(bench.script.sent))
        assert len(bench.script.sent) == (reason == "changed")

    on_virtual_time(main)


def test_without_the_lease_nothing_is_sent():
    def soon(bench):
        bench.leased = False
        asyncio.get_running_loop().call_later(3.0, setattr, bench, "leased", True)

    bench = run(prepare=soon)
    assert bench.told == [("c1", "changed")]
    assert bench.script.sent[0][0] >= 3.0


def test_the_lease_is_looked_at_again_between_signature_and_sending():
    async def main(world):
        bench = Bench(world, Script())
        sign = bench.venue.sign

        def sign_slowly(*arguments):
            bench.leased = False
            asyncio.get_running_loop().call_later(3.0, setattr, bench, "leased", True)
            bench.venue.sign = sign
            return sign(*arguments)

        bench.venue.sign = sign_slowly
        await bench.answer(incoming(1))
        assert bench.told == [("c1", "changed")]
        assert bench.event.attempts == 1
        assert bench.script.sent[0][0] >= 3.0
        assert requests(bench) == [SET + "1"]

    on_virtual_time(main)


def test_a_permit_granted_before_its_scope_froze_is_not_used():
    async def main(world):
        bench = Bench(world, Script(1.0, (429, "5.0")), slots=1, max_attempts=1)
        other = incoming(2, target=BinanceUsdm(symbol="ETHUSDT"))
        bench.admit(incoming(1), other)
        await bench.all_told()
        assert bench.told == [("c1", "rate_limited"), ("c2", "changed")]
        assert bench.script.sent[1][0] >= 6.0

    on_virtual_time(main)


def test_a_call_that_still_connects_when_its_scope_freezes_is_not_sent():
    async def main(world):
        bench = Bench(world, Script())
        frozen = bench.clock.monotonic() + 5.0

        async def connects(request):
            if world.now < 1.0:
                bench.permits.throttle("binance_usdm", "a", "uid_calls", frozen)
                assert not request.may_send()
                return WITHDRAWN
            return await Script().send(request)

        bench.script.send = connects
        await bench.answer(incoming(1))
        assert bench.event.attempts == 1
        assert bench.clock.monotonic() >= frozen

    on_virtual_time(main)


def test_a_public_call_that_still_connects_when_its_scope_freezes_is_not_sent_either():
    async def main(world):
        bench = Bench(world, Script())
        call = Call(purpose="server_time", method="GET", path="/time", costs=(Cost("uid_calls", 1),))

        async def connects(request):
            bench.permits.throttle("binance_usdm", "", "uid_calls", bench.clock.monotonic() + 5.0)
            assert not request.may_send()
            return WITHDRAWN

        bench.script.send = connects
        assert await bench.caller.ask(call, largest_answer_bytes=100) is None

    on_virtual_time(main)


def test_nothing_is_sent_before_the_venues_clock_was_read_once():
    async def main(world):
        bench = Bench(world, Script())
        bench.offset = None

        async def tells(_ask):
            bench.measured += 1
            is_told = bench.measured > 1
            bench.offset = 0.0 if is_told else None
            return is_told

        bench.measure = tells
        await bench.answer(incoming(1))
        assert (bench.measured, len(bench.script.sent), bench.event.attempts) == (2, 1, 1)

    on_virtual_time(main)


def test_who_waits_in_line_when_a_long_ban_comes_is_refused_as_soon_as_it_is_known():
    async def main(world):
        bench = Bench(world, Script(1.0, (429, "600")), capacity=1)
        bench.admit(incoming(1), incoming(2, target=BinanceUsdm(symbol="X"), deadline=60.0))
        await asyncio.sleep(2.0)
        assert bench.told == [("c2", "rate_limited")]
        bench.lanes.close()

    on_virtual_time(main)


def test_who_can_still_make_it_after_a_long_pause_goes_after_it():
    async def main(world):
        bench = Bench(world, Script(1.0, (429, "30")), capacity=1)
        bench.admit(incoming(1), incoming(2, target=BinanceUsdm(symbol="X"), deadline=60.0))
        await bench.all_told()
        assert sorted(bench.told) == [("c1", "changed"), ("c2", "changed")]

    on_virtual_time(main)


def test_an_open_breaker_holds_calls_back_and_a_probe_closes_it():
    bench = run(*[(503, "unavailable")] * 3, breaker_failures=2, breaker_reset=4.0, max_attempts=9)
    times = [at for at, _ in bench.script.sent]
    assert bench.told == [("c1", "changed")]
    assert times[2] - times[1] >= 4.0
    assert times[3] - times[2] == pytest.approx(4.0)
