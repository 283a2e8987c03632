"""One seed's story: commands, faults and their times; run to the end, and told as a history for the checker.

Nothing here or below uses any randomness or time but the world's, so a seed always tells the same story.
"""

import gc
from collections.abc import Callable
from random import Random
from typing import NamedTuple

import msgspec
from msgspec import structs

from gateway.pipeline.command import CommandRecord
from gateway.settings.tree import Settings, VenueSettings, VenuesSettings
from schemas import Target, VenueName
from schemas.targets import venue_of
from tests.chaos import history
from tests.chaos.checker import check, report
from tests.chaos.violations import Violation
from tests.kit.clocks import NOON
from tests.kit.world import World
from tests.simulation.broker import ANSWER_TOPICS, LARGEST_BATCH, RIGHTS, TOPICS, Broker, command_offset
from tests.simulation.commands import TARGETS, Commands
from tests.simulation.fleet import GIVE_UP, LOOK, Fleet
from tests.simulation.gateway import KAFKA, PIPELINE, VENUE, Surroundings
from tests.simulation.keys import KeyFiles
from tests.simulation.records import Told
from tests.simulation.venue import (
    LONGEST_WORK,
    RECEIVE_WINDOW,
    SETTLES_WITHIN,
    WINDOW,
    PaperVenue,
    RealVenue,
    VenueFaults,
)

