"""The way between a process and a venue: requests are slow, refused, lost or cut off, and so are their answers.

A process that sends on although it was told of a ban is an error of the run.
"""

import asyncio
from random import Random
from typing import Any

from gateway.outcomes import Ambiguous, Unavailable
from gateway.transport.messages import WITHDRAWN, HttpReply, HttpRequest
from tests.chaos.history import Send
from tests.kit.world import Process, World
from tests.simulation.venue import BANNED, Origin, RealVenue

CONNECT_SHARE = 0.5  # of a call's time-out, as `gateway.transport.session` has it


class Reply:
    """The way back: at most one answer reaches the caller."""

    def __init__(self, world: World, future: "asyncio.Future[Any]", delay: float, *, lost: bool) -> None:
        self._world = world
        self._future = future
        self._delay = delay
        self._lost = lost

    def answer(self, status: int, text: str, headers: dict[str, str] | None = None) -> None:
        if not self._lost:
            reply = HttpReply(status=status, headers=headers or {}, body=text.encode())
            self._world.after(self._delay, self.give, reply)

    def cut_off(self) -> None:
        self._world.after(self._delay, self.give, Ambiguous(message="reset"))

    def give(self, answer: Any) -> None:
        if not self._future.done():
            self._future.set_result(answer)


class SimulatedSender:
    """The pipeline's `Sender`: one process's way to one venue."""

    def __init__(self, process: Process, venue: RealVenue, call_timeout: float, sends: list[Send]) -> None:
        """`sends` is where every try is written down, whether it reached the venue or not."""
        self._process = process
        self._venue = venue
        self._call_timeout = call_timeout
        self._sends = sends
        self._banned_until = 0.0

    async def send(self, request: HttpRequest) -> HttpReply | Unavailable | Ambiguous:
        self._process.weak_point()
        begun = Origin(self._process.name, self._process.world.now)
        refused: Unavailable | None = None
        try:
            async with asyncio.timeout(self._call_timeout):
                refused = await self._connect(request)
                answer = refused or await self._exchange(request)
        except TimeoutError:
            answer = Ambiguous(message="timeout")
        if request.method == "POST" and answer is not WITHDRAWN:
            self._sends.append(self._venue.send_of(request, begun, is_on_the_wire=refused is None))
        if isinstance(answer, HttpReply) and answer.status == BANNED:
            told = float(answer.headers["Retry-After"]) - 1.0  # it is rounded up
            self._banned_until = self._process.world.now + told
        return answer

    async def _connect(self, request: HttpRequest) -> Unavailable | None:
        world, faults = self._process.world, self._venue.faults
        if faults.down:
            await asyncio.sleep(_leg(world.random, 0.0))
            return Unavailable(message="refused")
        if world.random.random() < faults.slow_connect:
            needed, within = world.random.uniform(0.05, 1.2), self._call_timeout * CONNECT_SHARE
            within = within if request.connect_within is None else min(within, request.connect_within)
            await asyncio.sleep(min(needed, within))
            if needed > within:
                return Unavailable(message="not reached")
        return None if request.may_send is None or request.may_send() else WITHDRAWN

    async def _exchange(self, request: HttpRequest) -> HttpReply | Ambiguous:
        world, random, faults = self._process.world, self._process.world.random, self._venue.faults
        if world.now < self._banned_until:
            world.errors.append(
                f"{self._process.name} sends at {world.now:.3f}, told of a ban to {self._banned_until:.3f}"
            )
        future: asyncio.Future[Any] = self._process.create_future()
        reply = Reply(world, future, _leg(random, faults.slow), lost=random.random() < faults.cut_off)
        if random.random() < faults.cut_off:
            world.after(_leg(random, faults.slow), reply.cut_off)
        else:
            origin = Origin(self._process.name, world.now)
            world.after(_leg(random, faults.slow), self._venue.receive, request, reply, origin)
        return await future


def _leg(random: Random, slow: float) -> float:
    return random.uniform(0.1, 0.7) if random.random() < slow else random.uniform(0.001, 0.01)
