"""One subscription on paper: no gap and no double, wherever it is cut and whichever instance it comes back to."""

import asyncio
import random

import pytest

from gateway.edge.tokens import Rights
from tests.edge.paper import ALL, PARTITIONS, Instance, Log, Reader


@pytest.fixture
def log():
    return Log()


@pytest.fixture
def here(log):
    return Instance(log)


def by_partition(event_ids):
    return {p: [one for one in event_ids if one.split("/")[1] == str(p)] for p in range(PARTITIONS)}


async def test_a_fresh_reader_gets_a_snapshot_and_then_what_comes(log, here):
    log.append(0, lane=1)
    log.append(0, lane=1)
    log.append(1, lane=2, is_change=False)
    here.read()
    reader = await Reader(here).run()
    log.append(2)
    here.read()
    kinds = [frame["type"] for frame in reader.frames]
    assert kinds == ["snapshot", "live", "event"]
    assert [row["event_id"] for row in reader.frames[0]["lanes"]] == ["c/0/2"]
    assert reader.frames[1]["resumed"] is False
    assert reader.events == ["c/2/0"]


@pytest.mark.parametrize("mode", ["events", "state"])
async def test_a_reader_that_comes_back_gets_what_it_missed_and_no_snapshot(log, here, mode):
    here.read()
    reader = await Reader(here, mode=mode).run()
    reader.cut()
    missed = [log.append(number % 3, lane=number).face.event_id for number in range(9)]
    here.read()
    back = await Reader(here, mode=mode, resume=reader.position).run()
    assert sorted(back.events) == sorted(missed)
    assert (back.frames[-1]["type"], back.frames[-1]["resumed"]) == ("live", True)
    assert "snapshot" not in {frame["type"] for frame in back.frames}


async def test_an_instance_that_is_behind_comes_up_to_the_position_first(log, here):
    there = Instance(log)
    event = log.append(0)
    there.read()
    position = (await Reader(there).run()).position
    back = Reader(here, resume=position)
    running = asyncio.create_task(back.run())
    await asyncio.sleep(0.05)
    assert back.frames == []
    here.read()
    await running
    assert (back.events, back.frames[-1]["resumed"]) == ([], True)
    assert event.face.event_id not in back.events


@pytest.mark.parametrize("what", ["forged", "other rights", "other log", "gone"])
async def test_where_it_cannot_go_on_without_a_gap_there_is_a_new_snapshot(log, here, what):
    log.append(0)
    here.read()
    narrow = Rights(["desk-0"])
    position = (await Reader(here, rights=narrow if what == "other rights" else ALL).run()).position
    if what == "forged":
        position = "A" + str(position)[:-1]
    if what == "other log":
        here = Instance(log, log_id=b"made anew")
        here.read()
    if what == "gone":
        here.hub.history.begins = [10**6] * PARTITIONS
    back = await Reader(here, resume=position).run()
    assert [frame["type"] for frame in back.frames] == ["snapshot", "live"]
    assert back.frames[-1]["resumed"] is False


async def test_a_position_of_before_the_end_of_the_snapshot_is_none(log, here):
    for lane in range(1200):
        log.append(0, lane=lane)
    here.read()
    reader = Reader(here)
    reader.wire.is_stalled = True
    running = asyncio.create_task(reader.run())
    await asyncio.sleep(0.05)
    assert reader.subscription.stands is None  # a reader who keeps it and is cut loses nothing
    reader.wire.go_on()
    await running
    assert reader.subscription.stands == here.hub.offsets
    pages = [frame for frame in reader.frames if frame["type"] == "snapshot"]
    assert [page["more"] for page in pages] == [True] * (len(pages) - 1) + [False]
    assert sum(len(page["lanes"]) for page in pages) == 1200


class Traveller:
    """A reader that is cut again and again, and comes back to whichever instance with the last position it has."""

    def __init__(self, luck, log, instances):
        self.luck = luck
        self.log = log
        self.instances = instances
        self.delay = luck.choice([0, 0, 50])
        self.got = []
        self.kept = None
        self.reader = None

    def let_time_pass(self):
        for _ in range(self.luck.randrange(4)):
            self.log.append(self.luck.randrange(3), lane=self.luck.randrange(5), is_change=self.luck.random() < 0.8)
        for instance in self.instances:
            if self.luck.random() < 0.6:
                instance.read(self.luck.choice([1, 3, 10**9]))
            if self.luck.random() < 0.5:
                instance.fire()

    async def connect(self):
        instance = self.luck.choice(self.instances)
        if self.kept is not None:
            instance.read()  # else it waits
        self.reader = await Reader(instance, resume=self.kept, delay_ms=self.delay).run()
        assert self.kept is None or self.reader.frames[-1]["resumed"]

    def cut(self):
        """Anywhere in what was written: the rest is lost on the way; or after a heartbeat."""
        frames = self.reader.frames
        upto = self.luck.randrange(len(frames) + 1)
        if upto == len(frames) and self.luck.random() < 0.5:
            stands = self.reader.subscription.stands
            frames.append(
                {"type": "heartbeat", "position": self.reader.instance.hub.positions.write(stands, ALL.digest)}
            )
            upto += 1
        self.reader.cut()
        self.take(frames[:upto])
        self.reader = None

    def take(self, frames):
        self.got += [frame["event"]["event_id"] for frame in frames if frame["type"] == "event"]
        self.kept = next((one["position"] for one in reversed(frames) if one.get("position")), self.kept)
        if self.kept is None:
            self.got = []

    async def arrive(self):
        if self.reader is None:
            await self.connect()
        self.reader.instance.read()
        self.reader.instance.fire()
        self.take(self.reader.frames)


