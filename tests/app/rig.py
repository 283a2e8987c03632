"""Everything one end-to-end test module stands on: topics of its own, simulated venues, what was read, and gateways.

`conftest` makes one a module; tests produce commands, wait for what comes, and read the simulator's journal.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any
from uuid import uuid4

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord
from aiokafka.partitioner import murmur2
from msgspec import Struct

from gateway.app import VENUES, Gateway
from gateway.clock import SystemClock
from gateway.kafka.topics import create_topics
from gateway.settings.tree import (
    AccountSettings,
    HttpSettings,
    KafkaSettings,
    LimitSettings,
    LoggingSettings,
    PipelineSettings,
    Settings,
    VenueSettings,
    VenuesSettings,
)
from gateway.simulator import Simulator, SimulatorSettings, demo_accounts
from gateway.simulator.config import account_settings
from gateway.simulator.gate import PUBLISHED
from gateway.simulator.journal import Entry
from schemas import JSON, BinanceUsdm, Event, SetLeverage, Target, decode_event, encode
from schemas.codec import ContentType
from schemas.headers import COMMAND_OFFSET, COMMAND_PARTITION, CONTENT_TYPE, content_type
from schemas.topics import Topics
from tests.app.processes import PARTITIONS, PATIENCE, GatewayProcess, until

PLENTY = 10_000_000  # the budgets have tests of their own
ACCOUNT = "desk-1"
Headers = Sequence[tuple[str, bytes]]
Record = ConsumerRecord[Any, Any]


class Place(Struct, frozen=True):
    """Where a command's record is."""

    partition: int
    offset: int


