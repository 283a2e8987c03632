"""One owned partition on virtual time: its owner, a venue that answers by script, and answer topics in memory."""

import asyncio
from random import Random

from msgspec import structs

from gateway.ownership.lease import Afterlife, Lease
from gateway.ownership.ledger import Checkpoint, LogPosition
from gateway.ownership.ports import NotOwnerError, OutRecord
from gateway.ownership.repeats import RepeatWindow
from gateway.ownership.takeover import take_over
from gateway.pipeline.partition import Partition
from gateway.pipeline.parts import build_parts
from gateway.settings.tree import KafkaSettings, PipelineSettings, Settings, VenueSettings, VenuesSettings
from schemas import BinanceUsdm, decode_event
from schemas.headers import COMMAND_OFFSET
from tests.kit.answer_log import AnswerTopics, MemoryAnswerLog
from tests.kit.bench import Bench, Quiet, Script, command, record
from tests.kit.world import on_virtual_time


class Topics(MemoryAnswerLog):
    """Both ports in one: what was done, in order, and what the answer topics hold."""

    topic, partition = "t", 3

    def __init__(self, checkpoint=None, *, end=0, answered=(), is_complete=True):
        """`answered`: the offsets of commands that have their events already, and whose they are."""
        super().__init__(AnswerTopics())
        for offset, (key, command_id, at) in answered:
            headers = [(COMMAND_OFFSET, b"%d" % offset)]
            event = OutRecord("events", key.encode(), b'{"command_id": "%s"}' % command_id.encode(), headers)
            self.topics.commit([event], at)
        self.topics.begins = 0 if is_complete else 1
        self.checkpoint = checkpoint or Checkpoint(0, LogPosition(0, 0), clean=True)
        self.done = []
        self.held = True
        self.lose_at = self.fail_at = None
        self._answered_before = len(answered)
        self._end = max([end, *(offset + 1 for offset, _ in answered)])

    @property
    def events(self):
        """Those that the owner wrote."""
        return [decode_event(record.value) for _, record in self.topics.records("events")[self._answered_before :]]

    def grow(self, end):
        """More commands came."""
        self._end = end

    def _do(self, what):
        self.done.append(what)
        if what == self.lose_at:
            self.held = False
        if what == self.fail_at:
            raise TimeoutError

    async def committed(self):
        self._do("committed")
        return self.checkpoint

    async def renew(self, checkpoint):
        self._do("renew")
        self.checkpoint = checkpoint

    async def end(self):
        self._do("end")
        return max(self._end, self.checkpoint.offset)

    async def fence(self):
        self._do("fence")
        await super().fence()

    async def read(self, start, window=None, *, lowest=0):
        self._do("read")
        return await super().read(start, window, lowest=lowest)

    async def write(self, records):
        if not self.held:
            raise NotOwnerError
        return await super().write(records)


class Owner:
    """A partition with a venue that answers by script."""

    def __init__(
        self,
        world,
        topics,
        *script,
        quarantine=1.0,
        max_incomplete=4,
        window=RepeatWindow(100, 600.0),  # noqa: B008 - frozen
        guard=None,
        past=None,
        is_static=False,
        **settings,
    ):
        self.bench = Bench(world, Script(*script), capacity=None, **settings)
        self.topics, self.restored = topics, []
        self.lease = Lease(10.0)
        self.lease.renew(0.0)
        settings = Settings(
            kafka=KafkaSettings(check_partitioner=False, request_timeout_ms=1_000, session_timeout_ms=10_000),
            pipeline=PipelineSettings(max_incomplete=max_incomplete, max_lane_queue=2),
            venues=VenuesSettings(binance_usdm=VenueSettings(deadline=60.0)),
        )
        parts = build_parts(
            settings,
            venues={"binance_usdm": self.bench.venue},
            callers={"binance_usdm": self.bench.caller},
            accounts=self.bench,
            partition_of=lambda _: 0,
            partition_change=lambda: None,
            clock=self.bench.clock,
            observer=Quiet(self.bench.failures),
            guard=None if guard is None else guard(self.bench.clock),
            jitter=Random(0),
        )
        parts = structs.replace(
            parts,
            policy=structs.replace(
                parts.policy,
                topic="t",
                repeat_window=window,
                afterlife=Afterlife(
                    starts=quarantine / 2 if is_static else 0.0, arrives=quarantine, takes_effect=quarantine
                ),
            ),
        )
        self.past = past
        self.parts, self.partition = parts, None
        self.task = asyncio.get_running_loop().create_task(self.own())

    async def own(self):
        """As the group does it: take over, and work."""
        topics, observer = self.topics, self.parts.observer
        inheritance = await take_over(topics, topics, self.parts.policy.repeat_window, observer)
        self.partition = Partition(
            self.parts, inheritance, ownership=topics, log=topics, lease=self.lease, past=self.past
        )
        self.restored.append(self.partition.position)
        await self.partition.run()

    @property
    def told(self):
        return [(event.command_id, getattr(event, "reason", "changed")) for event in self.topics.events]

    @property
    def sent(self):
        return [(at, request.partition("leverage=")[2]) for at, request in self.bench.script.sent]

    def feed(self, *records):
        self.partition.feed(records)

    async def end(self):
        self.task.cancel()
        await asyncio.wait([self.task])


def owning(scenario, topics, *script, **more):
    async def main(world):
        owner = Owner(world, topics, *script, **more)
        await asyncio.sleep(0.01)
        await scenario(owner)
        await owner.end()
        assert not owner.bench.failures

    on_virtual_time(main)


def symbol(number, name, **more):
    return record(command(number, target=BinanceUsdm(symbol=name), **more), number)
