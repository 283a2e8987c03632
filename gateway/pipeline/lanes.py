"""The order of commands: per lane one at a time, oldest first, or only the newest where latest wins.

Pure: no await, no clock. `partition` admits commands, `execute` takes and finishes them.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator

from gateway.pipeline.command import Command
from schemas import VenueName

LaneKey = tuple[VenueName, str, str]


class Lane:
    """One lane.

    Attributes:
        running: the command at the venue now, or whose answer is being committed.
        waiting: those that come after it, oldest first.
        answered: done when the last one that needed no turn, refused or superseded, has its committed answer.
        not_before: monotonic seconds until which an earlier call may still take effect.
        changed: told when another command goes next.
        server: the task that serves it.
    """

    __slots__ = ("answered", "changed", "key", "not_before", "running", "server", "waiting")

    def __init__(self, key: LaneKey) -> None:
        self.key = key
        self.running: Command | None = None
        self.waiting: deque[Command] = deque()
        self.answered: asyncio.Future[None] | None = None
        self.not_before = float("-inf")
        self.changed: Callable[[], None] | None = None
        self.server: asyncio.Task[None] | None = None

    @property
    def venue(self) -> VenueName:
        """The venue all its commands go to."""
        return self.key[0]

    @property
    def account(self) -> str:
        """The account they are for."""
        return self.key[1]

    @property
    def head(self) -> Command | None:
        """The command that goes next."""
        return self.waiting[0] if self.waiting else None

    @property
    def idle(self) -> bool:
        """Whether there is nothing to do."""
        return self.running is None and not self.waiting

    def is_settled(self, now: float) -> bool:
        """Whether no call of it is under way, or of unknown outcome."""
        doubtful = any(command.doubtful for command in self.waiting)
        return self.running is None and self.not_before <= now and not doubtful

    @property
    def is_overtaken(self) -> bool:
        """Whether a newer command waits behind one that a predecessor may have sent, and the venue can be asked."""
        head = self.head
        return head is not None and len(self.waiting) > 1 and head.doubtful and not (head.attempts or head.asked)

    def take(self) -> Command:
        """Start the head: from here on it cannot be superseded."""
        if self.running is not None:
            raise RuntimeError(f"lane {self.key} is taken already")
        self.running = self.waiting.popleft()
        return self.running

    def put_back(self) -> Command:
        """The running command was certainly not applied: it waits again, in front."""
        command = self.finish()
        self.waiting.appendleft(command)
        return command

    def finish(self) -> Command:
        """The running command has its answer."""
        if self.running is None:
            raise RuntimeError(f"lane {self.key} has nothing running")
        command, self.running = self.running, None
        return command

    def supersede(self) -> list[Command]:
        """Let only the newest wait; the others, oldest first, are returned for their answer.

        One that may have been applied stays in front: what became of it is not known yet.
        """
        if len(self.waiting) <= 1:
            return []
        *older, newest = self.waiting
        self.waiting = deque([*(command for command in older if command.doubtful), newest])
        if self.changed:
            self.changed()
        return [command for command in older if not command.doubtful]


class Lanes:
    """All lanes of one partition that have something to do; an idle lane is forgotten."""

    def __init__(self) -> None:
        self._lanes: dict[LaneKey, Lane] = {}
        self._refused: dict[LaneKey, asyncio.Future[None]] = {}

    def __len__(self) -> int:
        return len(self._lanes)

    def __iter__(self) -> Iterator[Lane]:
        return iter(self._lanes.values())

    def admit(self, command: Command) -> tuple[Lane, bool]:
        """Let a command wait in its lane; True where the lane is new and needs somebody to serve it."""
        lane = self._lanes.get(command.lane)
        new = lane is None
        if lane is None:
            lane = self._lanes[command.lane] = Lane(command.lane)
            lane.answered = self._refused.get(command.lane)
        lane.waiting.append(command)
        return lane, new

    def refuse(self, key: LaneKey, answered: asyncio.Future[None]) -> None:
        """A command of this lane got an answer at once: those that come later wait until it is committed."""
        if key in self._lanes:
            self._lanes[key].answered = answered
        self._refused[key] = answered
        answered.add_done_callback(lambda _: self._refused.pop(key) if self._refused.get(key) is answered else None)

    def forget(self, lane: Lane) -> None:
        """Drop an idle lane."""
        if not lane.idle:
            raise RuntimeError(f"lane {lane.key} still has work")
        del self._lanes[lane.key]

    def settled(self, now: float) -> bool:
        """Whether no lane has a call under way, or one of unknown outcome behind it."""
        return all(lane.is_settled(now) for lane in self)
