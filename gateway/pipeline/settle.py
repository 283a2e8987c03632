"""The last room: answers gather for a few milliseconds and are committed in one transaction.

A transaction whose outcome is unknown is not guessed about: ownership is asked for, the transactional id is taken over
anew (which ends whatever hung), the answer topics are read, and only what is not there is written again.
"""

import asyncio
from collections.abc import Callable

from gateway.clock import Clock
from gateway.ownership.ledger import Ledger, LogPosition
from gateway.ownership.ports import AnswerLog, NotOwnerError, Ownership
from gateway.pipeline.answers import Answer, out_records
from gateway.pipeline.observer import Observer

MAX_ANSWERS = 500  # a transaction; keeps it well below the broker's request size


class Settlement:
    """The answers of one partition on their way into the answer topics."""

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
        committed: Callable[[Answer], None],
        observer: Observer,
    ) -> None:
        """`collect`: seconds to gather; `patience`: seconds for one transaction; `committed` is told each answer."""
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
        self._gathered: list[tuple[Answer, asyncio.Future[None]]] = []
        self._arrived = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def position(self) -> int:
        """The next offset to fetch."""
        return self._ledger.position

    def add(self, answer: Answer) -> asyncio.Future[None]:
        """Take an answer on, bounded by the incomplete commands; the future is done when it is committed."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._gathered.append((answer, done))
        self._arrived.set()
        self._idle.clear()
        return done

    async def idle(self) -> None:
        """Wait until every answer taken on is committed."""
        await self._idle.wait()

    async def run(self) -> None:
        """Commit what gathers, for ever; NotOwnerError where the partition turns out to be lost."""
        while True:
            await self._arrived.wait()
            await asyncio.sleep(self._collect)
            batch, self._gathered = self._gathered[:MAX_ANSWERS], self._gathered[MAX_ANSWERS:]
            if not self._gathered:
                self._arrived.clear()
            await self._commit(batch)
            if not self._gathered:
                self._idle.set()

    async def _commit(self, batch: list[tuple[Answer, asyncio.Future[None]]]) -> None:
        begun = self._clock.monotonic()
        mark = await self._write([answer for answer, _ in batch])
        for answer, done in batch:
            self._ledger.answer(answer.record.offset)
            self._committed(answer)
            if not done.done():
                done.set_result(None)
        self._ledger.advance(mark)
        partition = batch[0][0].record.partition
        self._observer.transacted(partition, len(batch), self._clock.monotonic() - begun)

    async def _write(self, batch: list[Answer]) -> LogPosition:
        start = self._ledger.end
        while True:
            records = [
                record for answer in batch for record in out_records(answer, topic=self._topic, group=self._group)
            ]
            try:
                async with asyncio.timeout(self._patience):
                    return await self._log.write(records)
            except NotOwnerError:
                raise
            except Exception as error:  # noqa: BLE001 - whatever a client raises here, the cure is the same
                self._observer.recovered(batch[0].record.partition, error)
            written, mark = await self._find_out(start)
            batch = [answer for answer in batch if answer.record.offset not in written]
            if not batch:
                return mark

    async def _find_out(self, start: LogPosition) -> tuple[set[int], LogPosition]:
        """Read what became of the transaction, as often as it takes to reach the broker."""
        pause = 0.05
        while True:
            try:
                async with asyncio.timeout(self._patience):
                    await self._ownership.renew(self._ledger.checkpoint())
                    await self._log.fence()
                    await self._ownership.renew(self._ledger.checkpoint())  # ours still: a later owner fences after us
                    tail = await self._log.read(start)
                return {answered.command_offset for answered in tail.answers}, tail.end
            except NotOwnerError:
                raise
            except Exception as error:  # noqa: BLE001 - as above
                self._observer.recovered(-1, error)
                await asyncio.sleep(pause)
                pause = min(2.0, pause * 2)
