"""What a run left behind, as frozen values: every record of the four topics, every call that reached the venues.

`collect` makes a History of real topics and of the simulator's journal; `checker` reads it. It can be kept as a file.
"""

from decimal import Decimal
from pathlib import Path
from typing import NamedTuple, Self

import msgspec
from msgspec import Struct

from schemas.headers import COMMAND_OFFSET, COMMAND_PARTITION, header


class Place(NamedTuple):
    """Where a command record stands."""

    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.partition}/{self.offset}"


class Record(Struct, frozen=True, kw_only=True):
    """One record of one of the topics, byte for byte."""

    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()

    @property
    def place(self) -> Place:
        """Where it stands."""
        return Place(self.partition, self.offset)

    @property
    def answers(self) -> Place | None:
        """The command record that its headers name; None where they name none."""
        partition, offset = header(self.headers, COMMAND_PARTITION), header(self.headers, COMMAND_OFFSET)
        if partition is None or offset is None or not (partition.isdecimal() and offset.isdecimal()):
            return None
        return Place(int(partition), int(offset))


class Call(Struct, frozen=True, kw_only=True):
    """One entry of the simulator's journal: a call to a leverage endpoint; times are seconds since 1970 UTC.

    Which process sent it, and when it went on the wire, only a simulation can tell.
    """

    seq: int
    venue: str
    account: str
    lane: str
    value: Decimal
    received_at: float
    applied_at: float | None = None
    finished_at: float | None = None
    status: int | None = None
    code: str | int | None = None
    verdict: str = ""
    instance: str | None = None
    sent_at: float | None = None

    @property
    def lane_key(self) -> str:
        """`<venue>:<account>:<lane>`, as state records and final values have it."""
        return f"{self.venue}:{self.account}:{self.lane}"


class Send(Struct, frozen=True, kw_only=True):
    """A process tried a call; `is_on_the_wire` where it found a connection, whether it arrived or not."""

    instance: str
    is_on_the_wire: bool
    at: float
    lane_key: str
    value: Decimal


class Ownership(Struct, frozen=True, kw_only=True):
    """From when on the group had a partition with a process; `is_handed_over`: its predecessor may not know it yet."""

    partition: int
    instance: str
    since: float
    is_handed_over: bool = False


class History(Struct, frozen=True, kw_only=True):
    """One run; `final` is what the venues have at its end, by `<venue>:<account>:<lane>`.

    `sends` and `owners` are of simulations, which see every process from within. `deleted` are commands that their topic
    has no more, or cannot tell from others that it had: they need no answer.
    """

    seed: int
    commands: tuple[Record, ...] = ()
    events: tuple[Record, ...] = ()
    state: tuple[Record, ...] = ()
    dead_letters: tuple[Record, ...] = ()
    calls: tuple[Call, ...] = ()
    deleted: tuple[Place, ...] = ()
    sends: tuple[Send, ...] = ()
    owners: tuple[Ownership, ...] = ()
    final: dict[str, Decimal] = {}

    def save(self, path: Path) -> None:
        """Keep it for another look."""
        path.write_bytes(msgspec.msgpack.encode(self))

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote."""
        return msgspec.msgpack.decode(path.read_bytes(), type=cls)
