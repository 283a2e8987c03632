"""The one way to learn what is answered: ask, fence, ask again, read.

Used when a partition is assigned, and after a transaction whose outcome is unknown. The first question spares the
present owner a fence by one that is none; the second is the proof that a later owner fences after us, so that nothing
is written between its fence and its reading.
"""

from collections.abc import Awaitable
from typing import Protocol, TypeVar

from msgspec import Struct

from gateway.ownership.ledger import Checkpoint, LogPosition
from gateway.ownership.ports import AnswerLog, NotOwnerError, Ownership, Tail
from gateway.ownership.repeats import RepeatWindow

T = TypeVar("T")


class Inheritance(Struct, frozen=True, kw_only=True):
    """What the new owner of a partition knows of it.

    Attributes:
        checkpoint: where to go on.
        tail: what is answered beyond it, and lately.
        end: of the commands topic; what came before it a predecessor may have read.
    """

    checkpoint: Checkpoint
    tail: Tail
    end: int

    @property
    def has_former_topic(self) -> bool:
        """Whether there were commands that are not there any more: a broker forgets the commits of a deleted topic."""
        return self.checkpoint.is_anew or (self.checkpoint.is_first and self.tail.end > LogPosition(0, 0))

    @property
    def had_commands(self) -> bool:
        """Whether there was anything to call for."""
        return self.end > 0 or self.has_former_topic

    @property
    def may_be_called_for(self) -> bool:
        """Whether calls of a predecessor may be under way: there was one, it did not leave in order, and had commands.

        Who calls has committed before. Where nobody has, and no command was ever answered, nobody was here.
        """
        was_owned = not self.checkpoint.is_first or self.tail.end > LogPosition(0, 0)
        return was_owned and not self.checkpoint.clean and self.had_commands

    @property
    def may_have_a_twin(self) -> bool:
        """Whether there was an owner that did not leave in order, so that under a static id it may go on beside us."""
        return not self.checkpoint.clean and not self.checkpoint.is_first

    @property
    def sent_below(self) -> int:
        """Offset below which a predecessor may have sent what is not answered; 0 where there is none such."""
        return self.end if self.may_be_called_for else 0

    @property
    def untold_below(self) -> int:
        """Offset below which commands may have been answered by events that are deleted; 0 where none are."""
        return 0 if self.tail.is_complete else self.end

    def was_quiet_since(self, wall: float) -> bool:
        """Whether there was no predecessor, or it left in order and its last call was before that.

        Its answers alone do not tell: a call that is to be made again has none.
        """
        point = self.checkpoint
        left = point.clean and point.called_at is not None and point.called_at < wall
        is_old = all(answer.at < wall for answer in self.tail.recent)
        return not self.had_commands or ((left or point.is_first) and is_old)


class TakeoverObserver(Protocol):
    """Is told what a takeover finds out of order."""

    def began_anew(self, topic: str, partition: int, why: str) -> None:
        """A partition's commands are not those that were answered: its topic was deleted and made again."""
        ...

    def lost_answers(self, topic: str, partition: int, committed: int, end: int) -> None:
        """Events were deleted that may answer commands from the committed offset to the end: those are not sent."""
        ...


async def take_over(
    ownership: Ownership, log: AnswerLog, window: RepeatWindow, observer: TakeoverObserver
) -> Inheritance:
    """Learn what a predecessor answered; each step asks first whether the partition is still ours.

    Raises:
        NotOwnerError: as `learn`.
    """
    where = ownership.topic, ownership.partition
    checkpoint = await while_ours(ownership, ownership.committed())
    opened = checkpoint._replace(clean=False)
    tail = await learn(ownership, log, opened, checkpoint.mark, window)
    end = await while_ours(ownership, ownership.end())
    known = max(checkpoint.offset, max(tail.answered, default=-1) + 1)
    if known > end:
        # A topic made anew: a broker forgets the offsets committed for one that is deleted, and the events remember it.
        observer.began_anew(*where, f"offset {known - 1} was answered, and its end is {end}")
        beginning = await while_ours(ownership, ownership.beginning())
        checkpoint = Checkpoint(beginning, tail.end, clean=False, is_anew=True)
        await while_ours(ownership, ownership.renew(checkpoint))  # before the first answer of the new topic
        tail = Tail({}, tail.recent, tail.end)
    if not tail.is_complete:
        observer.lost_answers(*where, checkpoint.offset, end)
    return Inheritance(checkpoint=checkpoint, tail=tail, end=end)


async def learn(
    ownership: Ownership, log: AnswerLog, checkpoint: Checkpoint, start: LogPosition, window: RepeatWindow | None = None
) -> Tail:
    """Return what the answer topics say from `start` on, as the only one who can write to them.

    Raises:
        NotOwnerError: the partition is another's. Whatever else Kafka raises may be tried again from the beginning.
    """
    await while_ours(ownership, ownership.renew(checkpoint))
    await while_ours(ownership, log.fence())
    await while_ours(ownership, ownership.renew(checkpoint))
    return await while_ours(ownership, log.read(start, window, lowest=checkpoint.offset))


async def while_ours(ownership: Ownership, step: Awaitable[T]) -> T:
    """Return what a step of a takeover gives; NotOwnerError where the partition went away meanwhile."""
    result = await step
    if not ownership.held:
        raise NotOwnerError("the partition was revoked while it was taken over")
    return result
