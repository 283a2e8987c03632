"""Commands for a chaos run, the same for the same seed: hundreds of lanes, some repeats, some garbage, the right partition.

Each command of a lane asks for another value, and a lane that went through all of its values gives its place to a new
one, so that `story` can tell from a call's value which command it was made for. A harness sends what comes out; nothing
here does I/O.
"""

import random
from collections import deque
from collections.abc import Iterator
from decimal import Decimal
from itertools import count
from typing import Literal, get_args

from aiokafka.partitioner import DefaultPartitioner
from msgspec import Struct

from schemas import (
    JSON,
    MSGPACK,
    BinanceMargin,
    BinancePortfolio,
    BinanceUsdm,
    Okx,
    SetLeverage,
    Target,
    Timestamp,
    Ztdx,
    encode,
)
from schemas.headers import CONTENT_TYPE

Kind = Literal["command", "repeat", "misplaced", "garbage"]
Venue = Literal["binance_usdm", "binance_portfolio", "okx", "ztdx"]  # cross margin has lanes of its own
MARGIN_VALUES = (3, 5, 10)  # all that it takes, and an account is one lane
UNSET, UNSET_AT_OKX = 20, 3
OKX_PAIR_STEP = Decimal("0.05")  # pairs go to 10x only, and steps give them as many values as other lanes have
GARBAGE: tuple[tuple[bytes | None, str], ...] = (
    (None, JSON),
    (b"", JSON),
    (b"null", JSON),
    (b"not a command", JSON),
    (b'{"type":"SetLeverage","command_id":5}', JSON),
    (b'{"x":' * 5_000, JSON),
    (b"\xc1\xff\x00", MSGPACK),
    (b"<leverage>20</leverage>", "text/xml"),
)


class Plan(Struct, frozen=True, kw_only=True):
    """What to generate; shares are of all records.

    Attributes:
        margin_accounts: accounts at cross margin; each is a lane of three commands.
        symbols: how many of those that the simulator has in any number have commands at a time.
        values: how many values a lane goes through.
        hot: how unevenly lanes are chosen: 1 is evenly, more makes the first lanes hotter.
        expiring: share of commands with `expires_at`, `expires_in` seconds after they are issued.
    """

    partitions: int = 4
    accounts: tuple[str, ...] = ("desk-1", "desk-2", "desk-3", "desk-4")
    venues: tuple[Venue, ...] = get_args(Venue)
    margin_accounts: int = 200
    symbols: int = 20
    values: int = 124
    hot: float = 2.0
    expiring: float = 0.1
    expires_in: tuple[float, float] = (0.5, 20.0)
    msgpack: float = 0.2
    repeats: float = 0.03
    misplaced: float = 0.005
    garbage: float = 0.005


class Outgoing(Struct, frozen=True, kw_only=True):
    """One record to produce, on exactly this partition."""

    kind: Kind
    partition: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]


class Lane(Struct, frozen=True):
    """One lane: all targets that mean it, and how many values it takes, from 1 on in steps."""

    account: str
    targets: tuple[Target, ...]
    values: int
    step: Decimal = Decimal(1)