@pytest.mark.parametrize("seed", range(60))
async def test_cut_at_random_it_gets_every_event_once_and_in_order(log, seed):
    luck = random.Random(seed)
    traveller = Traveller(luck, log, [Instance(log, most=luck.choice([50, 10_000])) for _ in range(2)])
    for _ in range(200):
        traveller.let_time_pass()
        if traveller.reader is None:
            await traveller.connect()
        elif luck.random() < 0.2:
            traveller.cut()
    await traveller.arrive()
    assert len(traveller.got) > 100
    for partition, told in by_partition(traveller.got).items():
        whole = [event.face.event_id for event in log.partitions[partition]]
        assert told == whole[len(whole) - len(told) :]


async def test_events_go_to_whom_they_concern_only(log, here):
    here.read()
    mine = await Reader(here, accounts=["desk-0"]).run()
    allowed = await Reader(here, rights=Rights(["desk-1"])).run()
    lanes = await Reader(here, lanes=["L3"], venues=["binance_usdm"]).run()
    for partition in range(3):
        log.append(partition, lane=partition + 2)
    here.read()
    assert (mine.events, allowed.events, lanes.events) == (["c/0/0"], ["c/1/0"], ["c/1/0"])


async def test_who_leaves_too_much_unread_is_given_up_at_the_last_position_it_has(log, here):
    here.read()
    reader = await Reader(here, max_unread_bytes=2_000).run()
    other = await Reader(here).run()
    reader.wire.is_stalled = True
    for number in range(50):
        log.append(0, lane=number)
        here.read()
        if reader.given_up:
            break
    assert reader.given_up == 1
    assert len(reader.wire.stalled) < 3_000
    assert len(other.events) == number + 1
    last = here.hub.positions.write(reader.subscription.stands, ALL.digest)
    reader.wire.go_on()
    here.read()
    back = await Reader(here, resume=reader.position).run()
    assert reader.events + back.events == other.events
    assert here.hub.positions.read(last, ALL.digest) is not None


async def test_in_mode_state_a_reader_that_does_not_read_is_owed_the_newest_of_each_lane_only(log, here):
    here.read()
    reader = await Reader(here, mode="state").run()
    reader.wire.is_stalled = True
    reader.wire.stalled = b"\0" * 100_000
    for number in range(3_000):
        log.append(number % 3, lane=number % 7)
        here.read()
    assert len(reader.wire.stalled) == 100_000
    stood = reader.subscription.stands
    assert stood == (0, 0, 0)
    reader.wire.stalled = b""
    reader.wire.go_on()
    here.hub.groups.pay()
    newest = {}
    for events in log.partitions:
        newest |= {one.lane: one.face.event_id for one in events}
    assert sorted(reader.events) == sorted(newest.values())
    assert reader.subscription.stands == here.hub.offsets
    assert reader.given_up == 0
    positions = [frame["position"] for frame in reader.frames if frame["type"] == "state"]
    assert (
        len(set(positions[:-1])) == 1
    )  # what is older may come after what is newer: only the last one says where it stands
    assert here.hub.positions.read(positions[0], ALL.digest) == stood


async def test_a_delay_gathers_frames_and_in_mode_state_only_the_newest_of_each_lane(log, here):
    here.read()
    every = await Reader(here, delay_ms=100).run()
    newest = await Reader(here, mode="state", delay_ms=100).run()
    for _ in range(5):
        last = log.append(0, lane=1)
        here.read()
    assert every.events == newest.events == []
    assert every.subscription.stands == newest.subscription.stands == (0, 0, 0)
    here.fire()
    assert len(every.events) == 5
    assert newest.events == [last.face.event_id]


async def test_who_joins_while_frames_gather_does_not_get_them_a_second_time(log, here):
    here.read()
    first = await Reader(here, delay_ms=100).run()
    event = log.append(0, is_change=False)
    here.read()
    second = await Reader(here, delay_ms=100, resume=first.position).run()
    here.fire()
    assert first.events == second.events == [event.face.event_id]


async def test_the_same_bytes_go_to_all_who_may_see_the_same(log, here):
    here.read()
    readers = [await Reader(here).run() for _ in range(5)]
    written = []
    for reader in readers:
        reader.wire.write = written.append
    log.append(0)
    here.read()
    assert len(written) == 5
    assert len({id(data) for data in written}) == 1


async def test_events_read_back_for_many_are_read_once(log):
    for number in range(3_000):
        log.append(0, lane=number % 9)
    here = Instance(log, start=4096)
    log.append(0)
    here.read()
    position = here.hub.positions.write((100, 4096, 4096), ALL.digest)
    readers = [Reader(here, resume=position) for _ in range(50)]
    await asyncio.gather(*(reader.run() for reader in readers))
    wanted = [event.face.event_id for event in log.partitions[0] if event.offset >= 100]
    assert all(reader.events == wanted for reader in readers)
    assert log.reads == 4
