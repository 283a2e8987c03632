"""A good history, and what is left of it when one promise after the other is broken: the checker's own tests.

Each broken history differs from the good one in the one thing its name says, and names the kinds it must be found as.
"""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from msgspec.structs import replace

from schemas import BinanceUsdm, LeverageChanged, LeverageRejected, SetLeverage, Timestamp, decode_event, encode
from schemas.headers import ERROR_PREFIX
from tests.chaos.generator import Outgoing
from tests.chaos.history import Call, History, Ownership, Place, Record, Send
from tests.chaos.perfect import Perfect
from tests.chaos.violations import Kind

NOON = 1_795_262_400.0
TRACE = (("traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),)
LANE = "binance_usdm:desk-1:BTCUSDT"


def outgoing(command_id: str, leverage: int, symbol: str = "BTCUSDT", expires_in: float | None = None) -> Outgoing:
    command = SetLeverage(
        command_id=command_id,
        account="desk-1",
        leverage=Decimal(leverage),
        target=BinanceUsdm(symbol=symbol),
        expires_at=None if expires_in is None else Timestamp.from_epoch(NOON + expires_in),
    )
    return Outgoing(kind="command", partition=1, key=command.key.encode(), value=encode(command), headers=TRACE)


def good() -> History:
    """Offsets on partition 1: 0 and 1 changed, 2 superseded by 3, 3 changed, 4 repeats 1, 5 unreadable, 6 unavailable
    and dead-lettered after two calls, 7 invalid, 8 a change on another lane that expires."""
    gateway = Perfect(NOON)
    for command_id, leverage in (("a", 11), ("b", 12)):
        gateway.settle(gateway.ask(outgoing(command_id, leverage)), "command")
    older, newer = gateway.ask(outgoing("c", 13)), gateway.ask(outgoing("d", 14))
    gateway.reject(older, command("c", 13), "superseded", superseded_by="d")
    gateway.settle(newer, "command")
    gateway.settle(gateway.ask(outgoing("b", 12)), "repeat")
    gateway.settle(gateway.ask(Outgoing(kind="garbage", partition=1, key=None, value=b"{", headers=())), "garbage")
    failing = gateway.ask(outgoing("e", 15))
    for _ in range(2):
        gateway.call(command("e", 15), applied=False)
    gateway.reject(failing, command("e", 15), "venue_unavailable", attempts=2, dead_lettered=True)
    gateway.settle(gateway.ask(outgoing("f", 16)), "misplaced")
    gateway.settle(gateway.ask(outgoing("g", 5, "ETHUSDT", expires_in=1.0)), "command")
    return gateway.history(seed=7)


def command(command_id: str, leverage: int) -> SetLeverage:
    return SetLeverage(
        command_id=command_id, account="desk-1", leverage=Decimal(leverage), target=BinanceUsdm(symbol="BTCUSDT")
    )


def answering(record: Record, offset: int) -> bool:
    return record.answers == Place(1, offset)


def without(records: tuple[Record, ...], offset: int) -> tuple[Record, ...]:
    return tuple(record for record in records if not answering(record, offset))


def doubled(records: tuple[Record, ...], offset: int) -> tuple[Record, ...]:
    again = next(record for record in records if answering(record, offset))
    return (*records, replace(again, offset=1000))


def edited(records: tuple[Record, ...], offset: int, **change: Any) -> tuple[Record, ...]:
    return tuple(replace(record, **change) if answering(record, offset) else record for record in records)


def retold(records: tuple[Record, ...], offset: int, **change: Any) -> tuple[Record, ...]:
    def again(record: Record) -> Record:
        return replace(record, value=encode(replace(decode_event(record.value or b""), **change)))

    return tuple(again(record) if answering(record, offset) else record for record in records)


def recalled(calls: tuple[Call, ...], seq: int, **change: Any) -> tuple[Call, ...]:
    return tuple(replace(call, **change) if call.seq == seq else call for call in calls)


def told_swapped(records: tuple[Record, ...]) -> tuple[Record, ...]:
    first, second, *rest = records
    return replace(first, offset=second.offset), replace(second, offset=first.offset), *rest


def zombies_call(history: History) -> Call:
    return replace(
        history.calls[1], seq=99, received_at=NOON + 0.5, applied_at=NOON + 0.505, finished_at=NOON + 0.51, status=200
    )


Break = Callable[[History], History]

BROKEN: dict[str, tuple[set[Kind], Break]] = {
    "a command without an answer": (
        {"unanswered"},
        lambda h: replace(h, events=without(h.events, 7)),
    ),
    "a command answered twice": (
        {"answered twice"},
        lambda h: replace(h, events=doubled(h.events, 7)),
    ),
    "an unreadable record without a dead letter": (
        {"unreadable"},
        lambda h: replace(h, dead_letters=without(h.dead_letters, 5)),
    ),
    "an unreadable record with two dead letters": (
        {"unreadable"},
        lambda h: replace(h, dead_letters=doubled(h.dead_letters, 5)),
    ),
    "a repeat that was answered": (
        {"repeat answered", "state", "trace"},
        lambda h: replace(h, events=(*h.events, answer_of_repeat(h))),
    ),
    "an event for a command that is not there": (
        {"answer to nothing", "unanswered"},
        lambda h: replace(h, events=edited(h.events, 7, headers=place_headers(99))),
    ),
    "an event without its command's place": (
        {"answer to nothing", "unanswered"},
        lambda h: replace(h, events=edited(h.events, 7, headers=())),
    ),
    "an event that nobody can read": (
        {"answer to nothing", "unanswered"},
        lambda h: replace(h, events=edited(h.events, 7, value=b"{")),
    ),
    "a dead letter for a command that is not there": (
        {"answer to nothing", "unreadable"},
        lambda h: replace(h, dead_letters=edited(h.dead_letters, 5, headers=())),
    ),
    "an answer on another partition": (
        {"wrong partition"},
        lambda h: replace(h, events=edited(h.events, 7, partition=0)),
    ),
    "a state on another partition": (
        {"wrong partition", "state"},
        lambda h: replace(h, state=edited(h.state, 8, partition=0)),
    ),
    "an event that names another command": (
        {"wrong answer"},
        lambda h: replace(h, events=retold(h.events, 7, command_id="zzz")),
    ),
    "an event under another key": (
        {"wrong answer"},
        lambda h: replace(h, events=edited(h.events, 7, key=b"okx:desk-1")),
    ),
    "an event in another encoding than its command": (
        {"wrong answer"},
        lambda h: replace(h, events=in_msgpack(h.events, 7)),
    ),
    "an event that tells another asked leverage": (
        {"wrong answer"},
        lambda h: replace(h, events=retold(h.events, 7, leverage=Decimal(99))),
    ),
    "a flag without its dead letter": (
        {"dead letter"},
        lambda h: replace(h, dead_letters=without(h.dead_letters, 6)),
    ),
    "a dead letter without its flag": (
        {"dead letter"},
        lambda h: replace(h, events=retold(h.events, 6, dead_lettered=False)),
    ),
    "a dead letter written twice": (
        {"dead letter"},
        lambda h: replace(h, dead_letters=doubled(h.dead_letters, 6)),
    ),
    "a dead letter that is not the command's bytes": (
        {"dead letter altered"},
        lambda h: replace(h, dead_letters=edited(h.dead_letters, 6, value=b"{}")),
    ),
    "superseded by an older command": (
        {"superseded"},
        lambda h: replace(h, events=retold(h.events, 2, superseded_by="b")),
    ),
    "superseded by nobody": (
        {"superseded"},
        lambda h: replace(h, events=retold(h.events, 2, superseded_by=None)),
    ),
    "changes told in the wrong order": (
        {"told backwards", "state"},
        lambda h: replace(h, events=told_swapped(h.events)),
    ),
    "a lane without its state": (
        {"state"},
        lambda h: replace(h, state=without(h.state, 8)),
    ),
    "a state that lags behind its lane": (
        {"state"},
        lambda h: replace(h, state=without(h.state, 3)),
    ),
    "a state of no lane": (
        {"state"},
        lambda h: replace(h, state=(*h.state, replace(h.state[0], key=b"okx:desk-1:nowhere", offset=50))),
    ),
    "a call that nobody asked for": (
        {"call of nobody", "not applied"},
        lambda h: replace(h, calls=recalled(h.calls, 1, value=Decimal(77))),
    ),
    "a call before its command": (
        {"call of nobody", "not applied"},
        lambda h: replace(
            h, calls=recalled(h.calls, 1, received_at=NOON - 9, applied_at=NOON - 9, finished_at=NOON - 9)
        ),
    ),
    "two calls of a lane at once": (
        {"overlap"},
        lambda h: replace(h, calls=recalled(h.calls, 1, finished_at=h.calls[1].received_at + 0.001)),
    ),
    "a call that never ended before the next": (
        {"overlap"},
        lambda h: replace(h, calls=recalled(h.calls, 1, finished_at=None)),
    ),
    "an older value sent after a newer one": (
        {"calls backwards", "applied backwards", "called after its answer"},
        lambda h: replace(h, calls=(*h.calls, zombies_call(h))),
    ),
    "an older value taking effect after a newer one": (
        {"applied backwards", "not applied"},
        lambda h: replace(h, calls=recalled(h.calls, 1, applied_at=h.calls[1].finished_at)),
    ),
    "a call after its command expired": (
        {"sent after expiry", "called after its answer"},
        lambda h: replace(h, calls=recalled(h.calls, 6, received_at=NOON + 2, finished_at=NOON + 3)),
    ),
    "a refused command that was sent": (
        {"sent though refused", "called after its answer"},
        lambda h: replace(
            h, calls=recalled(h.calls, 5, value=Decimal(16), received_at=NOON + 0.9, finished_at=NOON + 1)
        ),
    ),
    "a change that the venue never took": (
        {"not applied"},
        lambda h: replace(h, calls=recalled(h.calls, 2, applied_at=None)),
    ),
    "a change told before the venue took it": (
        {"not applied"},
        lambda h: replace(h, events=edited(h.events, 1, timestamp_ms=h.commands[1].timestamp_ms)),
    ),
    "a venue that ends with an older value": (
        {"final value"},
        lambda h: replace(h, final=h.final | {LANE: Decimal(12)}),
    ),
    "a call again after the event": (
        {"called after its answer"},
        lambda h: replace(h, calls=(*h.calls, called_again(h))),
    ),
    "a superseded command that the venue took": (
        {"applied though refused"},
        lambda h: replace(h, calls=with_superseded_sent(h.calls)),
    ),
    "an expired command that the venue took": (
        {"applied though refused", "final value"},
        lambda h: replace(h, events=retold_as_expired(h), state=without(h.state, 8)),
    ),
    "a call by a process that has the partition no more": (
        {"no owner's call"},
        lambda h: replace(from_within(h), calls=recalled(from_within(h).calls, 2, instance="another")),
    ),
    "an event that tells of a call too many": (
        {"attempts", "state"},
        lambda h: replace(from_within(h), events=retold(h.events, 1, attempts=2)),
    ),
    "a confirmed change without an attempt": (
        {"attempts", "state"},
        lambda h: replace(h, events=retold(h.events, 1, attempts=0)),
    ),
    "an event with another attempt count than its letter": (
        {"error headers"},
        lambda h: replace(h, events=retold(h.events, 6, attempts=3)),
    ),
    "an event named after another place": (
        {"event id"},
        lambda h: replace(h, events=retold(h.events, 7, event_id="leverage.commands.v1/1/6")),
    ),
    "an event without its command's trace": (
        {"trace"},
        lambda h: replace(h, events=edited(h.events, 7, headers=place_headers(7))),
    ),
    "a dead letter without error headers": (
        {"error headers"},
        lambda h: replace(h, dead_letters=edited(h.dead_letters, 6, headers=(*TRACE, *place_headers(6)))),
    ),
    "a dead letter an hour late": (
        {"dead letter late"},
        lambda h: replace(h, dead_letters=later(h.dead_letters, 6, hours=1)),
    ),
    "a state of an older change missing": (
        {"state"},
        lambda h: replace(h, state=without(h.state, 0)),
    ),
    "states out of order": (
        {"state"},
        lambda h: replace(h, state=told_swapped(h.state)),
    ),
    "two changes of one transaction whose states are of two": (
        {"seen apart"},
        lambda h: replace(h, events=joined(h.events, 0, 1)),
    ),
    "superseded by a command that came after the telling": (
        {"superseded"},
        lambda h: replace(h, events=edited(h.events, 2, timestamp_ms=h.commands[3].timestamp_ms - 5)),
    ),
    "a venue that ends without the value": (
        {"final value"},
        lambda h: replace(h, final={LANE: Decimal(14)}),
    ),
}


def from_within(history: History) -> History:
    """The same as a simulation sees it: one process owns all and makes all calls."""
    calls = tuple(replace(call, instance="one", sent_at=call.received_at) for call in history.calls)
    sends = tuple(
        Send(instance="one", is_on_the_wire=True, at=call.received_at, lane_key=call.lane_key, value=call.value)
        for call in calls
    )
    return replace(history, calls=calls, sends=sends, owners=(Ownership(partition=1, instance="one", since=NOON),))


def called_again(history: History) -> Call:
    at = NOON + 5.0
    return replace(history.calls[4], seq=99, received_at=at, finished_at=at + 0.01)


def with_superseded_sent(calls: tuple[Call, ...]) -> tuple[Call, ...]:
    """The venue took command c just before d, which it was superseded by."""
    newer = calls[2]
    at = newer.received_at
    sent = replace(newer, value=Decimal(13), received_at=at - 0.0003, applied_at=at - 0.0002, finished_at=at - 0.0001)
    ordered = (*calls[:2], sent, *calls[2:])
    return tuple(replace(call, seq=seq) for seq, call in enumerate(ordered, 1))


def later(records: tuple[Record, ...], offset: int, *, hours: int) -> tuple[Record, ...]:
    found = next(record for record in records if answering(record, offset))
    return edited(records, offset, timestamp_ms=found.timestamp_ms + hours * 3_600_000)


def joined(records: tuple[Record, ...], first: int, second: int) -> tuple[Record, ...]:
    """The answer to `second` stands right behind that to `first`, as within one transaction."""
    before = next(record for record in records if answering(record, first))
    return tuple(replace(each, offset=before.offset + 1) if answering(each, second) else each for each in records)


def re_reasoned(records: tuple[Record, ...], offset: int, reason: bytes) -> tuple[Record, ...]:
    """The dead letter of `offset` with another reason in its error headers."""
    name = ERROR_PREFIX + "reason"

    def again(record: Record) -> Record:
        kept = tuple(header for header in record.headers if header[0] != name)
        return replace(record, headers=(*kept, (name, reason)))

    return tuple(again(record) if answering(record, offset) else record for record in records)


def place_headers(offset: int) -> tuple[tuple[str, bytes], ...]:
    return ("gateway-command-partition", b"1"), ("gateway-command-offset", b"%d" % offset)


def answer_of_repeat(history: History) -> Record:
    first = next(record for record in history.events if answering(record, 1))
    return replace(first, offset=50, headers=place_headers(4), value=retold_as_repeat(first))


def retold_as_repeat(first: Record) -> bytes:
    return encode(replace(decode_event(first.value or b""), event_id="leverage.commands.v1/1/4"))


def in_msgpack(records: tuple[Record, ...], offset: int) -> tuple[Record, ...]:
    told = next(record for record in records if answering(record, offset))
    value = encode(decode_event(told.value or b""), "application/msgpack")
    headers = (*place_headers(offset), *TRACE, ("content-type", b"application/msgpack"))
    return edited(records, offset, value=value, headers=headers)


def retold_as_expired(history: History) -> tuple[Record, ...]:
    told = next(record for record in history.events if answering(record, 8))
    changed = decode_event(told.value or b"")
    assert isinstance(changed, LeverageChanged)
    fields = {name: getattr(changed, name) for name in LeverageRejected.__struct_fields__ if hasattr(changed, name)}
    expired = LeverageRejected(**fields, reason="expired", message="too late")
    return edited(history.events, 8, value=encode(expired))
