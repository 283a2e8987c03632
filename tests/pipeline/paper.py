"""Commands, records and parts for the pipeline's tests; time is virtual and moved by `tests.simulation.loop.World`."""

import asyncio
from collections.abc import Callable, Coroutine
from decimal import Decimal
from typing import Any

from gateway.outcomes import Ambiguous, Unavailable
from gateway.pipeline.record import CommandRecord, Incoming
from gateway.transport.messages import HttpAnswer, HttpRequest
from schemas import BinanceUsdm, SetLeverage, Target, Timestamp, encode
from schemas.codec import JSON, ContentType
from tests.clocks import NOON
from tests.simulation.loop import Process, World

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


def incoming(number: int = 1, *, deadline: float = 1e9, offset: int | None = None, **more: Any) -> Incoming:
    asked = command(number, **more)
    place = number if offset is None else offset
    return Incoming(record(asked, place), asked, content_type=JSON, received_at=0.0, deadline=deadline)


class LoopClock:
    """The virtual clock, as the gateway reads it."""

    def __init__(self, world: World) -> None:
        self._world = world

    def monotonic(self) -> float:
        return self._world.now

    def wall(self) -> float:
        return NOON + self._world.now


class Script:
    """A sender that gives prepared answers: a status with a text, an outcome, or seconds to wait before the next."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.sent: list[tuple[float, str]] = []

    async def send(self, request: HttpRequest) -> HttpAnswer | Unavailable | Ambiguous:
        loop = asyncio.get_running_loop()
        self.sent.append((loop.time(), f"{request.method} {request.target.partition('&account')[0]}"))
        answer = (
            self.answers.pop(0) if self.answers else (200, request.target.partition("leverage=")[2].partition("&")[0])
        )
        while isinstance(answer, float):
            await asyncio.sleep(answer)
            answer = self.answers.pop(0)
        if isinstance(answer, tuple):
            return HttpAnswer(status=answer[0], headers={}, body=str(answer[1]).encode())
        return answer


def on_virtual_time(main: Callable[[World], Coroutine[Any, Any, None]], *, until: float = 1e6) -> None:
    """Run a test's coroutine in one simulated process; it must end by itself."""
    world = World(0)
    process = Process(world, "test")
    tasks: list[asyncio.Task[None]] = []
    process.call_soon(lambda: tasks.append(process.create_task(main(world))))
    world.run(until)
    failed = [] if not tasks[0].done() else [tasks[0].exception()]
    ended = tasks[0].done()
    process.bury()
    for error in failed:
        if error is not None:
            raise error
    assert ended, "the test still waits"
    assert not world.errors, world.errors
