"""The commands of one run, good and bad, as strategy engines send them."""

from collections import Counter
from decimal import Decimal
from random import Random
from typing import NamedTuple

from msgspec import structs

from schemas import BinanceMargin, BinanceUsdm, SetLeverage, Target, Timestamp, Ztdx, encode
from schemas.codec import JSON, MSGPACK
from schemas.headers import CONTENT_TYPE
from tests.chaos.generator import GARBAGE, partition_of
from tests.kit.clocks import NOON
from tests.simulation.venue import BAD_VALUE

TARGETS: tuple[Target, ...] = (
    BinanceUsdm(symbol="X"),
    BinanceUsdm(symbol="Y"),
    Ztdx(symbol="X"),
    Ztdx(symbol="Y"),
    BinanceMargin(),
)
STRANGE_HEADER = ("\udcff\udcef", b"")  # its name is no UTF-8


class Outgoing(NamedTuple):
    """A record to send."""

    partition: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]]


class Commands:
    """What strategy engines send: few lanes, each command of a lane with a value of its own, some of it garbage.

    Attributes:
        last_plain: what the last `plain` command of a lane asked for.
    """

    def __init__(self, random: Random, partitions: int) -> None:
        self._random = random
        self._partitions = partitions
        self.last_plain: dict[tuple[str, Target], Decimal] = {}
        self._values: Counter[tuple[str, Target]] = Counter()
        self._sent: list[Outgoing] = []
        self._firsts: set[tuple[int, bytes]] = set()
        self._number = 0
        self._last: tuple[str, Target] | None = None
        self._expiring = random.choice((0.0, 0.2, 0.6))

    def next(self, now: float, *, same: bool = False) -> Outgoing:
        """Any record."""
        random, chance = self._random, self._random.random()
        if chance < 0.03:
            value, encoding = random.choice(GARBAGE)
            return Outgoing(random.randrange(self._partitions), b"ztdx:a", value, [(CONTENT_TYPE, encoding.encode())])
        if chance < 0.07 and self._sent:
            return random.choice(self._sent)
        return self._record(self._any_command(now, same=same))

    def plain(self, account: str, target: Target, now: float) -> Outgoing:
        """A command that nothing speaks against."""
        command = self._command(account, target, now)
        self.last_plain[account, target] = command.leverage
        return self._record(command)

    def _record(self, command: SetLeverage) -> Outgoing:
        random = self._random
        encoding = random.choice((JSON, JSON, MSGPACK))
        key = command.key.encode()
        partition = partition_of(key, self._partitions)
        headers = [(CONTENT_TYPE, encoding.encode())]
        if random.random() < 0.03:
            headers.append(STRANGE_HEADER)
        record = Outgoing(partition, key, encode(command, encoding), headers)
        self._sent.append(record)
        return record

    def forget(self) -> None:
        """Repeat nothing that was sent before."""
        self._sent.clear()
        self._firsts.clear()

    def leave(self, value: bytes | None) -> None:
        """Repeat this one no more."""
        self._sent = [record for record in self._sent if record.value != value]

    def is_first(self, partition: int, value: bytes | None) -> bool:
        """Whether a record will be answered: it is no repeat."""
        if value is None or len(value) < 60 or (partition, value) not in self._firsts:
            self._firsts.add((partition, value or b""))
            return True
        return value.startswith(b'{"x"')

    def _any_command(self, now: float, *, same: bool) -> SetLeverage:
        random = self._random
        if not same or self._last is None:
            account = random.choice(("a", "a", "b", "b", "stranger") if random.random() < 0.1 else ("a", "b"))
            self._last = account, random.choice(TARGETS)
        command = self._command(*self._last, now)
        if random.random() < 0.02:
            command = structs.replace(command, leverage=BAD_VALUE)
        if random.random() < self._expiring:
            expires_at = Timestamp.from_epoch(NOON + now + random.choice((0.3, 1.5, 5.0)))
            command = structs.replace(command, expires_at=expires_at)
        return command

    def _command(self, account: str, target: Target, now: float) -> SetLeverage:
        self._number += 1
        self._values[account, target] += 1
        value = self._values[account, target]
        return SetLeverage(
            command_id=f"c{self._number}",
            account=account,
            leverage=Decimal(value),
            target=target,
            issued_at=Timestamp.from_epoch(NOON + now),
        )
