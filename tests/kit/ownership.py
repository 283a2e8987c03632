"""A partition of commands in memory, and what its group knows of it; `ownership_contract` says what holds of it."""

from gateway.ownership.ledger import Checkpoint, LogPosition
from gateway.ownership.ports import NotOwnerError


class MemoryGroup:
    """What is committed for a partition, who has it, and how many commands there are.

    Attributes:
        checkpoint: None where nobody has committed anything.
        end: of the commands.
        did: what was asked, in order.
    """

    def __init__(self, checkpoint: Checkpoint | None = None, *, did: list[str] | None = None) -> None:
        self.checkpoint = checkpoint
        self.end = 0
        self.did: list[str] = [] if did is None else did
        self.owner: MemoryOwnership | None = None

    def claim(self, *, failures: int = 0) -> "MemoryOwnership":
        """Another owner, who is not told to the one before; his first commits fail."""
        self.owner = MemoryOwnership(self, failures)
        return self.owner


class MemoryOwnership:
    """One owner's claim."""

    topic, partition = "t", 0

    def __init__(self, group: MemoryGroup, failures: int) -> None:
        self._group = group
        self._failures = failures
        self.held = True

    async def committed(self) -> Checkpoint:
        self._group.did.append("committed")
        if self._group.checkpoint is None:
            return Checkpoint(0, LogPosition(0, 0), clean=False, is_first=True)
        return self._group.checkpoint

    async def renew(self, checkpoint: Checkpoint) -> None:
        self._group.did.append("renew")
        if self._failures:
            self._failures -= 1
            raise TimeoutError
        if self._group.owner is not self:
            self.held = False
            raise NotOwnerError
        self._group.checkpoint = checkpoint

    async def beginning(self) -> int:
        return 0

    async def end(self) -> int:
        return self._group.end
