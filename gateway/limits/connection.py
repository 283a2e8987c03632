"""Where the shared limits are kept: Redis or Valkey, if any limit in the settings is `shared`; the extra `redis`.

`app` builds it; `permits` and `shared` use it.
"""

import socket
from pathlib import Path

import msgspec

from gateway.clock import Clock
from gateway.limits.shared import SharedBuckets
from gateway.settings.secret_files import read_password
from gateway.settings.tree import Settings


class RedisMissingError(Exception):
    """Raised where a limit is shared and the extra `redis` is not installed."""


def shared_buckets(settings: Settings, base_dir: Path, clock: Clock) -> SharedBuckets | None:
    """The shared buckets of this replica, unconnected; None where no limit is shared.

    Raises:
        RedisMissingError: the extra is not installed.
        SecretFileError: the password's file is of no use.
    """
    by_venue = msgspec.structs.asdict(settings.venues).values()
    if not any(limit.shared for venue in by_venue for limit in venue.limits.values()):
        return None
    try:
        from gateway.limits.redis_store import RedisStore  # noqa: PLC0415 - only who shares limits needs the extra
    except ImportError as error:
        remedy = "install leverage-gateway[redis], or set shared = false"
        raise RedisMissingError(f"venues.*.limits.*.shared needs the extra `redis`: {remedy}") from error
    redis = settings.redis
    password = read_password("redis.password_file", base_dir / redis.password_file) if redis.password_file else None
    ca = base_dir / redis.ssl_cafile if redis.ssl_cafile else None
    replica = redis.replica or f"{socket.gethostname()}/{settings.http.listen}"
    return SharedBuckets(
        RedisStore(redis.url, username=redis.username, password=password, ca=ca),
        replica=replica,
        share=redis.fallback_share,
        clock=clock,
    )
