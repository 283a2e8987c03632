"""The demo from its first line to its last: stage, commands, answers.

`main` is what `leverage-gateway demo` calls; `report` prints what came of it.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import NamedTuple

from msgspec.structs import replace
from rich.console import Console

from gateway.client import Client, SentCommand, connect
from gateway.demo.policy_act import set_policy
from gateway.demo.report import SampleResult
from gateway.demo.scenario import ACCOUNT, EACH_VENUE, NEWER, PUT_ASIDE, RULED, SLOW, TROUBLE, Sample
from gateway.demo.second_act import RedrivenLetter, redrive_letter
from gateway.demo.stage import Stage, staged
from gateway.demo.stream_act import StreamSeen, follow_stream
from gateway.simulator import Fault
from schemas import Event, Timestamp

_PATIENCE = 30.0


class _Sent(NamedTuple):
    sample: Sample
    command: SentCommand


class Answers:
    """Every event so far, by its command's id."""

    def __init__(self) -> None:
        self._seen: dict[str, Event] = {}
        self._changed = asyncio.Condition()

    async def follow(self, client: Client) -> None:
        """Read events for ever."""
        async for event in client.events(from_beginning=True):
            async with self._changed:
                self._seen[event.command_id] = event
                self._changed.notify_all()

    async def wait(self, sent: Sequence[_Sent]) -> list[SampleResult]:
        """The answers to these, in their order; what has none in time has none."""
        wanted = {one.command.command.command_id for one in sent}
        with suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE), self._changed:
                await self._changed.wait_for(lambda: wanted <= self._seen.keys())
        return [SampleResult(*one, self._seen.get(one.command.command.command_id)) for one in sent]

    async def of_redrive(self, command_id: str) -> Event | None:
        """The answer to the command that sends this one's dead letter again; None where there is none in time."""

        def found() -> Event | None:
            return next((event for event in self._seen.values() if event.redrive_of == command_id), None)

        with suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE), self._changed:
                await self._changed.wait_for(lambda: found() is not None)
        return found()


class Played(NamedTuple):
    """What came of every act."""

    answered: list[SampleResult]
    redriven: RedrivenLetter
    stream: StreamSeen

    @property
    def is_as_it_should_be(self) -> bool:
        """Whether every act came out as it was meant."""
        return (
            self.redriven.is_closed
            and self.stream.is_whole
            and all(one.sample.met_by(one.event) for one in self.answered)
        )


async def play(console: Console) -> Played:
    """Run the demo; EmbeddedMissingError without the extra `embedded`."""
    console.print("Starting an embedded broker, the simulated venues, the gateway and its edge", highlight=False)
    async with staged() as stage:
        _introduce(stage, console)
        async with connect(f"kafka://{stage.bootstrap_servers}", check_crcs=False) as client:
            answers = Answers()
            following = asyncio.create_task(answers.follow(client))
            try:
                return await _acts(stage, client, answers)
            finally:
                following.cancel()


async def _acts(stage: Stage, client: Client, answers: Answers) -> Played:
    """Each act when the one before has come far enough for its point."""
    answered = await answers.wait(await _send(EACH_VENUE, stage, client))
    trouble = await _send(TROUBLE, stage, client)
    await _struck(stage, SLOW)
    newer = await _send(NEWER, stage, client)
    answered += await answers.wait([*trouble, *newer])
    await set_policy(stage, Timestamp.of(datetime.now(UTC)))
    answered += await answers.wait(await _send(RULED, stage, client))
    (put_aside,) = await answers.wait(await _send([PUT_ASIDE], stage, client))
    command_id = put_aside.sent.command.command_id
    redriven = await redrive_letter(stage.bootstrap_servers, command_id, answers.of_redrive)
    return Played([*answered, put_aside], redriven, await follow_stream(stage))


async def _send(samples: Sequence[Sample], stage: Stage, client: Client) -> list[_Sent]:
    sent: list[_Sent] = []
    for sample in samples:
        if sample.fault is not None:
            stage.simulator.faults.add(replace(sample.fault))
        command = await client.submit(
            sample.target, sample.leverage, account=ACCOUNT, expires_in=sample.expires_in, issuer="demo"
        )
        sent.append(_Sent(sample, command))
    return sent


async def _struck(stage: Stage, fault: Fault) -> None:
    """Until the venue has the call that this hits: from then on nothing newer can take its place."""
    async with asyncio.timeout(_PATIENCE):
        while any((on.venue, on.lane) == (fault.venue, fault.lane) for on in stage.simulator.faults):  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.02)


def _introduce(stage: Stage, console: Console) -> None:
    for name, where in (
        ("broker", f"{stage.bootstrap_servers} (in memory: librdkafka's mock cluster, not Kafka)"),
        ("venues", f"{stage.simulator.url} (faults and journal at /_control/)"),
        ("gateway", f"{stage.gateway.server.url} (/livez /readyz /metrics)"),
        ("edge", f"{stage.edge.server.url} (/v1/leverage /v1/stream /v1/events /v1/commands)"),
    ):
        console.print(f"  {name:<8} {where}", highlight=False, markup=False)
