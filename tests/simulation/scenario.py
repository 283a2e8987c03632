"""One seed's story: commands, faults and their times; run to the end, and told as a history for the checker.

Nothing here or below uses any randomness or time but the world's, so a seed always tells the same story.
"""

import gc
from collections.abc import Callable
from decimal import Decimal
from random import Random
from typing import NamedTuple

import msgspec

from gateway.pipeline.command import CommandRecord
from gateway.settings.tree import VenueSettings
from schemas import BinanceMargin, BinanceUsdm, SetLeverage, Target, Timestamp, VenueName, Ztdx, encode
from schemas.codec import JSON, MSGPACK
from schemas.headers import CONTENT_TYPE
from tests.chaos import history
from tests.chaos.checker import check, report
from tests.chaos.generator import GARBAGE, partition_of
from tests.chaos.violations import Violation
from tests.clocks import NOON
from tests.simulation.broker import ANSWER_TOPICS, LARGEST_BATCH, RIGHTS, TOPICS, Broker, Entry
from tests.simulation.gateway import KAFKA, VENUE, Gateway
from tests.simulation.loop import World
from tests.simulation.venue import RECEIVE_WINDOW, SETTLES_WITHIN, PaperVenue, RealVenue

FAULTS_UNTIL = 8.0  # virtual seconds
STRANGE_HEADER = ("\udcff\udcef", b"")  # its name is no UTF-8
SMALL = 0.2  # share of runs in which an answer topic takes too little
SMALL_TOPICS = (400, 1_200, 3_000)  # bytes of a batch at most
GIVE_UP = 120.0
LOOK = 0.25
ACCOUNTS = ("a", "b")


class Kind(NamedTuple):
    """What one venue is like: each has something that the others lack."""

    settings: VenueSettings
    reads_back: bool
    limited: bool


KINDS: dict[VenueName, Kind] = {
    "binance_usdm": Kind(VENUE, reads_back=True, limited=False),
    "ztdx": Kind(msgspec.structs.replace(VENUE, latest_wins=False), reads_back=True, limited=True),
    "binance_margin": Kind(VENUE, reads_back=False, limited=True),
}


class Verdict(NamedTuple):
    """What a seed came to."""

    seed: int
    told: history.History
    violations: list[Violation]
    errors: list[str]
    virtual_seconds: float

    @property
    def broken(self) -> bool:
        """Whether any promise is."""
        return bool(self.violations or self.errors)

    def __str__(self) -> str:
        return "\n".join([report(self.told, self.violations), *self.errors])


