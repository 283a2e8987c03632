"""Answers on their way into the answer topics, also where nobody says whether they arrived."""

import asyncio

import pytest

from gateway.outcomes import Applied
from gateway.ownership.ledger import Checkpoint, Ledger, LogPosition
from gateway.ownership.ports import NotOwnerError, RecordRefusedError
from gateway.pipeline import answers
from gateway.pipeline.command import CommandRecord
from gateway.pipeline.settle import MAX_ANSWERS, Settlement
from tests.kit.answer_log import AnswerTopics, MemoryAnswerLog
from tests.kit.bench import Quiet, incoming
from tests.kit.clocks import NOON
from tests.kit.ownership import MemoryGroup
from tests.kit.world import LoopClock, on_virtual_time


def fenced_log(*fates):
    """A log whose id is taken; what becomes of its next transactions."""
    return MemoryAnswerLog(AnswerTopics(), *fates, is_fenced=True)


def owned(log, **more):
    """The partition, as its present owner has it; what he asks of the group is noted beside what he does with the log."""
    return MemoryGroup(did=log.did).claim(**more)


class Desk:
    """A settlement with all it needs."""

    def __init__(self, world, log, ownership=None):
        self.world, self.log, self.told, self.futures = world, log, [], {}
        self.ledger = Ledger(Checkpoint(0, LogPosition(0, 0), clean=True), LogPosition(0, 0))
        self.settlement = Settlement(
            topic="t",
            group="g",
            ledger=self.ledger,
            log=log,
            ownership=ownership or owned(log),
            clock=LoopClock(world),
            collect=0.005,
            patience=2.0,
            committed=self.committed,
            observer=Quiet([]),
        )
        self.running = asyncio.get_running_loop().create_task(self.settlement.run())

    def committed(self, committed):
        for answer in committed:
            self.told.append(answer.record.offset)
            self.futures[answer.record.offset].set_result(None)

    def put(self, answer):
        self.settlement.add(answer)
        future = self.futures[answer.record.offset] = asyncio.get_running_loop().create_future()
        return future

    def add(self, *offsets):
        for offset in offsets:
            self.ledger.fetch(offset)
        return [
            self.put(answers.changed(incoming(offset, leverage=5), Applied(), topic="t", now=NOON, attempts=1))
            for offset in offsets
        ]

    async def end(self):
        self.running.cancel()
        await asyncio.wait([self.running])


def settling(scenario, log, **more):
    async def main(world):
        desk = Desk(world, log, **more)
        await scenario(desk)
        await desk.end()

    on_virtual_time(main)


def test_answers_that_gather_within_the_collection_time_share_a_transaction():
    async def scenario(desk):
        desk.add(0)
        await asyncio.sleep(0.003)
        await asyncio.gather(*desk.add(1, 2))
        await asyncio.gather(*desk.add(3))
        assert desk.log.did == ["commit [0, 1, 2]", "commit [3]"]
        assert desk.told == [0, 1, 2, 3]
        assert desk.ledger.incomplete == 0
        assert desk.ledger.checkpoint().mark == LogPosition(6, 0)  # with the markers of two transactions

    settling(scenario, fenced_log())


def test_nothing_is_told_before_it_is_committed():
    async def scenario(desk):
        (future,) = desk.add(0)
        await asyncio.sleep(1.0)
        assert not future.done()
        assert desk.told == []
        assert desk.ledger.incomplete == 1
        await future

    settling(scenario, fenced_log("hang"))


def test_a_transaction_has_a_bound():
    async def scenario(desk):
        await asyncio.gather(*desk.add(*range(MAX_ANSWERS + 1)))
        assert [len(done.split(",")) for done in desk.log.did] == [MAX_ANSWERS, 1]

    settling(scenario, fenced_log())


@pytest.mark.parametrize("fate", ["lose the answer", "abort", "hang"])
def test_after_an_unknown_outcome_ownership_is_asked_the_id_taken_and_only_what_is_missing_written(fate):
    async def scenario(desk):
        await asyncio.gather(*desk.add(0, 1))
        again = [] if fate == "lose the answer" else ["commit [0, 1]"]
        assert desk.log.did == [f"{fate} [0, 1]", "renew", "fence", "renew", "read from 0", *again]
        assert desk.log.topics.answered() == [0, 1]
        assert desk.told == [0, 1]
        await asyncio.gather(*desk.add(2))
        assert desk.log.topics.answered() == [0, 1, 2]

    settling(scenario, fenced_log(fate))


