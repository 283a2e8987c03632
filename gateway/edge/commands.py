"""Commands at the door: read, checked by the pipeline's own rules in its own words, handed to Kafka, answered.

A list is taken or refused as a whole. A command that was handed over once is not handed over again: who repeats it
waits for the one event, or gets it.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Iterable, Sequence
from typing import Any, Protocol, Self

import msgspec
from msgspec import Raw

from gateway.clock import Clock
from gateway.edge.door import Door, DoorError
from gateway.edge.hub import CommandKey, Hub
from gateway.edge.publisher import NotTakenError, Publisher
from gateway.edge.record import EventRow
from gateway.edge.tokens import Token
from gateway.outcomes import Refusal
from gateway.pipeline.rules import CommandRules
from schemas import DecodeError, SetLeverage, decode_command
from schemas.codec import JSON, MSGPACK, ContentType

MOST_TAKEN = 50_000  # commands handed over that are remembered
_decoders: dict[ContentType, tuple[Any, Any]] = {
    JSON: (msgspec.json.Decoder(list[Raw]), msgspec.json.Decoder(dict[str, Raw])),
    MSGPACK: (msgspec.msgpack.Decoder(list[Raw]), msgspec.msgpack.Decoder(dict[str, Raw])),
}
_encode = {JSON: msgspec.json.encode, MSGPACK: msgspec.msgpack.encode}


class CommandsObserver(Protocol):
    """Who is told of commands."""

    def took(self, token: str, command_id: str, account: str) -> None:
        """One is right, and goes to Kafka."""
        ...

    def refused(self, code: str) -> None:
        """One was refused."""
        ...


class CommandDesk:
    """Takes commands in."""

    def __init__(
        self,
        rules: CommandRules,
        publisher: Publisher,
        door: Door,
        *,
        clock: Clock,
        remembered: float,
        observer: CommandsObserver,
    ) -> None:
        """`remembered`: seconds for which the gateway knows a command's id again."""
        self._rules = rules
        self._publisher = publisher
        self._door = door
        self._clock = clock
        self._remembered = remembered
        self._observer = observer
        self._taken: OrderedDict[CommandKey, float] = OrderedDict()
        self._taking: dict[CommandKey, asyncio.Future[None]] = {}
        self._confirming: set[asyncio.Task[None]] = set()

    def check(self, token: Token, body: bytes, encoding: ContentType) -> SetLeverage:
        """Read one command; DoorError where it is none, breaks a rule, or is not for this token to send."""
        try:
            return self._check(token, body, encoding)
        except DoorError as error:
            self._observer.refused(error.code)
            raise

    def _check(self, token: Token, body: bytes, encoding: ContentType) -> SetLeverage:
        try:
            command = decode_command(body, encoding)
        except DecodeError as error:
            raise DoorError(422, "invalid", str(error)) from None
        if not token.rights.allow(command.account):
            raise DoorError(403, "forbidden", f"the token does not open account {command.account!r}")
        self._door.check_verb(token, "send")
        if command.redrive_of is not None:
            self._door.check_verb(token, "redrive")
        refusal = self._rules.broken(command)
        if refusal is None and self._rules.seconds_left(command, now=self._clock.wall()) <= 0:
            refusal = self._rules.late(command)
        if refusal is not None:
            raise _refused(refusal)
        return command

    def check_all(self, token: Token, bodies: Sequence[bytes], encoding: ContentType) -> list[SetLeverage]:
        """Read a list of commands; DoorError names each that is refused, and why."""
        commands: list[SetLeverage] = []
        refused: list[tuple[int, DoorError]] = []
        for index, body in enumerate(bodies):
            try:
                commands.append(self.check(token, body, encoding))
            except DoorError as error:
                refused.append((index, error))
        if not refused:
            return commands
        index, first = refused[0]
        raise DoorError(
            first.status,
            first.code,
            f"command {index + 1} of {len(bodies)}: {first.message}; none was taken",
            refused=[{"index": index, "code": error.code, "message": error.message} for index, error in refused],
        )

    def answer(self, hub: Hub, command: SetLeverage) -> EventRow | None:
        """The event of a command that was answered lately."""
        known = hub.answer(key_of(command))
        return known if known is not None and self._clock.wall() - known.at < self._remembered else None

    async def hand_over(
        self, hub: Hub, token: Token, command: SetLeverage, trace: Iterable[tuple[str, bytes]] = ()
    ) -> Awaitable[None]:
        """Hand a command to Kafka, unless it has it; what is returned is done when it does.

        Raises:
            DoorError: 503, Kafka does not take it; the awaitable raises it too.
        """
        key = key_of(command)
        taken_at = self._taken.get(key)
        is_taken = taken_at is not None and self._clock.monotonic() - taken_at < self._remembered
        if is_taken or self.answer(hub, command) is not None:
            return _nothing()
        taking = self._taking.get(key)
        if taking is None:
            taking = self._taking[key] = asyncio.get_running_loop().create_future()
            taking.add_done_callback(lambda done: self._take(key, done))
            self._observer.took(token.name, command.command_id, command.account)
            try:
                sent = await self._publisher.hand_over(command, trace)
            except BaseException as error:  # noqa: BLE001 - raised again; who waits too is told
                taking.set_exception(error if isinstance(error, NotTakenError) else NotTakenError("it was given up"))
                raise _not_taken(error) if isinstance(error, NotTakenError) else error from None
            confirming = asyncio.create_task(_confirm(sent, taking))
            self._confirming.add(confirming)
            confirming.add_done_callback(self._confirming.discard)
        return _told(taking)

    def _take(self, key: CommandKey, done: asyncio.Future[None]) -> None:
        """Remember what Kafka has."""
        del self._taking[key]
        if done.exception() is None:
            self._taken[key] = self._clock.monotonic()
            if len(self._taken) > MOST_TAKEN:
                self._taken.popitem(last=False)

    def answers(self, hub: Hub, commands: Sequence[SetLeverage], seconds: float) -> "AwaitedEvents":
        """Begin to wait for the events of commands; before they are handed over."""
        return AwaitedEvents(hub, commands, seconds, [self.answer(hub, command) for command in commands])