class Scenario:
    """Everything of one seed."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.world = World(seed)
        random = self.world.random
        self.partitions = random.choice((1, 1, 2))
        self.static = random.random() < 0.35
        self._is_late = seed % 3 == 0  # its venues let some calls take effect long after we gave them up
        self.broker = Broker(
            self.world,
            self.partitions,
            session_timeout=KAFKA.session_timeout_ms / 1000,
            rebalance_timeout=KAFKA.rebalance_timeout_ms / 1000,
        )
        capacity = random.choice((2, 8))
        self.venues = {name: self._venue(name, kind, capacity) for name, kind in KINDS.items()}
        self.gateways: list[Gateway] = []
        self.dead: list[Gateway] = []
        self._started = 0
        self._pods = 0
        self._commands = Commands(random, self.partitions)
        self._expected: set[tuple[int, int]] = set()
        self._seen: set[tuple[int, str, str]] = set()
        self._plan()

    def run(self) -> None:
        """Let it all happen."""
        world = self.world
        world.run(FAULTS_UNTIL)
        self._heal()
        while world.now < GIVE_UP and not (self._expected <= self.broker.answered):
            world.run(world.now + LOOK)
        world.run(world.now + 2 * SETTLES_WITHIN)
        for gateway in self.gateways:
            gateway.terminate()
        while world.now < GIVE_UP + 20 and any(not gateway.left for gateway in self.gateways if gateway.process.alive):
            world.run(world.now + LOOK)

    def verdict(self) -> Verdict:
        """Judge it."""
        told = self.history()
        violations = check(
            told,
            call_timeout=SETTLES_WITHIN if self._is_late else RECEIVE_WINDOW,
            expiry_allowance=RECEIVE_WINDOW,
            budget_kept=True,
        )
        return Verdict(self.seed, told, violations, self.world.errors, self.world.now)

    def bury(self) -> None:
        """Leave no coroutine behind."""
        for gateway in (*self.gateways, *self.dead):
            gateway.process.bury()

    def history(self) -> history.History:
        """All that is left of it."""
        answers = self.broker.answers
        calls = sorted(
            (call for _, real, _ in self.venues.values() for call in real.journal()), key=lambda call: call.received_at
        )
        return (
            history.History(
                seed=self.seed,
                commands=tuple(_command(record) for log in self.broker.commands for record in log),
                events=_records(self.broker, TOPICS.events),
                state=_records(self.broker, TOPICS.state),
                dead_letters=_records(self.broker, TOPICS.dead_letters),
                calls=tuple(msgspec.structs.replace(call, seq=seq) for seq, call in enumerate(calls, 1)),
                final={key: value for _, real, _ in self.venues.values() for key, value in real.final().items()},
            )
            if answers
            else history.History(seed=self.seed)
        )

    def _venue(self, name: VenueName, kind: Kind, capacity: int) -> tuple[PaperVenue, RealVenue, VenueSettings]:
        limit = capacity if kind.limited else None
        settings = kind.settings
        if self._is_late:
            settings = msgspec.structs.replace(settings, settles_within=SETTLES_WITHIN)
        return PaperVenue(name, limit, reads_back=kind.reads_back), RealVenue(self.world, name, limit), settings

    def _plan(self) -> None:
        random = self.world.random
        for _ in range(random.choice((1, 2, 2, 3))):
            self.world.after(random.uniform(0, 0.5), self._join)
        for _ in range(random.randint(8, 36)):
            self.world.after(random.uniform(0.2, FAULTS_UNTIL), self._produce)
        for _ in range(random.randint(0, 3)):
            self.world.after(random.uniform(0.5, FAULTS_UNTIL), self._burst, random.randint(2, 5))
        self._plan_venues(random)
        if random.random() < SMALL:
            self.broker.largest_batch[random.choice(ANSWER_TOPICS)] = random.choice(SMALL_TOPICS)
        faults: list[Callable[[], None]] = [
            self._kill, self._kill, self._stop, self._stop, self._terminate, self._join, self._outage, self._lossy,
            self._break_library, self._take_right, self._damage,
        ]  # fmt: skip
        for _ in range(random.randint(1, 6)):
            self.world.after(random.uniform(0.3, FAULTS_UNTIL), random.choice(faults))

    def _plan_venues(self, random: Random) -> None:
        for _, real, _ in self.venues.values():
            faults = real.faults
            for name in ("unavailable", "unknown", "cut_off", "throttled", "refused"):
                setattr(faults, name, random.choice((0.0, 0.0, 0.05, 0.2)))
            faults.slow = random.choice((0.0, 0.1, 0.4))
            faults.late = 0.05 if self._is_late else 0.0
            if random.random() < 0.15:
                begins = random.uniform(0, FAULTS_UNTIL)
                self.world.after(begins, setattr, faults, "down", True)
                self.world.after(begins + random.uniform(0.1, 3.0), setattr, faults, "down", False)

    # Commands.

    def _produce(self) -> None:
        self._send(*self._commands.next(self.world.now))

    def _burst(self, count: int) -> None:
        for _ in range(count):
            self._send(*self._commands.next(self.world.now, same=True))

    def _send(self, partition: int, key: bytes | None, value: bytes | None, headers: list[tuple[str, bytes]]) -> None:
        offset = len(self.broker.commands[partition])
        timestamp_ms = int((NOON + self.world.now) * 1000)
        record = CommandRecord(partition, offset, timestamp_ms, key, value, headers)
        self.broker.produce(record)
        if self._commands.is_first(partition, value):
            self._expected.add((partition, offset))

    # Faults.

    def _start(self, instance_id: str | None) -> None:
        self._started += 1
        self.gateways.append(
            Gateway(
                self.world,
                f"gateway {self._started}",
                self.broker,
                self.venues,
                accounts=ACCOUNTS,
                instance_id=instance_id,
            )
        )

    def _any(self) -> Gateway | None:
        running = [gateway for gateway in self.gateways if gateway.running]
        return self.world.random.choice(running) if running else None

    def _at_some_step(self, gateway: Gateway, blow: Callable[[], None]) -> None:
        gateway.process.blow = blow
        steps = self.world.random.choice((0, self.world.random.randint(1, 60)))
        if self.world.random.random() < 0.5:
            gateway.process.armed = steps
        else:
            gateway.process.fuse = steps

    def _kill(self) -> None:
        gateway = self._any()
        if gateway is not None:
            self._at_some_step(gateway, lambda: self._killed(gateway))

    def _killed(self, gateway: Gateway) -> None:
        if gateway.left:
            return
        gateway.process.kill()
        self.gateways.remove(gateway)
        self.dead.append(gateway)
        pause = self.world.random.choice((0.02, 0.02, 0.5, 4.0))
        self.world.after(pause, self._start, gateway.instance_id)

    def _stop(self) -> None:
        gateway = self._any()
        if gateway is not None:
            self._at_some_step(gateway, lambda: self._stopped(gateway))

    def _stopped(self, gateway: Gateway) -> None:
        gateway.process.stop_signal()
        self.world.after(self.world.random.uniform(0.1, 6.0), gateway.process.continue_signal)

    def _terminate(self) -> None:
        gateway = self._any()
        if gateway is not None:
            gateway.terminate()
            self.world.after(self.world.random.uniform(0.0, 3.0), self._start_again, gateway)

    def _start_again(self, gateway: Gateway) -> None:
        if gateway.left or gateway.instance_id is None:
            self._start(gateway.instance_id)
        elif gateway.process.alive:
            self.world.after(LOOK, self._start_again, gateway)

    def _join(self) -> None:
        self._pods += 1
        self._start(f"pod-{self._pods}" if self.static else None)

    def _outage(self) -> None:
        faults = self.broker.faults
        faults.down = True
        self.world.after(self.world.random.uniform(0.1, 2.5), setattr, faults, "down", False)

    def _lossy(self) -> None:
        faults, random = self.broker.faults, self.world.random
        faults.lost_requests, faults.lost_answers = random.choice((0.0, 0.1)), random.choice((0.1, 0.3))
        faults.slow = random.choice((0.0, 0.2))
        self.world.after(random.uniform(0.5, 3.0), self._mend)

    def _mend(self) -> None:
        faults = self.broker.faults
        faults.lost_requests = faults.lost_answers = faults.slow = faults.damaged = 0.0

    def _break_library(self) -> None:
        gateway = self._any()
        if gateway is not None and gateway.process in self.broker.failures:
            gateway.process.call_soon(self.broker.failures[gateway.process])

    def _take_right(self) -> None:
        rights, random = self.broker.faults.missing_rights, self.world.random
        right = random.choice(RIGHTS)
        rights.add(right)
        self.world.after(random.uniform(0.5, 5.0), rights.discard, right)

    def _damage(self) -> None:
        self.broker.faults.damaged = self.world.random.choice((0.3, 0.8))
        self.world.after(self.world.random.uniform(0.2, 2.0), self._mend)

    def _heal(self) -> None:
        self._mend()
        self.broker.faults.down = False
        self.broker.faults.missing_rights.clear()
        self.broker.largest_batch = dict.fromkeys(ANSWER_TOPICS, LARGEST_BATCH)
        for _, real, _ in self.venues.values():
            real.faults.down = False
        if not any(gateway.process.alive for gateway in self.gateways):
            self._join()


class Commands:
    """What strategy engines send: few lanes, each command of a lane with a value of its own, some of it garbage."""

    def __init__(self, random: Random, partitions: int) -> None:
        self._random = random
        self._partitions = partitions
        self._values: dict[tuple[str, str], int] = {}
        self._sent: list[tuple[int, bytes | None, bytes | None, list[tuple[str, bytes]]]] = []
        self._firsts: set[tuple[int, bytes]] = set()
        self._number = 0
        self._last: tuple[str, Target] | None = None
        self._expiring = random.choice((0.0, 0.2, 0.6))

    def next(
        self, now: float, *, same: bool = False
    ) -> tuple[int, bytes | None, bytes | None, list[tuple[str, bytes]]]:
        """A record: partition, key, value, headers."""
        random, chance = self._random, self._random.random()
        if chance < 0.03:
            value, encoding = random.choice(GARBAGE)
            return random.randrange(self._partitions), b"ztdx:a", value, [(CONTENT_TYPE, encoding.encode())]
        if chance < 0.07 and self._sent:
            return random.choice(self._sent)
        command = self._command(now, same=same)
        encoding = random.choice((JSON, JSON, MSGPACK))
        key = command.key.encode()
        partition = partition_of(key, self._partitions)
        headers = [(CONTENT_TYPE, encoding.encode())]
        if random.random() < 0.03:
            headers.append(STRANGE_HEADER)
        record = (partition, key, encode(command, encoding), headers)
        self._sent.append(record)
        return record

    def is_first(self, partition: int, value: bytes | None) -> bool:
        """Whether a record will be answered: it is no repeat."""
        if value is None or len(value) < 60 or (partition, value) not in self._firsts:
            self._firsts.add((partition, value or b""))
            return True
        return value.startswith(b'{"x"')

    def _command(self, now: float, *, same: bool) -> SetLeverage:
        random = self._random
        if not same or self._last is None:
            account = random.choice(("a", "a", "b", "b", "stranger") if random.random() < 0.1 else ACCOUNTS)
            symbol = random.choice(("X", "Y"))
            self._last = account, random.choice((BinanceUsdm(symbol=symbol), Ztdx(symbol=symbol), BinanceMargin()))
        account, target = self._last
        lane = f"{account}:{target}", "value"
        self._values[lane] = self._values.get(lane, 0) + 1
        self._number += 1
        expires = random.random() < self._expiring
        return SetLeverage(
            command_id=f"c{self._number}",
            account=account,
            leverage=Decimal(999 if random.random() < 0.02 else self._values[lane]),
            target=target,
            issued_at=Timestamp.from_epoch(NOON + now),
            expires_at=Timestamp.from_epoch(NOON + now + random.choice((0.3, 1.5, 5.0))) if expires else None,
        )


def simulate(seed: int) -> Verdict:
    """Run one seed and judge it."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        scenario = Scenario(seed)
        scenario.run()
        verdict = scenario.verdict()
        scenario.bury()
    finally:
        if collecting:
            gc.enable()
    return verdict


def _command(record: CommandRecord) -> history.Record:
    return history.Record(
        partition=record.partition,
        offset=record.offset,
        timestamp_ms=record.timestamp_ms,
        key=record.key,
        value=record.value,
        headers=tuple(record.headers),
    )


def _records(broker: Broker, topic: str) -> tuple[history.Record, ...]:
    return tuple(
        _answer(partition, offset, entry)
        for partition, topics in enumerate(broker.answers)
        for offset, entry in enumerate(topics[topic])
        if entry.record is not None and entry.transaction.status == "committed"
    )


def _answer(partition: int, offset: int, entry: Entry) -> history.Record:
    assert entry.record is not None
    return history.Record(
        partition=partition,
        offset=offset,
        timestamp_ms=int((NOON + entry.at) * 1000),
        key=entry.record.key,
        value=entry.record.value,
        headers=tuple(entry.record.headers),
    )
