"""The ledger under any interleaving of fetching, answering, committing, crashing and handing over."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gateway.ownership.ledger import Checkpoint, Ledger, LogPosition


class AnswerTopics:
    """Events and dead letters of one partition: each entry the command that it answers, or a transaction's marker."""

    def __init__(self) -> None:
        self.logs: tuple[list[int | None], list[int | None]] = ([], [])

    @property
    def end(self) -> LogPosition:
        return LogPosition(len(self.logs[0]), len(self.logs[1]))

    def commit(self, answers: list[tuple[int, bool]]) -> LogPosition:
        for offset, unreadable in answers:
            self.logs[unreadable].append(offset)
        for log in self.logs:
            log.append(None)
        return self.end

    def tail(self, mark: LogPosition) -> list[int]:
        return [
            offset for log, start in zip(self.logs, mark, strict=True) for offset in log[start:] if offset is not None
        ]


class Owners(RuleBasedStateMachine):
    """One partition and its successive owners; `model` is what is true, the ledger is what they believe."""

    def __init__(self) -> None:
        super().__init__()
        self.topics = AnswerTopics()
        self.produced = 0
        self.answered: set[int] = set()
        self.skipped: set[int] = set()
        self.unanswered: set[int] = set()
        self.committed = Checkpoint(0, LogPosition(0, 0), clean=False)
        self.ledger = Ledger(self.committed, LogPosition(0, 0))

    @rule(count=st.integers(1, 5))
    def produce(self, count: int) -> None:
        self.produced += count

    @precondition(lambda self: self.ledger.position < self.produced)
    @rule(count=st.integers(1, 4), gap=st.booleans(), repeat=st.booleans())
    def fetch(self, count: int, gap: bool, repeat: bool) -> None:
        for _ in range(min(count, self.produced - self.ledger.position)):
            offset = self.ledger.position
            new = self.ledger.fetch(offset)
            assert new == (offset not in self.answered), "what was answered is not new, and all else is"
            if new:
                self.unanswered.add(offset)
            assert not self.ledger.fetch(offset), "nothing is new twice"
        if repeat and self.unanswered:  # the last one's id was seen before: skipped without an answer
            last = max(self.unanswered)
            self.unanswered.discard(last)
            self.skipped.add(last)
            self.ledger.answer(last)
        del gap

    @precondition(lambda self: self.unanswered)
    @rule(data=st.data())
    def answer(self, data: st.DataObject) -> None:
        batch = self._batch(data)
        mark = self.topics.commit(batch)
        for offset, _ in batch:
            self.ledger.answer(offset)
        self.ledger.advance(mark)

    @precondition(lambda self: self.unanswered)
    @rule(data=st.data())
    def crash_after_the_transaction_and_before_knowing(self, data: st.DataObject) -> None:
        self.topics.commit(self._batch(data))
        self.hand_over()

    @rule()
    def commit(self) -> None:
        self.committed = self.ledger.checkpoint()

    @rule()
    def aborted_transaction(self) -> None:
        self.topics.commit([])

    @rule()
    def hand_over(self) -> None:
        checkpoint = Checkpoint.read(self.committed.offset, self.committed.metadata)
        tail = self.topics.tail(checkpoint.mark)
        above = {offset for offset in self.answered if offset >= checkpoint.offset}
        assert above <= set(tail), "the mark finds every answer above the committed offset"
        self.ledger = Ledger(checkpoint, self.topics.end, dict.fromkeys(tail, 0))
        self.unanswered.clear()

    @invariant()
    def checkpoint_never_passes_an_unanswered_command(self) -> None:
        fetched = range(self.ledger.position)
        missing = [offset for offset in fetched if offset not in self.answered | self.skipped]
        assert self.ledger.checkpoint().offset <= min(missing, default=self.ledger.position)

    @invariant()
    def nothing_is_skipped(self) -> None:
        for offset in range(self.committed.offset, self.ledger.position):
            assert offset in self.answered | self.skipped | self.unanswered

    @invariant()
    def memory_is_for_the_unanswered(self) -> None:
        assert self.ledger.incomplete == len(self.ledger._unanswered) == len(self.unanswered)
        assert len(self.ledger._answered_before) <= sum(offset >= self.committed.offset for offset in self.answered)

    @invariant()
    def mark_only_rises(self) -> None:
        mark = self.ledger.checkpoint().mark
        assert mark.events <= self.topics.end.events
        assert mark.dead_letters <= self.topics.end.dead_letters

    def _batch(self, data: st.DataObject) -> list[tuple[int, bool]]:
        offsets = data.draw(st.lists(st.sampled_from(sorted(self.unanswered)), min_size=1, unique=True))
        batch = [(offset, data.draw(st.booleans())) for offset in offsets]
        self.answered |= set(offsets)
        self.unanswered -= set(offsets)
        return batch


TestOwners = Owners.TestCase
TestOwners.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


def test_metadata_that_is_not_ours_means_read_everything_and_trust_nothing():
    for metadata in ("", "2 1 1 clean", "1 x 1 clean", "1 1 clean", "1 1 1 clean x", "someone else's"):
        assert Checkpoint.read(7, metadata) == Checkpoint(7, LogPosition(0, 0), clean=False)


def test_checkpoint_survives_its_own_metadata():
    for clean, called_at in ((True, None), (True, 1_795_262_400.0), (False, None)):
        point = Checkpoint(42, LogPosition(17, 3), clean, called_at=called_at)
        assert Checkpoint.read(42, point.metadata) == point
    anew = Checkpoint(42, LogPosition(17, 3), clean=False, is_anew=True)
    assert Checkpoint.read(42, anew.metadata) == anew


def test_a_transaction_of_one_topic_does_not_move_the_others_end_back():
    ledger = Ledger(Checkpoint(0, LogPosition(5, 5), clean=True), LogPosition(5, 5))
    ledger.advance(LogPosition(9, 2))
    assert ledger.end == LogPosition(9, 5)
