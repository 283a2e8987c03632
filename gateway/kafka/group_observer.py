"""What the group tells whoever watches."""

from typing import Protocol

from gateway.kafka.fetch import FetchObserver


class GroupObserver(FetchObserver, Protocol):
    """Who is told how the group goes; metrics and logs."""

    def assigned(self, partitions: list[int]) -> None:
        """The group gave us these."""
        ...

    def restored(self, partition: int, offset: int) -> None:
        """A partition is taken over and fetched from this offset on."""
        ...

    def revoked(self, partitions: list[int], *, clean: bool) -> None:
        """The group took these back; clean: everything in flight was answered and committed."""
        ...

    def repartitioned(self, change: str) -> None:
        """Partitions were added to the commands; how many there are, and should be."""
        ...

    def kafka_failed(self, operation: str, error: BaseException) -> None:
        """An operation failed at Kafka, and will be tried again."""
        ...
