"""Where the shared limits are kept: Redis or Valkey; the extra `redis`.

`app` says where; `permits` and `shared` use it.
"""

from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

from gateway.clock import Clock
from gateway.limits.shared import SharedBuckets, StoreObserver


class RedisMissingError(Exception):
    """Raised where a limit is shared and the extra `redis` is not installed."""


class StoreAddress(Struct, frozen=True, kw_only=True):
    """How to reach the store, and who we are there.

    Attributes:
        password: reads it, at each connection.
        ca: the file of authorities for a `rediss` URL; None: the system's.
        replica: our name among the replicas, the same after a restart.
        share: of each bucket, while the store is gone.
    """

    url: str
    username: str | None = None
    password: Callable[[], str] | None = None
    ca: Path | None = None
    replica: str
    share: float

    def __repr__(self) -> str:
        return "StoreAddress(…)"


def shared_buckets(address: StoreAddress, *, clock: Clock, observer: StoreObserver) -> SharedBuckets:
    """The shared buckets of this replica, unconnected.

    Raises:
        RedisMissingError: the extra is not installed.
    """
    try:
        from gateway.limits.redis_store import RedisStore  # noqa: PLC0415 - only who shares limits needs the extra
    except ImportError as error:
        remedy = "install leverage-gateway[redis], or set shared = false"
        raise RedisMissingError(f"venues.*.limits.*.shared needs the extra `redis`: {remedy}") from error
    store = RedisStore(address.url, username=address.username, password=address.password, ca=address.ca)
    return SharedBuckets(store, replica=address.replica, share=address.share, clock=clock, observer=observer)
