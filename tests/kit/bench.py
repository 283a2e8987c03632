"""Commands, records and parts for the pipeline's tests, on the virtual time of `tests.kit.world`."""

import asyncio
from collections.abc import Coroutine
from decimal import Decimal
from random import Random
from typing import Any

from gateway.calls.venue_caller import VenueCaller
from gateway.limits.limit import LimitPolicy
from gateway.limits.permits import Permits
from gateway.outcomes import Ambiguous, Refusal, Unavailable
from gateway.pipeline.answers import Answer
from gateway.pipeline.command import Command, CommandRecord
from gateway.pipeline.lane import Lane
from gateway.pipeline.parts import lane_policy
from gateway.pipeline.serve import LaneServer
from gateway.pipeline.steps import Tell
from gateway.pipeline.verdicts import Verdicts
from gateway.settings.tree import VenueSettings
from gateway.transport.messages import LIMITED, HttpReply, HttpRequest
from gateway.venues.credentials import Credentials
from schemas import BinanceUsdm, Event, SetLeverage, Target, Timestamp, VenueName, encode
from schemas.codec import JSON, ContentType
from schemas.targets import lane_of
from tests.kit.clocks import NOON
from tests.kit.world import LoopClock, World, on_virtual_time
from tests.simulation.gateway import Key
from tests.simulation.venue import PaperVenue

LANE = BinanceUsdm(symbol="BTCUSDT")


def command(
    number: int = 1,
    *,
    leverage: object = None,
    target: Target = LANE,
    expires_in: float | None = None,
    account: str = "a",
) -> SetLeverage:
    return SetLeverage(
        command_id=f"c{number}",
        account=account,
        leverage=Decimal(str(number if leverage is None else leverage)),
        target=target,
        expires_at=None if expires_in is None else Timestamp.from_epoch(NOON + expires_in),
    )


def record(asked: SetLeverage, offset: int = 0, *, encoding: ContentType = JSON, partition: int = 0) -> CommandRecord:
    headers = (("content-type", encoding.encode()),)
    return CommandRecord(partition, offset, int(NOON * 1000), asked.key.encode(), encode(asked, encoding), headers)


def incoming(number: int = 1, *, deadline: float = 1e9, offset: int | None = None, **more: Any) -> Command:
    asked = command(number, **more)
    place = number if offset is None else offset
    return Command(
        record=record(asked, place),
        command=asked,
        lane=lane_of(asked.account, asked.target),
        content_type=JSON,
        received_at=0.0,
        deadline=deadline,
    )


