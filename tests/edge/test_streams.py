"""Who is told nothing is told that the stream is there, and nobody is looked at for nothing."""

import pytest

from gateway.edge.outlet import Outlet
from gateway.edge.streams import Streams
from gateway.edge.wire import JsonWire
from tests.edge.paper import Instance, Log, Reader, Wire
from tests.kit.clocks import FakeClock

HEARTBEAT = 5.0
MOST = 1_000


class Session:
    """A session as far as `Streams` looks at it."""

    def __init__(self, clock):
        self.told_at = clock.monotonic()
        self.beats = []
        self.looks = 0
        self.ended_with = None
        self.outlet = self
        self.has_unread = False
        self._clock = clock

    def beat(self):
        self.told_at = self._clock.monotonic()
        self.beats.append(self.told_at)

    def look(self, _now):
        self.looks += 1


@pytest.fixture
def clock():
    return FakeClock(0.0)


@pytest.fixture
def streams(clock):
    return Streams(heartbeat=HEARTBEAT, most_per_token=10, hub=lambda: None, clock=clock, observer=None)


def let_pass(streams, clock, seconds, each=lambda: None):
    for _ in range(round(seconds / streams.slot_lasts)):
        clock.advance(streams.slot_lasts)
        each()
        streams.turn()


def test_who_is_told_nothing_gets_a_heartbeat_each_time_it_is_due(streams, clock):
    quiet = Session(clock)
    streams.begin(quiet)
    let_pass(streams, clock, 20.1)
    assert quiet.beats == pytest.approx([5, 10, 15, 20])
    streams.leave(quiet)
    let_pass(streams, clock, 20.0)
    assert len(quiet.beats) == 4


def test_who_is_told_something_gets_one_only_after_it_was_told_nothing_for_as_long(streams, clock):
    busy = Session(clock)
    streams.begin(busy)

    def tell():
        busy.told_at = clock.monotonic()

    let_pass(streams, clock, 22.0, tell)
    assert busy.beats == []
    let_pass(streams, clock, 5.2)
    assert busy.beats == pytest.approx([27], abs=2 * streams.slot_lasts)


def test_who_left_something_unread_is_looked_at_every_turn_and_others_once_a_round(streams, clock):
    reads, stalls = Session(clock), Session(clock)
    stalls.has_unread = True
    streams.begin(reads)
    streams.begin(stalls)
    let_pass(streams, clock, 10.0)
    assert reads.looks == 2
    assert stalls.looks > 20


@pytest.mark.parametrize("mode", ["events", "state"])
async def test_frames_that_say_where_a_reader_stands_count_as_telling_it_and_what_it_is_owed_does_not(mode):
    log, clock = Log(), FakeClock()
    here = Instance(log, monotonic=clock.monotonic)
    here.read()
    reader = await Reader(here, mode=mode).run()
    clock.advance(1.0)
    log.append(0)
    here.read()
    assert reader.subscription.told_at == clock.monotonic()
    if mode == "state":
        reader.wire.is_stalled, reader.wire.stalled = True, bytes(100_000)
        log.append(0)
        here.read()
        assert reader.subscription.told_at < clock.monotonic()


class Stalled:
    def __init__(self):
        self.clock, self.wire, self.given_up = FakeClock(), Wire(), 0
        self.outlet = Outlet(
            self.wire, JsonWire(), self.clock, max_unread_bytes=MOST, max_unread_seconds=10.0, give_up=self._give_up
        )
        self.outlet.may_lag = False

    def _give_up(self):
        self.given_up += 1

    def look(self, seconds):
        self.clock.advance(seconds)
        if self.outlet.has_unread:
            self.outlet.look()


@pytest.fixture
def stalled():
    return Stalled()


def test_a_reader_is_given_up_once_it_left_something_unread_for_too_long(stalled):
    stalled.outlet.write(b"read")
    stalled.look(60.0)
    stalled.wire.is_stalled = True
    stalled.outlet.write(b"unread")
    stalled.look(9.0)
    assert stalled.given_up == 0
    stalled.look(2.0)
    assert stalled.given_up == 1


def test_a_slow_reader_that_goes_on_is_not(stalled):
    stalled.wire.is_stalled = True
    for _ in range(10):
        stalled.outlet.write(b"." * 100)
        stalled.look(6.0)
        stalled.outlet.write(b"." * 100)
        stalled.wire.stalled = stalled.wire.stalled[-100:]
        stalled.look(1.0)
    assert stalled.given_up == 0


def test_a_reader_is_given_up_at_once_where_it_leaves_too_much_unread(stalled):
    stalled.wire.is_stalled = True
    for _ in range(MOST // 100 + 2):
        stalled.outlet.write(b"." * 100)
    assert stalled.given_up == 1
    assert len(stalled.wire.stalled) == MOST + 100