class AwaitedEvents:
    """Waits for the events of some commands; use it with `with`, so that it ends."""

    def __init__(
        self, hub: Hub, commands: Sequence[SetLeverage], seconds: float, known: Sequence[EventRow | None]
    ) -> None:
        self._hub = hub
        self._seconds = seconds
        loop = asyncio.get_running_loop()
        self._waiting: list[tuple[CommandKey, asyncio.Future[EventRow]]] = []
        for command, event in zip(commands, known, strict=True):
            future: asyncio.Future[EventRow] = loop.create_future()
            if event is not None:
                future.set_result(event)
            self._waiting.append((key_of(command), future))

    def __enter__(self) -> Self:
        for key, future in self._waiting:
            if not future.done():
                self._hub.wait(key, future.set_result)
        return self

    def __exit__(self, *_exc: object) -> None:
        for key, future in self._waiting:
            self._hub.wait_no_more(key, future.set_result)
            future.cancel()

    async def wait(self) -> list[EventRow | None]:
        """Return each event, or None where it did not come in time."""
        await asyncio.wait([future for _, future in self._waiting], timeout=self._seconds)
        return [future.result() if future.done() else None for _, future in self._waiting]


def split(body: bytes, encoding: ContentType, idempotency_key: str | None) -> list[bytes]:
    """The commands of a body, one or a list of them; DoorError where it is neither.

    `idempotency_key`: the id of the one command there is.
    """
    as_list, as_one = _decoders[encoding]
    try:
        is_list = body.lstrip()[:1] == b"[" if encoding == JSON else not isinstance(msgspec.msgpack.decode(body), dict)
        bodies = [bytes(raw) for raw in as_list.decode(body)] if is_list else [body]
        if not bodies:
            raise DoorError(422, "invalid", "an empty list; a command is an object, some are a list of them")
        if idempotency_key is None:
            return bodies
        if len(bodies) > 1:
            raise DoorError(
                422, "invalid", "Idempotency-Key is the id of one command; in a list each has its command_id"
            )
        fields: dict[str, Raw] = as_one.decode(bodies[0])
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise DoorError(422, "invalid", f"no command and no list of commands: {error}") from None
    given = Raw(_encode[encoding](idempotency_key))
    if "command_id" in fields and bytes(fields["command_id"]) != bytes(given):
        raise DoorError(422, "invalid", "Idempotency-Key and command_id differ; one of them is enough")
    return [_encode[encoding](fields | {"command_id": given})]


def key_of(command: SetLeverage) -> CommandKey:
    """What a command's event is known by."""
    return command.key, command.command_id


def _refused(refusal: Refusal) -> DoorError:
    return DoorError(422, refusal.reason, refusal.message)


def _not_taken(error: NotTakenError) -> DoorError:
    return DoorError(503, "unconfirmed", str(error), headers={"Retry-After": "1"})


async def _confirm(sent: Awaitable[None], taking: asyncio.Future[None]) -> None:
    try:
        await sent
        taking.set_result(None)
    except NotTakenError as error:
        taking.set_exception(error)


async def _told(taking: asyncio.Future[None]) -> None:
    try:
        await asyncio.shield(taking)
    except NotTakenError as error:
        raise _not_taken(error) from error


async def _nothing() -> None:
    """There is nothing to wait for."""
