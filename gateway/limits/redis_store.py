"""The store of shared buckets in Redis or Valkey: one Lua script, on the server's own time.

Before it, `shared` asks; after it, the server runs `shared.lua`, all or nothing by nature. Needs the extra `redis`.
"""

from collections.abc import Callable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.credentials import CredentialProvider
from redis.exceptions import RedisError

from gateway.limits.shared import Exchange, Reply, StoreGoneError


class _Login(CredentialProvider):
    """Who we are to the server; the password is read at each connection, so a new one needs no restart."""

    def __init__(self, username: str | None, password: Callable[[], str]) -> None:
        self._username = username
        self._password = password

    async def get_credentials_async(self) -> tuple[str] | tuple[str, str]:
        """As the client asks; RedisError where the password cannot be read."""
        try:
            password = self._password()
        except Exception as error:  # noqa: BLE001 - who reads it has errors of its own, which tell nothing secret
            raise RedisError(str(error)) from None
        return (self._username, password) if self._username else (password,)


class RedisStore:
    """One connection to one server; it is made anew after an error, at the next exchange."""

    def __init__(
        self,
        url: str,
        *,
        username: str | None = None,
        password: Callable[[], str] | None = None,
        ca: Path | None = None,
    ) -> None:
        """`password`: reads it; `ca`: the file of authorities for a `rediss` URL; without one the system's."""
        never = Retry(NoBackoff(), 0)  # a retry could say everything twice
        tls: dict[str, Any] = {} if ca is None else {"ssl_ca_certs": str(ca)}
        self._redis: Redis = Redis.from_url(  # pyright: ignore[reportUnknownMemberType] - its **kwargs are untyped
            url,
            credential_provider=None if password is None else _Login(username, password),
            retry=never,
            socket_timeout=1.0,
            socket_connect_timeout=1.0,
            **tls,
        )
        self._script = self._redis.register_script((files("gateway.limits") / "shared.lua").read_text())
        self._decoder = msgspec.json.Decoder(Reply)

    async def exchange(self, keys: Sequence[str], ask: Exchange) -> Reply:
        """Run the script.

        Raises:
            StoreGoneError: the server is not there, or answers something else.
        """
        pairs = [part for key in keys for part in (f"{key}:state", f"{key}:returning")]
        try:
            reply: bytes = await self._script(keys=pairs, args=[msgspec.json.encode(ask)])
            return self._decoder.decode(reply)
        except (RedisError, OSError, msgspec.DecodeError) as error:
            raise StoreGoneError(f"the store of shared limits: {type(error).__name__}") from error

    async def close(self) -> None:
        """Close the connection."""
        await self._redis.aclose()