def test_finding_out_is_tried_until_the_broker_answers():
    async def scenario(desk):
        await asyncio.gather(*desk.add(0))
        assert desk.log.topics.answered() == [0]
        assert desk.log.did.count("renew") == 5

    log = fenced_log("abort")
    settling(scenario, log, ownership=owned(log, failures=3))


def test_who_is_no_owner_any_more_takes_no_id_and_writes_nothing():
    async def main(world):
        log = fenced_log("abort")
        group = MemoryGroup(did=log.did)
        desk = Desk(world, log, group.claim())
        group.claim()
        (future,) = desk.add(0)
        with pytest.raises(NotOwnerError):
            await desk.running
        assert log.did == ["abort [0]", "renew"]
        assert not future.done()

    on_virtual_time(main)


def test_who_loses_the_partition_between_asking_and_taking_the_id_writes_nothing_more():
    async def main(world):
        log = fenced_log("abort")
        group = MemoryGroup(did=log.did)
        fence = log.fence

        async def stopped_meanwhile():
            await fence()
            group.claim()

        log.fence = stopped_meanwhile
        desk = Desk(world, log, group.claim())
        desk.add(0)
        with pytest.raises(NotOwnerError):
            await desk.running
        assert log.did == ["abort [0]", "renew", "fence", "renew"]
        assert log.topics.answered() == []

    on_virtual_time(main)


def test_it_is_idle_when_everything_taken_on_is_committed():
    async def scenario(desk):
        await desk.settlement.idle()
        desk.add(0)
        await desk.settlement.idle()
        assert desk.told == [0]

    settling(scenario, fenced_log())


class RefusingLog(MemoryAnswerLog):
    """Takes transactions of at most `most` records of dead letters, none over `largest` bytes."""

    def __init__(self, most: int = 1, largest: int = 2000) -> None:
        super().__init__(AnswerTopics(), is_fenced=True)
        self.most = most
        self.largest = largest
        self.letters: list[bytes | None] = []

    async def write(self, records):
        letters = [record for record in records if record.topic == "dead_letters"]
        if len(letters) > self.most or any(len(letter.value or b"") > self.largest for letter in letters):
            self.did.append(f"refuse {len(letters)}")
            self.lose_id()
            raise RecordRefusedError("dead_letters", "too large", is_too_large=True)
        self.letters += [letter.value for letter in letters]
        return await super().write(records)


def undecodable(offset, size):
    record = CommandRecord(partition=0, offset=offset, timestamp_ms=0, key=b"k", value=b"x" * size, headers=())
    return answers.undecodable(record, "no command", now=NOON)


def test_what_is_too_large_together_is_written_in_smaller_parts():
    async def scenario(desk):
        for offset in range(4):
            desk.ledger.fetch(offset)
        await asyncio.gather(*(desk.put(undecodable(offset, 10)) for offset in range(4)))
        assert desk.log.letters == [b"x" * 10] * 4
        assert desk.told == [0, 1, 2, 3]
        assert [done for done in desk.log.did if done.startswith("refuse")] == ["refuse 4", "refuse 2"]

    settling(scenario, RefusingLog())


def test_a_letter_too_large_for_its_topic_is_cut_to_its_first_kilobyte():
    async def scenario(desk):
        desk.ledger.fetch(0)
        await desk.put(undecodable(0, 5000))
        assert desk.log.letters == [b"x" * 1024]
        desk.ledger.fetch(1)
        await desk.put(undecodable(1, 1500))
        assert desk.log.letters[1] == b"x" * 1500

    settling(scenario, RefusingLog())


def test_what_cannot_be_made_smaller_waits_with_growing_pauses_until_it_is_taken():
    async def scenario(desk):
        log = desk.log
        log.largest = 0
        desk.ledger.fetch(0)
        settled = desk.put(undecodable(0, 10))
        await asyncio.sleep(60.0)
        assert not settled.done()
        assert desk.settlement.failures > 5
        assert log.did.count("refuse 1") < 60
        log.largest = 2000
        await settled
        assert desk.settlement.failures == 0

    settling(scenario, RefusingLog())


def test_a_transaction_that_times_out_again_and_again_is_cut_smaller():
    async def scenario(desk):
        await asyncio.gather(*desk.add(0, 1, 2, 3))
        sizes = [len(done.split(",")) for done in desk.log.did if done.startswith(("hang", "commit"))]
        assert sizes == [4, 4, 2, 2]

    settling(scenario, fenced_log("hang", "hang"))
