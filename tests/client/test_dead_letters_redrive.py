"""A redrive beside a gateway that answers: paced, stopped, gone on with; each letter once whatever comes between."""

import asyncio
from collections import Counter
from contextlib import asynccontextmanager

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from msgspec.structs import replace

from gateway.client.dead_letters import Filters, RedriveOptions, StoppedError, open_dead_letters
from gateway.client.dead_letters.known import Known
from gateway.client.reading import TopicFollower, open_reader
from schemas import LeverageChanged, LeverageRejected, Timestamp, decode_command, encode
from tests.client.letters import answer, command, letter_headers, records_of
from tests.kit.clocks import FakeClock

pytestmark = pytest.mark.kafka
OPTIONS = RedriveOptions(operator="kim", note="venue was down")


class Venue:
    """What it says to each command; `down` from the n-th on, until it is told to come back."""

    def __init__(self, down_from: int | None = None) -> None:
        self.down_from = down_from
        self.asked: list[str] = []

    def event_of(self, asked, number, clock):
        self.asked.append(asked.redrive_of)
        about = {"command_id": asked.command_id, "redrive_of": asked.redrive_of}
        about |= {"occurred_at": Timestamp.from_epoch(clock.wall())}
        if self.down_from is not None and len(self.asked) > self.down_from:
            more = {"leverage": asked.leverage, "reason": "venue_unavailable", "message": "down", "dead_lettered": True}
            return answer(number, LeverageRejected, asked.target.lane, **about, **more)
        more = {"leverage": asked.leverage, "requested_leverage": asked.leverage, "certainty": "confirmed"}
        return answer(number, LeverageChanged, asked.target.lane, **about, **more)


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
async def answered_by(kafka_bootstrap, topics, clock):
    """Stand in for the gateway: answer every command as a venue says."""

    @asynccontextmanager
    async def answering(venue):
        async with open_reader({"bootstrap_servers": kafka_bootstrap}) as reader:
            producer = AIOKafkaProducer(bootstrap_servers=kafka_bootstrap)
            await producer.start()
            commands = TopicFollower(reader, topics.commands, {0: 0})

            async def follow():
                while True:
                    async for records in commands.read_on():
                        for record in records:
                            event = venue.event_of(decode_command(record.value), record.offset, clock)
                            headers = [("gateway-command-offset", b"%d" % record.offset)]
                            await producer.send_and_wait(topics.events, encode(event), partition=0, headers=headers)
                    await asyncio.sleep(0.01)

            task = asyncio.create_task(follow())
            try:
                yield
            finally:
                task.cancel()
                await asyncio.wait([task])
                await producer.stop()

    return answering


@pytest.fixture
async def desk(kafka_bootstrap, topics, clock):
    kafka = {"bootstrap_servers": kafka_bootstrap}
    async with open_dead_letters(kafka, topics, group=topics.commands, clock=clock) as desk:
        yield desk


@pytest.fixture
async def planned(desk, topics, write):
    """Letters of as many lanes, and their plan."""

    async def plan(count, **more):
        letters = [(encode(command(n, f"L{n}", **more)), letter_headers(n)) for n in range(count)]
        await write(topics.dead_letters, *letters)
        made, _ = await desk.plan(Filters(), max_redrives=3)
        return made

    return plan


async def verdicts(desk, plan, options=OPTIONS, **more):
    return [row.verdict async for row in desk.apply(plan, options, **more)]


async def until_stopped(desk, plan, options=OPTIONS, *, stop=None, after=None):
    """Apply until it stops itself, or is told to after so many letters; what was judged, and why it stopped."""
    judged = []
    try:
        async for row in desk.apply(plan, options, stop=stop):
            judged.append(row.verdict)
            if len(judged) == after:
                stop.set()
    except StoppedError as error:
        return judged, str(error)
    return judged, None


@pytest.fixture
def sent(kafka_bootstrap, topics):
    """How often each letter's command was sent again by now."""

    async def count():
        records = await records_of(kafka_bootstrap, topics.commands)
        return Counter(decode_command(record.value).redrive_of for record in records)

    return count


