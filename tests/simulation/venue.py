"""A venue behind a network: what the gateway knows of it (`PaperVenue`), what it really does, and the way between.

Requests are delayed, refused, lost or cut off; what arrives is applied even where nobody waits for it any more. The
journal is in the form that `tests.chaos.checker` judges.
"""

import asyncio
from collections import deque
from decimal import Decimal
from random import Random
from typing import Any
from urllib.parse import parse_qsl

from gateway.limits.limit import Cost, Limit, Usage
from gateway.outcomes import (
    Ambiguous,
    Applied,
    ClockSkewed,
    Outcome,
    Rejected,
    Throttled,
    Unauthorised,
    Unavailable,
)
from gateway.transport.messages import HttpReply, HttpRequest
from gateway.venues.credentials import Credentials
from gateway.venues.venue import Call
from schemas import SetLeverage, VenueName
from tests.chaos import history
from tests.clocks import NOON
from tests.simulation.loop import Process, World

RECEIVE_WINDOW = 1.0  # seconds; the gateway's call timeout too
SETTLES_WITHIN = 3.0  # seconds; what the venue works on for longer, it gives up
SLOW = 0.05  # share of legs
BAD_VALUE = Decimal(999)


class PaperVenue:
    """The gateway's side: build, sign, classify; as small as it can be."""

    base_url = "http://paper"

    def __init__(self, name: VenueName, capacity: int | None, *, reads_back: bool) -> None:
        """`capacity`: calls a second and account; None: no limit worth the name."""
        self.name: VenueName = name
        limit = Limit(name="uid_calls", scope="account", capacity=capacity or 1, window=1.0)
        self.settles_within = SETTLES_WITHIN
        self.limits = () if capacity is None else (limit,)
        self._costs = () if capacity is None else (Cost("uid_calls", 1),)
        self._reads_back = reads_back

    def broken_rule(self, command: SetLeverage) -> str | None:
        return "999 is nobody's leverage" if command.leverage == BAD_VALUE else None

    def set_leverage(self, command: SetLeverage) -> Call:
        query = f"lane={command.target.lane}&leverage={command.leverage}"
        return Call(purpose="set_leverage", method="POST", path="/", query=query, costs=self._costs)

    def read_back(self, command: SetLeverage) -> Call | None:
        if not self._reads_back:
            return None
        query = f"lane={command.target.lane}"
        return Call(purpose="read_back", method="GET", path="/", query=query, costs=self._costs)

    def server_time(self) -> Call:
        return Call(purpose="server_time", method="GET", path="/time")

    def sign(self, call: Call, credentials: Credentials, timestamp_ms: int) -> HttpRequest:
        target = f"{call.query}&account={credentials.api_key}&timestamp={timestamp_ms}"
        return HttpRequest(method=call.method, target=target, headers={})

    def classify(self, command: SetLeverage, answer: HttpReply) -> Outcome:
        text = answer.body.decode()
        match answer.status:
            case 200:
                return Applied(leverage=Decimal(text))
            case 429:
                return Throttled(retry_after=float(text), http_status=429)
            case 401:
                return Unauthorised(message=text, http_status=401)
            case 503:
                kind = Ambiguous if text == "unknown" else Unavailable
                return kind(message=text, http_status=503)
            case _:
                kind = ClockSkewed if text == "timestamp" else Rejected
                return kind(message=text, http_status=answer.status)

    def classify_read_back(self, command: SetLeverage, answer: HttpReply) -> Outcome:
        if answer.status != 200:
            return self.classify(command, answer)
        return Applied(leverage=Decimal(answer.body.decode()), certainty="read_back")

    def server_time_ms(self, answer: HttpReply) -> int | None:
        return None

    publishing = None

    def usage(self, answer: HttpReply) -> tuple[Usage, ...]:
        return ()


class VenueFaults:
    """How badly it goes; shares of all calls."""

    def __init__(self) -> None:
        self.down = False
        self.unavailable = 0.0
        self.unknown = 0.0
        self.cut_off = 0.0
        self.throttled = 0.0
        self.refused = 0.0
        self.slow = SLOW
        self.late = 0.0