FAULTS_UNTIL = 8.0  # virtual seconds
LAST_COMMANDS = 2.0  # seconds after them until no more come
CLOCK_ERROR = 0.7  # seconds; a clock is read over a round trip of twice that at most, and taken to be its middle
TWINS = 0.5  # share of the static runs in which somebody starts a process under an id that is in use
SMALL = 0.2  # share of runs in which an answer topic takes too little
SMALL_TOPICS = (400, 1_200, 3_000)  # bytes of a batch at most
REMAKING = 0.05  # seconds from the deletion of a topic until the new one can be written to, at the quickest
RECOVERS_WITHIN = 90.0  # an account whose keys were refused is tried again after 5, 10, 20 and 40 seconds
PLENTY = 1_000  # calls a window
ACCOUNTS = ("a", "b")
LANES = tuple((account, target) for account in ACCOUNTS for target in TARGETS)


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
        self._is_static = random.random() < 0.35
        self._is_late = seed % 3 == 0  # its venues let some calls take effect long after we gave them up
        self.broker = Broker(
            self.world,
            self.partitions,
            session_timeout=KAFKA.session_timeout_ms / 1000,
            rebalance_timeout=KAFKA.rebalance_timeout_ms / 1000,
        )
        self._around = self._surroundings(random.choice((4, 16)))
        self.venues = self._around.real
        self.fleet = Fleet(self.world, self._around, is_static=self._is_static)
        self._rotated: set[tuple[VenueName, str]] = set()
        self._commands = Commands(random, self.partitions)
        self._expected: set[tuple[int, int]] = set()
        self._seen: set[tuple[int, str, str]] = set()
        self._is_next_rotten = False
        self._remade_at = 0.0  # when the topic of commands that was deleted is there again
        self._plan()

    def run(self) -> None:
        """Let it all happen."""
        world = self.world
        world.run(FAULTS_UNTIL)
        self._heal()
        world.run(FAULTS_UNTIL + LAST_COMMANDS)
        self._wait_for_answers()
        if self.seed % 2:  # in the other half the venues end with what the faults left
            self._recover()
        self._wait_for_answers()
        world.run(world.now + 2 * SETTLES_WITHIN)
        self.fleet.see_members()
        self.fleet.leave()

    def _wait_for_answers(self) -> None:
        until = self.world.now + GIVE_UP
        while self.world.now < until and not (self._expected <= self.broker.answered):
            self.fleet.start_if_none_is_left()
            self.world.run(self.world.now + LOOK)

    def _recover(self) -> None:
        """See that everything works again: each lane obeys, if not the first command, then a later one."""
        world = self.world
        for real in self.venues.values():
            real.faults = VenueFaults()
        until = world.now + RECOVERS_WITHIN
        while (deaf := [lane for lane in LANES if not self._has_obeyed(*lane)]) and world.now < until:
            for account, target in deaf:
                self._send(*self._commands.plain(account, target, world.now))
            world.run(world.now + 2.0)
        world.errors += [f"{target} of {account} obeys no command any more" for account, target in deaf]

    def _has_obeyed(self, account: str, target: Target) -> bool:
        wanted = self._commands.last_plain.get((account, target))
        return wanted is not None and self.venues[venue_of(target)].values.get((account, target.lane)) == wanted

    def verdict(self) -> Verdict:
        """Judge it."""
        told = self.history()
        violations = check(
            told,
            call_timeout=SETTLES_WITHIN if self._is_late else RECEIVE_WINDOW,
            expiry_allowance=CLOCK_ERROR,
            budget_kept=True,
            static_grace=KAFKA.lease,
        )
        return Verdict(self.seed, told, violations, self.world.errors, self.world.now)

    def bury(self) -> None:
        """Leave no coroutine behind."""
        self.fleet.bury()
        self._around.keys.remove()

    def history(self) -> history.History:
        """All that is left of it."""
        told = Told(self.broker)
        calls = sorted(
            (call for real in self.venues.values() for call in real.journal()), key=lambda call: call.received_at
        )
        return history.History(
            seed=self.seed,
            commands=told.commands,
            events=told.answers(TOPICS.events),
            state=told.answers(TOPICS.state),
            dead_letters=told.answers(TOPICS.dead_letters),
            deleted=told.deleted(),
            calls=tuple(msgspec.structs.replace(call, seq=seq) for seq, call in enumerate(calls, 1)),
            sends=tuple(self._around.sends),
            owners=tuple(self.broker.group.owners),
            final={key: value for real in self.venues.values() for key, value in real.final().items()},
        )

    def _surroundings(self, capacity: int) -> Surroundings:
        paper: dict[VenueName, PaperVenue] = {}
        real: dict[VenueName, RealVenue] = {}
        for name, kind in KINDS.items():
            limit = capacity if kind.limited else None
            paper[name] = PaperVenue(name, limit, reads_back=kind.reads_back, address_capacity=PLENTY, window=WINDOW)
            real[name] = RealVenue(self.world, name, limit, ACCOUNTS)
        settles_within = SETTLES_WITHIN if self._is_late else LONGEST_WORK
        venues = {name: structs.replace(kind.settings, settles_within=settles_within) for name, kind in KINDS.items()}
        keys = KeyFiles(ACCOUNTS, tuple(KINDS))
        settings = Settings(kafka=KAFKA, pipeline=PIPELINE, venues=VenuesSettings(**venues), accounts=keys.settings)
        return Surroundings(self.broker, paper, real, settings, keys, [])

    def _plan(self) -> None:
        random, fleet = self.world.random, self.fleet
        for _ in range(random.choice((1, 2, 2, 3))):
            self.world.after(random.uniform(0, 0.5), self.fleet.join)
        for _ in range(random.randint(8, 36)):
            self.world.after(random.uniform(0.2, FAULTS_UNTIL), self._produce)
        for _ in range(random.randint(0, 3)):
            self.world.after(random.uniform(0.5, FAULTS_UNTIL), self._burst, random.randint(2, 5))
        if self._is_static and random.random() < TWINS:
            self.world.after(random.uniform(1.0, FAULTS_UNTIL), self._twin)
        self._plan_venues(random)
        if random.random() < SMALL:
            self.broker.largest_batch[random.choice(ANSWER_TOPICS)] = random.choice(SMALL_TOPICS)
        faults: list[Callable[[], None]] = [
            fleet.kill, fleet.kill, fleet.stop, fleet.stop, fleet.terminate, fleet.join, self._outage, self._lossy,
            self._break_library, self._take_right, self._damage, self._set_clock, self._ban, self._rotate, self._twin,
            self._make_commands_anew, self._expire, self._rot,
        ]  # fmt: skip
        for _ in range(random.randint(1, 6)):
            self.world.after(random.uniform(0.3, FAULTS_UNTIL), random.choice(faults))

    def _plan_venues(self, random: Random) -> None:
        for real in self.venues.values():
            faults = real.faults
            for name in ("unavailable", "unknown", "cut_off", "throttled", "refused"):
                setattr(faults, name, random.choice((0.0, 0.0, 0.05, 0.2)))
            faults.slow = random.choice((0.0, 0.1, 0.4))
            faults.slow_connect = random.choice((0.0, 0.0, 0.2))
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
        if self.world.now < self._remade_at:  # as a producer tries again until the topic is there
            self.world.after(self._remade_at - self.world.now, self._send, partition, key, value, headers)
            return
        offset = len(self.broker.commands[partition])
        timestamp_ms = int((NOON + self.world.now) * 1000)
        record = CommandRecord(partition, offset, timestamp_ms, key, value, headers)
        is_rotten, self._is_next_rotten = self._is_next_rotten, False
        if is_rotten:
            self.broker.rotten.add((len(self.broker.former_commands), partition, offset))
        self.broker.produce(record)
        if is_rotten or self._commands.is_first(partition, value):
            self._expected.add((partition, offset))

    # Faults.

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
        gateway = self.fleet.any_running()
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

    def _rot(self) -> None:
        """A broken disk: the next command is kept with a bit that is wrong."""
        self._is_next_rotten = True

    def _set_clock(self) -> None:
        gateway = self.fleet.any_running()
        if gateway is not None:
            gateway.clock.wrong = self.world.random.uniform(-6.0, 6.0)

    def _ban(self) -> None:
        random = self.world.random
        random.choice(list(self.venues.values())).faults.banned_until = self.world.now + random.uniform(0.5, 4.0)

    def _rotate(self) -> None:
        """New keys: made at the venue, written into the files, the old ones revoked; not always in this order."""
        random, world = self.world.random, self.world
        venue, account = random.choice(list(self.venues)), random.choice(ACCOUNTS)
        if (venue, account) in self._rotated:
            return
        self._rotated.add((venue, account))
        api_keys = self.venues[venue].api_keys
        world.after(random.uniform(0, 6.0), api_keys.add, f"{account}.2")
        world.after(random.uniform(0, 6.0), self._around.keys.write, venue, account, 2)
        world.after(random.uniform(0.5, 12.0), api_keys.discard, f"{account}.1")

    def _twin(self) -> None:
        """Somebody starts another process under an id that is in use."""
        gateway = self.fleet.any_running()
        if gateway is not None and gateway.instance_id is not None:
            self.fleet.start(gateway.instance_id)
            soon = self.world.random.uniform(0.02, 1.0)  # while both may read it
            self.world.after(soon, self._produce)
            self.world.after(soon + self.world.random.uniform(0.02, 1.0), self._burst, 1)

    def _make_commands_anew(self) -> None:
        """Somebody deletes the topic of commands and makes it again: as told, while no gateway runs, or under them."""
        random = self.world.random
        if self.broker.former_commands:
            return
        is_used = random.random() < 0.5
        if is_used:
            self._remade_at = self.world.now + REMAKING
        else:
            self.fleet.kill_all()
        self.broker.make_commands_anew(is_used=is_used)
        self._commands.forget()
        self._expected.clear()
        self._burst(random.randint(0, 6))

    def _expire(self) -> None:
        """Retention deletes the oldest of a topic, whether anybody has read it or not."""
        random, partition = self.world.random, self.world.random.randrange(self.partitions)
        topic = random.choice((TOPICS.commands, TOPICS.events, TOPICS.dead_letters))
        begin = self.broker.begin(topic, partition)
        wanted = random.randint(begin, self.broker.end(topic, partition))
        while begin < wanted and self._may_expire(topic, partition, begin):
            begin += 1
        self.broker.begins[topic, partition] = begin
        if topic == TOPICS.commands:
            self._expected -= {(partition, offset) for offset in range(begin)}

    def _may_expire(self, topic: str, partition: int, offset: int) -> bool:
        """Whether no id is forgotten by it that comes again: what is kept must reach as far back as repeats are known."""
        log = self.broker.commands[partition]
        if topic != TOPICS.commands:
            record = self.broker.answers[partition][topic][offset].record
            offset = len(log) if record is None else command_offset(record)
        if offset >= len(log):
            return True
        value = log[offset].value
        self._commands.leave(value)
        return sum(record.value == value for record in log) == 1

    def _heal(self) -> None:
        self._mend()
        self.broker.faults.down = False
        self.broker.faults.missing_rights.clear()
        self.broker.largest_batch = dict.fromkeys(ANSWER_TOPICS, LARGEST_BATCH)
        for real in self.venues.values():
            real.faults.down = False
        self.fleet.start_if_none_is_left()


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