class Rig:
    """One deployment without its gateways."""

    def __init__(self, bootstrap: str, topics: Topics, folder: Path, simulator: Simulator, partitions: int) -> None:
        self.bootstrap = bootstrap
        self.topics = topics
        self.folder = folder
        self.simulator = simulator
        self.partitions = partitions
        self.seen: dict[str, list[Record]] = {"events": [], "state": [], "dead_letters": []}
        self.accounts = account_settings(folder, demo_accounts())
        self._ids = count(1)
        self.producer: Any = AIOKafkaProducer(
            bootstrap_servers=bootstrap, max_request_size=4 * 1024 * 1024, linger_ms=2
        )
        self._consumer: Any = AIOKafkaConsumer(
            topics.events,
            topics.state,
            topics.dead_letters,
            bootstrap_servers=bootstrap,
            group_id=None,
            isolation_level="read_committed",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
        )

    # --- settings ---

    def settings(
        self,
        *,
        kafka: dict[str, Any] | None = None,
        pipeline: dict[str, Any] | None = None,
        venue: dict[str, Any] | None = None,
        venues: dict[str, dict[str, Any]] | None = None,
        accounts: dict[str, AccountSettings] | None = None,
        logging: LoggingSettings | None = None,
    ) -> Settings:
        """Quick ones for this deployment, with these changes: `venue` at every venue, `venues` at some."""
        every: dict[str, Any] = venue or {}
        bounds: dict[str, Any] = {"drain_timeout": 5.0}
        group: dict[str, Any] = {
            "bootstrap_servers": self.bootstrap,
            "group_id": self.topics.commands,
            "topics": self.topics,
            "partitions": self.partitions,
            "session_timeout_ms": 6_000,
            "lease": 4.0,
            "rebalance_timeout_ms": 11_000,
            "request_timeout_ms": 5_000,
            "transaction_timeout_ms": 10_000,
            "commit_interval": 0.2,
        }
        return Settings(
            kafka=KafkaSettings(**group | (kafka or {})),
            pipeline=PipelineSettings(**bounds | (pipeline or {})),
            http=HttpSettings(listen="127.0.0.1:0"),
            logging=logging or LoggingSettings(format="json", level="info"),
            venues=VenuesSettings(**{name: self._venue(name, every | (venues or {}).get(name, {})) for name in VENUES}),
            accounts=self.accounts if accounts is None else accounts,
        )

    def _venue(self, name: str, changes: dict[str, Any]) -> VenueSettings:
        free = LimitSettings(capacity=PLENTY, window=0.1, assume_spent_at_start=False)
        venue: Any = VENUES[name]  # pyright: ignore[reportArgumentType]
        own: dict[str, Any] = {
            "base_url": self.simulator.base_url(venue.name),
            "call_timeout": 1.0,
            "settles_within": 0.1,
            "deadline": 60.0,
            "backoff_base": 0.05,
            "limits": {limit.name: free for limit in venue.limits},
        }
        return VenueSettings(**own | changes)

    # --- gateways ---

    @asynccontextmanager
    async def gateway(self, settings: Settings | None = None, *, ready: bool = True) -> AsyncGenerator[Gateway]:
        """A gateway in this process: ready when entered, drained when left."""
        gateway = Gateway(settings or self.settings(), base_dir=self.folder)
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(gateway.run(stop), name="gateway")
            try:
                if ready:
                    await until(lambda: gateway.health.ready()[0], "the gateway is ready")
                yield gateway
            finally:
                stop.set()

    @asynccontextmanager
    async def process(
        self, name: str, settings: Settings | None = None, *, ready: bool = True
    ) -> AsyncGenerator[GatewayProcess]:
        """`leverage-gateway run`, ready when entered; killed when left, if it is still there."""
        process = GatewayProcess(self.folder, name, settings or self.settings())
        try:
            process.start()
            if ready:
                await process.restored()
            yield process
        finally:
            process.kill()

    # --- commands ---

    def command(self, target: Target | None = None, leverage: Any = 5, **fields: Any) -> SetLeverage:
        """A command with an id of its own."""
        fields = {"command_id": f"c-{next(self._ids)}", "account": ACCOUNT} | fields
        target = target or BinanceUsdm(symbol="BTCUSDT")
        return SetLeverage(target=target, leverage=Decimal(leverage), **fields)

    async def send(self, *commands: SetLeverage, encoding: ContentType = JSON, headers: Headers = ()) -> list[Place]:
        """Produce commands in order, each where it belongs."""
        sent = [
            await self.producer.send(
                self.topics.commands,
                encode(command, encoding),
                key=command.key.encode(),
                partition=self.partition_of(command),
                headers=[(CONTENT_TYPE, encoding.encode()), *headers],
            )
            for command in commands
        ]
        return [Place(at.partition, at.offset) for at in await asyncio.gather(*sent)]

    async def put(
        self, value: bytes | None, *, key: bytes | None = b"k", partition: int = 0, headers: Headers = ()
    ) -> Place:
        """Produce any record."""
        at = await self.producer.send_and_wait(
            self.topics.commands, value, key=key, partition=partition, headers=list(headers)
        )
        return Place(at.partition, at.offset)

    def partition_of(self, command: SetLeverage) -> int:
        """Where Kafka's own partitioner puts it."""
        return (murmur2(command.key.encode()) & 0x7FFFFFFF) % self.partitions

    # --- what came ---

    def events(self, *commands: SetLeverage) -> list[Event]:
        """All events so far, or those of these commands, in order of offset."""
        wanted = {command.command_id for command in commands}
        events = [event_of(record) for record in self.seen["events"]]
        return [event for event in events if not wanted or event.command_id in wanted]

    def records_of(self, topic: str, place: Place) -> list[Record]:
        """What says of itself that it answers the record there."""
        return [record for record in self.seen[topic] if place_of(record) == place]

    async def answers(self, *commands: SetLeverage, patience: float = PATIENCE) -> list[Event]:
        """Wait until each has an event; the first of each, in the commands' order."""
        wanted = {command.command_id for command in commands}
        found: dict[str, Event] = {}
        position = 0

        def all_there() -> bool:
            nonlocal position
            events, start, position = self.seen["events"], position, len(self.seen["events"])
            for record in events[start:position]:
                event = event_of(record)
                found.setdefault(event.command_id, event)
            return wanted <= found.keys()

        await until(all_there, f"answers to {len(wanted)} commands", patience)
        return [found[command.command_id] for command in commands]

    async def ask(self, *commands: SetLeverage, patience: float = PATIENCE) -> list[Event]:
        """Send and wait."""
        await self.send(*commands)
        return await self.answers(*commands, patience=patience)

    async def settled(self) -> None:
        """Until every partition has answered records sent now: what was read before them is answered or dropped."""
        commands = [self.command(leverage=0, account=account) for account in self._account_of_each_partition()]
        await self.ask(*commands)
        places = [await self.put(b"", partition=partition) for partition in range(self.partitions)]
        await until(lambda: all(self.records_of("dead_letters", place) for place in places), "the last dead letters")

    def _account_of_each_partition(self) -> list[str]:
        found: dict[int, str] = {}
        for number in count():
            name = f"nobody-{number}"
            found.setdefault(self.partition_of(self.command(account=name)), name)
            if len(found) == self.partitions:
                break
        return list(found.values())

    def calls(self, lane: str | None = None, venue: str | None = None) -> list[Entry]:
        """The simulator's journal."""
        entries = self.simulator.journal.entries
        return [entry for entry in entries if lane in (None, entry.lane) and venue in (None, entry.venue)]

    async def start(self) -> None:
        """Connect producer and reader."""
        await self.producer.start()
        await self._consumer.start()

    async def reconnect(self) -> None:
        """Forget what the producer knows of the topics."""
        await self.producer.stop()
        self.producer = AIOKafkaProducer(bootstrap_servers=self.bootstrap, linger_ms=2)
        await self.producer.start()

    async def read(self) -> None:
        """Read what is committed, for ever."""
        roles = {self.topics.events: "events", self.topics.state: "state", self.topics.dead_letters: "dead_letters"}
        async for record in self._consumer:
            self.seen[roles[record.topic]].append(record)

    async def stop(self) -> None:
        """Disconnect."""
        await self.producer.stop()
        await self._consumer.stop()