class RealVenue:
    """The venue's side: strict, with a journal."""

    def __init__(self, world: World, name: VenueName, capacity: int | None) -> None:
        self.faults = VenueFaults()
        self.calls: list[dict[str, Any]] = []
        self.values: dict[tuple[str, str], Decimal] = {}
        self._world = world
        self._name = name
        self._capacity = capacity
        self._received: dict[str, deque[float]] = {}

    def receive(self, request: HttpRequest, reply: "Reply") -> None:
        """A request arrives."""
        fields = dict(parse_qsl(request.target))
        account, lane = fields["account"], fields["lane"]
        call: dict[str, Any] = {"verdict": "fault", "status": None}
        if request.method == "POST":
            call |= {"venue": self._name, "account": account, "lane": lane, "value": Decimal(fields["leverage"])}
            call["received_at"] = NOON + self._world.now
            call["seq"] = len(self.calls) + 1
            self.calls.append(call)
        refusal = self._refusal(account, int(fields["timestamp"]), fields)
        if refusal is not None:
            call["verdict"], status, text = refusal
            self._finish(call, reply, status, text)
            return
        self._work(call, account, lane, fields, reply)

    def _work(self, call: dict[str, Any], account: str, lane: str, fields: dict[str, str], reply: "Reply") -> None:
        random, faults = self._world.random, self.faults
        takes = random.uniform(0.05, 0.25) if random.random() < faults.slow else random.uniform(0.001, 0.02)
        if "leverage" not in fields:
            self._world.after(takes, self._tell, account, lane, call, reply)
            return
        if faults.late and random.random() < faults.late:
            takes = random.uniform(RECEIVE_WINDOW, SETTLES_WITHIN - 0.1)
        said = "unknown" if random.random() < faults.unknown else ""
        if random.random() < faults.cut_off:
            reply.cut_off()
        if said and random.random() < 0.5:
            self._world.after(takes, self._finish, call, reply, 503, said)
            return
        if said:
            self._world.after(takes * random.random(), reply.answer, 503, said)
        self._world.after(takes, self._apply, call, account, lane, Decimal(fields["leverage"]), reply)

    def _refusal(self, account: str, timestamp_ms: int, fields: dict[str, str]) -> tuple[str, int, str] | None:
        random, faults, now = self._world.random, self.faults, self._world.now
        if not NOON + now - RECEIVE_WINDOW <= timestamp_ms / 1000 <= NOON + now + 0.5:
            return "clock", 400, "timestamp"
        if not self._counts(account, now):
            return "throttled", 429, "0.5"
        if random.random() < faults.throttled:
            return "fault", 429, f"{random.uniform(0.1, 0.5):.3f}"
        if random.random() < faults.unavailable:
            return "fault", 503, "unavailable"
        if "leverage" in fields and random.random() < faults.refused:
            return "refused", 400, "too high"
        return None

    def _counts(self, account: str, now: float) -> bool:
        received = self._received.setdefault(account, deque())
        while received and received[0] <= now - 1.0:
            received.popleft()
        received.append(now)
        return self._capacity is None or len(received) <= self._capacity

    def _apply(self, call: dict[str, Any], account: str, lane: str, value: Decimal, reply: "Reply") -> None:
        self.values[account, lane] = value
        call["verdict"], call["applied_at"] = "applied", NOON + self._world.now
        self._finish(call, reply, 200, str(value))

    def _tell(self, account: str, lane: str, call: dict[str, Any], reply: "Reply") -> None:
        self._finish(call, reply, 200, str(self.values.get((account, lane), Decimal(0))))

    def _finish(self, call: dict[str, Any], reply: "Reply", status: int, text: str) -> None:
        call["status"], call["finished_at"] = status, NOON + self._world.now
        reply.answer(status, text)

    def journal(self) -> list[history.Call]:
        """What the checker reads."""
        return [history.Call(**call) for call in self.calls]

    def final(self) -> dict[str, Decimal]:
        """What it has at the end."""
        return {f"{self._name}:{account}:{lane}": value for (account, lane), value in self.values.items()}


class Reply:
    """The way back: at most one answer reaches the caller."""

    def __init__(self, world: World, future: "asyncio.Future[Any]", delay: float, *, lost: bool) -> None:
        self._world = world
        self._future = future
        self._delay = delay
        self._lost = lost

    def answer(self, status: int, text: str) -> None:
        if not self._lost:
            self._world.after(self._delay, self._give, HttpReply(status=status, headers={}, body=text.encode()))

    def cut_off(self) -> None:
        self._world.after(self._delay, self._give, Ambiguous(message="reset"))

    def _give(self, answer: Any) -> None:
        if not self._future.done():
            self._future.set_result(answer)


class SimulatedSender:
    """The pipeline's `Sender`: one process's way to one venue."""

    def __init__(self, process: Process, venue: RealVenue, call_timeout: float) -> None:
        self._process = process
        self._venue = venue
        self._call_timeout = call_timeout

    async def send(self, request: HttpRequest) -> HttpReply | Unavailable | Ambiguous:
        world, random, faults = self._process.world, self._process.world.random, self._venue.faults
        future: asyncio.Future[Any] = self._process.create_future()
        self._process.weak_point()
        if faults.down:
            world.after(_leg(random, 0.0), Reply(world, future, 0.0, lost=False)._give, Unavailable(message="refused"))
        else:
            lost = random.random() < faults.cut_off
            reply = Reply(world, future, _leg(random, faults.slow), lost=lost)
            if random.random() < faults.cut_off:
                world.after(_leg(random, faults.slow), reply.cut_off)
            else:
                world.after(_leg(random, faults.slow), self._venue.receive, request, reply)
        try:
            async with asyncio.timeout(self._call_timeout):
                return await future
        except TimeoutError:
            return Ambiguous(message="timeout")


class SimulatedTime:
    """The pipeline's `VenueTime`: wrong until it is measured."""

    def __init__(self, process: Process, error: float) -> None:
        self._process = process
        self._error = error

    def timestamp_ms(self) -> int:
        return int((NOON + self._process.world.now + self._error) * 1000)

    @property
    def offset(self) -> float:
        return self._error

    async def measure(self, ask: Any) -> bool:
        await asyncio.sleep(0.01)
        self._error = 0.0
        return True


def _leg(random: Random, slow: float) -> float:
    return random.uniform(0.1, 0.7) if random.random() < slow else random.uniform(0.001, 0.01)
