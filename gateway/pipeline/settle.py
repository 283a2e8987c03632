"""The last room: answers gather for a few milliseconds and are committed in one transaction.

A transaction whose outcome is unknown is not guessed about: what is answered is learned anew (`takeover`), and only
what is not there is written again. One that the broker refuses, or that takes too long, is written in smaller parts.
"""

import asyncio
from collections.abc import Callable, Sequence

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, wait_exponential

from gateway.clock import Clock
from gateway.ownership.ledger import Ledger, LogPosition
from gateway.ownership.ports import (
    AnswerLog,
    ForeignAnswersError,
    NotOwnerError,
    OutRecord,
    Ownership,
    RecordRefusedError,
    Tail,
)
from gateway.ownership.takeover import learn
from gateway.pipeline.answers import Answer, out_records
from gateway.pipeline.observer import Observer

MAX_ANSWERS = 500  # a transaction; keeps it well below the broker's request size
TOLD_AT_ONCE = 50
SHORTEST_PAUSE, LONGEST_PAUSE = 0.05, 2.0  # seconds between two tries


class Settlement:
    """The answers of one partition on their way into the answer topics.

    Attributes:
        failures: tries in a row that committed nothing; none since the last transaction that did.
    """

    def __init__(
        self,
        *,
        topic: str,
        group: str,
        ledger: Ledger,
        log: AnswerLog,
        ownership: Ownership,
        clock: Clock,
        collect: float,
        patience: float,
        committed: Callable[[Sequence[Answer]], None],
        observer: Observer,
    ) -> None:
        """Take the parts.

        Args:
            topic: the commands'.
            group: whose dead letters these are.
            ledger: which commands are answered.
            log: the answer topics.
            ownership: of the partition.
            clock: the time.
            collect: seconds to gather answers.
            patience: seconds for one transaction.
            committed: is told what is in the log, in order.
            observer: is told of transactions.
        """
        self._topic = topic
        self._group = group
        self._ledger = ledger
        self._log = log
        self._ownership = ownership
        self._clock = clock
        self._collect = collect
        self._patience = patience
        self._committed = committed
        self._observer = observer
        self._gathered: list[Answer] = []
        self._size = MAX_ANSWERS
        self._cut: set[int] = set()
        self.failures = 0
        self._arrived = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def position(self) -> int:
        """The next offset to fetch."""
        return self._ledger.position

    def add(self, answer: Answer) -> None:
        """Take an answer on, bounded by the incomplete commands."""
        self._gathered.append(answer)
        self._arrived.set()
        self._idle.clear()

    async def idle(self) -> None:
        """Wait until every answer taken on is committed."""
        await self._idle.wait()

    async def run(self) -> None:
        """Commit what gathers, for ever; NotOwnerError where the partition turns out to be lost.

        ForeignAnswersError where another group answers too.
        """
        while True:
            await self._arrived.wait()
            await asyncio.sleep(self._collect)
            batch, self._gathered = self._gathered[:MAX_ANSWERS], self._gathered[MAX_ANSWERS:]
            if not self._gathered:
                self._arrived.clear()
            while batch:
                part, rest = batch[: self._size], batch[self._size :]
                batch = [*await self._commit(part), *rest]
            self._size = min(MAX_ANSWERS, 2 * self._size)
            if not self._gathered:
                self._idle.set()

    async def _commit(self, batch: list[Answer]) -> list[Answer]:
        """Write a batch in one transaction; those that are not in the log after it are returned."""
        begun = self._clock.monotonic()
        written, mark = await self._write(batch)
        committed = [answer for answer in batch if answer.record.offset in written]
        for answer in committed:
            self._ledger.answer(answer.record.offset)
            self._cut.discard(answer.record.offset)
        self._ledger.advance(mark)
        if committed:
            self.failures = 0
            await self._tell(committed)
            self._observer.transacted(batch[0].record.partition, len(committed), self._clock.monotonic() - begun)
        return [answer for answer in batch if answer.record.offset not in written]

    async def _tell(self, committed: Sequence[Answer]) -> None:
        """Say what is in the log, some in each turn of the loop: each may begin its lane's next call."""
        for start in range(0, len(committed), TOLD_AT_ONCE):
            self._committed(committed[start : start + TOLD_AT_ONCE])
            await asyncio.sleep(0)

    async def _write(self, batch: list[Answer]) -> tuple[set[int], LogPosition]:
        """The offsets whose answers are in the log after one transaction, and where the log ends."""
        start, offsets = self._ledger.end, {answer.record.offset for answer in batch}
        try:
            async with asyncio.timeout(self._patience):
                mark = await self._log.write([record for answer in batch for record in self._records(answer)])
        except NotOwnerError:
            raise
        except RecordRefusedError as refused:
            await self._make_smaller(batch, refused)
        except Exception as error:  # noqa: BLE001 - whatever a client raises here, the cure is the same
            self.failures += 1
            self._observer.recovered(batch[0].record.partition, error)
            if isinstance(error, TimeoutError) and self.failures > 1:
                self._size = max(1, len(batch) // 2)
        else:
            return offsets, mark
        tail = await self._learn(batch[0].record.partition, start)
        return offsets & tail.answered.keys(), tail.end

    def _records(self, answer: Answer) -> list[OutRecord]:
        is_cut = answer.record.offset in self._cut
        return out_records(answer, topic=self._topic, group=self._group, is_cut=is_cut)

    async def _make_smaller(self, batch: list[Answer], refused: RecordRefusedError) -> None:
        """Prepare the next try after a refusal: fewer answers, a letter cut short, or where neither helps, later."""
        offset = batch[0].record.offset
        if refused.is_too_large and len(batch) > 1:
            self._size = len(batch) // 2
        elif refused.is_too_large and refused.topic == "dead_letters" and offset not in self._cut:
            self._cut.add(offset)
        else:
            self.failures += 1
            self._observer.refused(batch[0].record.partition, str(refused), self.failures)
            await asyncio.sleep(min(LONGEST_PAUSE, SHORTEST_PAUSE * 2 ** min(self.failures, 10)))

    async def _learn(self, partition: int, start: LogPosition) -> Tail:
        """Read what became of a transaction, as often as it takes to reach the broker."""
        async for attempt in AsyncRetrying(
            retry=retry_if_exception(_may_pass),
            wait=wait_exponential(SHORTEST_PAUSE, LONGEST_PAUSE),
            before_sleep=lambda state: self._still_unknown(partition, state),
            sleep=asyncio.sleep,
        ):
            with attempt:
                async with asyncio.timeout(self._patience):
                    return await learn(self._ownership, self._log, self._ledger.checkpoint(), start)
        raise RuntimeError("it is tried until it is known")

    def _still_unknown(self, partition: int, state: RetryCallState) -> None:
        self.failures += 1
        error = state.outcome.exception() if state.outcome else None
        self._observer.recovered(partition, error or RuntimeError("unknown"))


def _may_pass(error: BaseException) -> bool:
    return isinstance(error, Exception) and not isinstance(error, NotOwnerError | ForeignAnswersError)