async def test_a_venue_that_goes_down_at_ten_percent_gets_one_letter_at_a_time_until_it_is_back(
    desk, planned, answered_by, clock, sent
):
    plan, venue, waits = await planned(40), Venue(down_from=4), []

    def tell(why):
        if "the next goes at" in why:
            waits.append(len(venue.asked))
            clock.advance(31)
            if len(waits) == 2:
                venue.down_from = None

    async with answered_by(venue):
        assert await verdicts(desk, plan, tell=tell) == ["apply"] * 40
    assert waits[0] < 20
    assert waits[1] == waits[0] + 1
    assert await sent() == Counter([f"c{n}" for n in range(40)])


async def test_a_share_that_fails_again_stops_it_and_the_same_plan_goes_on(desk, planned, answered_by, sent):
    plan, venue = await planned(30), Venue(down_from=3)
    async with answered_by(venue):
        judged, why = await until_stopped(desk, plan, replace(OPTIONS, stop_at=0.5))
        assert "failed again" in (why or "")
        assert set(judged) == {"apply"}
        assert len(judged) <= 15
        venue.down_from = None
        rest = await verdicts(desk, plan, replace(OPTIONS, stop_at=0.5))
    assert Counter(rest) == {"done": len(judged), "apply": 30 - len(judged)}
    assert await sent() == Counter([f"c{n}" for n in range(30)])


async def test_told_to_stop_it_ends_between_two_steps_and_the_same_plan_goes_on(desk, planned, sent):
    plan = await planned(30)
    judged, why = await until_stopped(desk, plan, stop=asyncio.Event(), after=4)
    assert why == "it was told to stop"
    assert judged == ["apply"] * 7
    assert sum((await sent()).values()) == 7
    assert Counter(await verdicts(desk, plan)) == {"done": 7, "apply": 23}


async def test_letters_that_are_gone_when_their_turn_comes_are_said_to_be(desk, planned, kafka_bootstrap, topics, sent):
    plan = await planned(5)
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka_bootstrap)
    await admin.start()
    await admin.delete_records({TopicPartition(topics.dead_letters, 0): RecordsToDelete(before_offset=3)})
    await admin.close()
    assert await verdicts(desk, plan) == ["gone", "gone", "gone", "apply", "apply"]
    assert await sent() == Counter(["c3", "c4"])


async def test_what_expired_lives_again_only_with_a_new_expiry(desk, planned, kafka_bootstrap, topics, clock):
    plan = await planned(1, expires_at=Timestamp.from_epoch(clock.wall() - 1))
    assert [row.verdict for row in plan.letters] == ["expired"]
    assert await verdicts(desk, plan) == []
    assert await verdicts(desk, plan, replace(OPTIONS, expires_in=60.0)) == ["apply"]
    (record,) = await records_of(kafka_bootstrap, topics.commands)
    assert decode_command(record.value).expires_at == Timestamp.from_epoch(clock.wall() + 60)


async def test_a_newer_command_that_waits_for_its_answer_makes_a_letter_obsolete(desk, planned, write, topics):
    plan = await planned(2)
    await write(topics.commands, *[(encode(command(50, "X")), [])] * 2, (encode(command(9, "L1", leverage=5)), []))
    assert await verdicts(desk, plan) == ["apply", "obsolete"]
    fresh, _ = await desk.plan(Filters(), max_redrives=3)
    (row,) = fresh.letters
    assert (row.letter, row.verdict) == ("0:1", "obsolete")
    assert "waits for its answer: c9" in row.why


async def test_letters_that_are_not_to_be_sent_take_no_step_each(desk, planned, monkeypatch):
    plan, looks, read_on = await planned(300), [], Known.read_on

    async def counted(known):
        looks.append(1)
        await read_on(known)

    assert await verdicts(desk, plan) == ["apply"] * 300
    monkeypatch.setattr(Known, "read_on", counted)
    assert await verdicts(desk, plan) == ["done"] * 300
    assert len(looks) <= 3