class Script:
    """A sender that gives prepared answers: a status with a text, an outcome, or seconds to wait before the next."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.sent: list[tuple[float, str]] = []

    async def send(self, request: HttpRequest) -> HttpReply | Unavailable | Ambiguous:
        loop = asyncio.get_running_loop()
        self.sent.append((loop.time(), f"{request.method} {request.target.partition('&account')[0]}"))
        answer = (
            self.answers.pop(0) if self.answers else (200, request.target.partition("leverage=")[2].partition("&")[0])
        )
        while isinstance(answer, float):
            await asyncio.sleep(answer)
            answer = self.answers.pop(0)
        if isinstance(answer, tuple):
            headers = {"Retry-After": str(answer[1])} if answer[0] in LIMITED else {}
            return HttpReply(status=answer[0], headers=headers, body=str(answer[1]).encode())
        return answer


class Bench:
    """Lanes with everything around them; what they tell is in `answers`, committed `commit_delay` later, or by `commit`."""

    def __init__(
        self,
        world: World,
        script: Any,
        *,
        capacity: int | None = 100,
        reads_back: bool = True,
        slots: int = 8,
        **settings: Any,
    ) -> None:
        self.world = world
        self.clock = LoopClock(world)
        self.script = script
        self.leased = True
        self.crowded = False
        self.stopped: list[str] = []
        self.keys: Refusal | None = None
        self.answers: list[Answer] = []
        self.failures: list[BaseException] = []
        self.measured = 0
        permits = self.permits = Permits(self.clock)
        self.venue = PaperVenue("binance_usdm", capacity, reads_back=reads_back)
        permits.register(
            "binance_usdm", self.venue.limits, {"uid_calls": LimitPolicy(assume_spent=False)}, call_timeout=1.0
        )
        self.caller = VenueCaller(
            self.venue,
            VenueSettings(
                **({"call_timeout": 1.0, "settles_within": 0.0, "backoff_base": 0.1, "backoff_cap": 0.4} | settings)
            ),
            sender=script,
            venue_time=self,
            keys=self,
            permits=permits,
            clock=self.clock,
            max_in_flight=slots,
            observer=Quiet(self.failures),
        )
        self.tasks: set[asyncio.Task[None]] = set()
        self.commit_delay: float | None = 0.0
        self.changed = asyncio.Event()
        self.uncommitted: list[Command] = []
        self.verdicts = Verdicts(topic="t", callers={"binance_usdm": self.caller}, clock=self.clock)
        self.lanes = LaneServer(
            policies={"binance_usdm": lane_policy(self.caller, Random(0))},
            callers={"binance_usdm": self.caller},
            accounts=self,
            clock=self.clock,
            fence=self,
            is_crowded=lambda _: self.crowded,
            is_expired=self.verdicts.is_expired,
            tell=self.tell,
            spawn=self.spawn,
            observer=Quiet(self.failures),
        )

    def may_set(self, _call_timeout: float) -> bool:
        return self.leased

    may_read = may_set

    def spawn(self, call: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(call)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def tell(self, tell: Tell) -> None:
        self.answers.append(self.verdicts.answer(tell))
        self.uncommitted.append(tell.command)
        if self.commit_delay is not None:
            asyncio.get_running_loop().call_later(self.commit_delay, self.commit, 1)

    def commit(self, count: int | None = None) -> None:
        """What was told first, or everything by now, is in the log."""
        committed, self.uncommitted = self.uncommitted[:count], self.uncommitted[len(self.uncommitted[:count]) :]
        for one in committed:
            lane = self.lanes.committed(one.lane, one.offset)
            if lane is not None:
                self.lanes.advance(lane)
        self.changed.set()

    def admit(self, *commands: Command, is_inherited: bool = False) -> Lane:
        """Let commands come, all at once, as a fetch brings them; the last one's lane."""
        lanes: list[Lane] = []
        for one in commands:
            lanes.append(self.lanes.lane(one.lane))
            lanes[-1].admit(one, is_inherited=is_inherited)
        for lane in lanes:
            self.lanes.advance(lane)
        return lanes[-1]

    async def answer(self, *commands: Command) -> Event:
        self.admit(*commands)
        await self.all_told()
        return self.event

    async def all_told(self) -> None:
        """Wait until no lane has anything left to do."""
        while any(not lane.is_idle for lane in self.lanes):
            self.changed.clear()
            await self.changed.wait()

    @property
    def event(self) -> Event:
        event = self.answers[-1].event
        assert event is not None
        return event

    @property
    def told(self) -> list[tuple[str, str]]:
        events = [answer.event for answer in self.answers if answer.event is not None]
        return [(event.command_id, getattr(event, "reason", "changed")) for event in events]

    def wall(self) -> float:
        return self.clock.wall()

    def timestamp_ms(self) -> int:
        return int(self.wall() * 1000)

    offset: float | None = 0.0

    async def measure(self, ask: Any) -> bool:
        self.measured += 1
        return True

    def credentials(self, venue: VenueName, account: str) -> Credentials | Refusal:
        return self.keys or Credentials(api_key=account, signing_key=Key())

    def knows(self, venue: VenueName, account: str) -> bool:
        return True

    def user(self, venue: VenueName, account: str) -> str:
        return account

    def accepted(self, venue: VenueName, account: str, credentials: Credentials) -> None:
        return

    def refused(self, venue: VenueName, account: str, credentials: Credentials, message: str) -> None:
        self.stopped.append(f"{venue} {account}: {message}")


class Quiet:
    """An observer that keeps only failures."""

    def __init__(self, failures: list[BaseException]) -> None:
        self._failures = failures

    def failed(self, _incoming: Command, error: BaseException) -> None:
        self._failures.append(error)

    def __getattr__(self, name: str) -> Any:
        return lambda *_args, **_more: None


def run(*script, commands=None, is_inherited=False, until=1e6, prepare=lambda _: None, **settings):
    """One answer in virtual time; the bench with all that happened."""
    benches = []

    async def main(world):
        bench = Bench(world, Script(*script), **settings)
        benches.append(bench)
        prepare(bench)
        bench.admit(*(commands or [incoming(1)]), is_inherited=is_inherited)
        await bench.all_told()

    on_virtual_time(main, until=until)
    return benches[0]


def requests(bench):
    return [request for _, request in bench.script.sent]