class Generator:
    """An endless stream of records; the seed and the times it is given decide every byte."""

    def __init__(self, plan: Plan, seed: int) -> None:
        self.plan = plan
        self.seed = seed
        self._random = random.Random(seed)
        self._new_lanes = lanes_from(plan, first_symbol=plan.symbols)
        self.lanes = [lane for number in range(plan.symbols) for lane in lanes_of(plan, number)]
        self._random.shuffle(self.lanes)
        self._turns = [0] * len(self.lanes)
        self._recent: deque[Outgoing] = deque(maxlen=200)

    def next(self, now: float) -> Outgoing:
        """The next record, issued at `now` (seconds since 1970 UTC)."""
        chance, plan = self._random.random(), self.plan
        if chance < plan.garbage:
            return self._garbage()
        if chance < plan.garbage + plan.repeats and self._recent:
            return self._repeat()
        misplaced = chance < plan.garbage + plan.repeats + plan.misplaced
        return self._misplaced(now) if misplaced else self._command(now)

    def _command(self, now: float) -> Outgoing:
        made = self._outgoing(now, "command")
        self._recent.append(made)
        return made

    def _outgoing(self, now: float, kind: Kind) -> Outgoing:
        index = int(len(self.lanes) * self._random.random() ** self.plan.hot)
        command = self._set_leverage(index, now)
        encoding = MSGPACK if self._random.random() < self.plan.msgpack else JSON
        headers = ((CONTENT_TYPE, encoding.encode()),) if encoding == MSGPACK or self._random.random() < 0.5 else ()
        key = command.key.encode()
        partition = partition_of(key, self.plan.partitions)
        return Outgoing(kind=kind, partition=partition, key=key, value=encode(command, encoding), headers=headers)

    def _set_leverage(self, index: int, now: float) -> SetLeverage:
        lane, turn = self._turn(index)
        expires = self._random.random() < self.plan.expiring
        return SetLeverage(
            command_id=f"{self._random.getrandbits(64):016x}",
            account=lane.account,
            leverage=_value(lane, turn),
            target=self._random.choice(lane.targets),
            issued_at=Timestamp.from_epoch(now),
            expires_at=Timestamp.from_epoch(now + self._random.uniform(*self.plan.expires_in)) if expires else None,
            issuer=self._random.choice((None, "chaos")),
        )

    def _turn(self, index: int) -> tuple[Lane, int]:
        if self._turns[index] == self.lanes[index].values:
            self.lanes[index] = next(self._new_lanes)
            self._turns[index] = 0
        self._turns[index] += 1
        return self.lanes[index], self._turns[index] - 1

    def _repeat(self) -> Outgoing:
        again = self._random.choice(self._recent)
        return Outgoing(
            kind="repeat", partition=again.partition, key=again.key, value=again.value, headers=again.headers
        )

    def _misplaced(self, now: float) -> Outgoing:
        """A command that must be answered `invalid`: no key, another account's key, or another partition."""
        made, choice = self._outgoing(now, "misplaced"), self._random.randrange(3)
        key = (made.key, None, b"okx:nobody")[choice]
        shift = 1 if choice == 0 else 0
        partition = (made.partition + shift) % self.plan.partitions
        if partition == made.partition and key == made.key:  # one partition only: nowhere else to go
            key = None
        return Outgoing(kind="misplaced", partition=partition, key=key, value=made.value, headers=made.headers)

    def _garbage(self) -> Outgoing:
        value, encoding = self._random.choice(GARBAGE)
        partition = self._random.randrange(self.plan.partitions)
        key = self._random.choice((None, b"binance_usdm:desk-1", b"\xff"))
        headers = ((CONTENT_TYPE, encoding.encode()),)
        return Outgoing(kind="garbage", partition=partition, key=key, value=value, headers=headers)


def lanes_from(plan: Plan, first_symbol: int) -> Iterator[Lane]:
    """Lanes without end."""
    return (lane for number in count(first_symbol) for lane in lanes_of(plan, number))


def lanes_of(plan: Plan, number: int) -> Iterator[Lane]:
    """The lanes that a symbol makes, at every venue for every account."""
    for account in plan.accounts:
        for venue in plan.venues:
            yield from _lanes_at(venue, account, number, plan.values)
    if number < plan.margin_accounts:
        yield Lane(margin_account(number), (BinanceMargin(),), len(MARGIN_VALUES))


def margin_account(number: int) -> str:
    """The name of one of the accounts at cross margin."""
    return f"margin-{number}"


def partition_of(key: bytes, partitions: int) -> int:
    """Kafka's own: murmur2 of the key."""
    every = list(range(partitions))
    return int(DefaultPartitioner()(key, every, every))


def _value(lane: Lane, turn: int) -> Decimal:
    """The lane's value of that turn; never the one that the simulator's lanes have before they are set."""
    if isinstance(lane.targets[0], BinanceMargin):
        return Decimal(MARGIN_VALUES[turn])
    value = 1 + turn * lane.step
    if isinstance(lane.targets[0], Okx):
        return value + Decimal("0.01") if value == UNSET_AT_OKX else value
    return value if value < UNSET else value + 1


def _lanes_at(venue: Venue, account: str, number: int, values: int) -> Iterator[Lane]:
    symbol, base = f"SIM{number}USDT", f"SIM{number}"
    match venue:
        case "okx":
            contracts = tuple(Okx(margin_mode="cross", instrument=f"{base}-USD-{day}") for day in ("261225", "270326"))
            yield Lane(account, (Okx(margin_mode="cross", instrument=f"{base}-USDT-SWAP"),), values)
            yield Lane(account, (Okx(margin_mode="isolated", instrument=f"{base}-USDT"),), values, OKX_PAIR_STEP)
            yield Lane(account, contracts, values)
        case "binance_usdm":
            yield Lane(account, (BinanceUsdm(symbol=symbol),), values)
        case "binance_portfolio":
            yield Lane(account, (BinancePortfolio(symbol=symbol),), values)
        case "ztdx":
            yield Lane(account, (Ztdx(symbol=symbol),), values)