@asynccontextmanager
async def deployed(
    bootstrap: str, folder: Path, *, partitions: int = PARTITIONS, reading: bool = True
) -> AsyncGenerator[Rig]:
    """Topics, simulator and reader; no gateway yet."""
    run = uuid4().hex[:8]
    topics = Topics(
        commands=f"app-{run}",
        events=f"events-{run}",
        state=f"state-{run}",
        dead_letters=f"dlq-{run}",
        dispositions=f"do-{run}",
        policy=f"policy-{run}",
    )
    kafka = KafkaSettings(bootstrap_servers=bootstrap, topics=topics, partitions=partitions)
    await create_topics(Settings(kafka=kafka), base_dir=Path())
    free = {f"{venue}:{limit.name}": PLENTY for venue, limits in PUBLISHED.items() for limit in limits}
    simulator = Simulator(SimulatorSettings(capacities=free), SystemClock())
    await simulator.start()
    rig = Rig(bootstrap, topics, folder, simulator, partitions)
    await rig.start()
    reader = asyncio.create_task(rig.read()) if reading else asyncio.create_task(asyncio.sleep(0))
    try:
        yield rig
    finally:
        reader.cancel()
        await asyncio.gather(reader, return_exceptions=True)
        await rig.stop()
        await simulator.stop()


def place_of(record: Record) -> Place:
    """The command record that an event, state record or dead letter answers."""
    headers = dict(record.headers)
    return Place(int(headers[COMMAND_PARTITION]), int(headers[COMMAND_OFFSET]))


def event_of(record: Record) -> Event:
    """What an event or state record says."""
    return decode_event(record.value or b"", content_type(record.headers))
