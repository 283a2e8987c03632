# pyright: reportIncompatibleMethodOverride=false
# aiokafka's own method returns None, by its types.
"""Tokens for brokers that want OAUTHBEARER: from a file that something else keeps fresh, or from an endpoint.

aiokafka asks at every login; brokers end connections whose token is past (`connections.max.reauth.ms`), and the next
login asks again. What goes wrong is a KafkaError too, so that every client treats it as a connection that failed.
"""

import asyncio
import base64
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote_plus

import aiohttp
import msgspec
from aiokafka.abc import AbstractTokenProvider
from aiokafka.errors import KafkaError
from msgspec import Meta, Struct

from gateway.settings.certificates import trusting
from gateway.settings.secret_files import SecretFileError, read_password
from gateway.settings.tree import KafkaSettings

PATIENCE = 5.0  # seconds for the endpoint
USED_SHARE = 0.8  # of a token's life, after which a new one is asked for
MOST_BYTES = 64 * 1024


class TokenError(KafkaError):
    """Raised where there is no token to log in with; its text says why, and which setting to look at."""


class _Granted(Struct):
    """What an endpoint answers (RFC 6749, 5.1)."""

    access_token: Annotated[str, Meta(min_length=1)]
    expires_in: Annotated[float, Meta(gt=0)] = 300.0


class FileToken(AbstractTokenProvider):
    """The token in a file, read anew at every login."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def token(self) -> str:
        """The token; TokenError where the file holds none."""
        try:
            return read_password("kafka.oauth_token_file", self._path)
        except SecretFileError as error:
            raise TokenError(str(error)) from None


class EndpointToken(AbstractTokenProvider):
    """A token granted for client credentials (RFC 6749, 4.4), kept for most of its life.

    Args:
        settings: name the endpoint and the client.
        base_dir: where relative file names start.
        monotonic: seconds that only grow.
    """

    def __init__(self, settings: KafkaSettings, base_dir: Path, monotonic: Callable[[], float]) -> None:
        self._settings = settings
        self._base_dir = base_dir
        self._monotonic = monotonic
        self._tls = trusting(base_dir / settings.oauth_cafile if settings.oauth_cafile else None)
        self._token = ""
        self._renew_at = self._ends_at = float("-inf")
        self._asking = asyncio.Lock()

    async def token(self) -> str:
        """A token that is valid now; TokenError where the endpoint gives none."""
        async with self._asking:  # twelve partitions log in at once
            if self._monotonic() >= self._renew_at:
                try:
                    await self._renew()
                except TokenError:
                    if self._monotonic() >= self._ends_at:
                        raise
            return self._token

    async def _renew(self) -> None:
        asked_at = self._monotonic()
        try:
            granted = msgspec.json.decode(await self._ask(), type=_Granted)
        except msgspec.MsgspecError:
            raise _refused("its answer is no token (RFC 6749, 5.1)") from None
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _refused(f"{type(error).__name__}: no answer") from None
        self._token = granted.access_token
        self._renew_at = asked_at + USED_SHARE * granted.expires_in
        self._ends_at = asked_at + granted.expires_in

    async def _ask(self) -> bytes:
        settings, timeout = self._settings, aiohttp.ClientTimeout(total=PATIENCE)
        try:
            secret = read_password(
                "kafka.oauth_client_secret_file", self._base_dir / (settings.oauth_client_secret_file or "")
            )
        except SecretFileError as error:
            raise TokenError(str(error)) from None
        login = f"{quote_plus(settings.oauth_client_id or '')}:{quote_plus(secret)}"  # RFC 6749, 2.3.1
        headers = {"Authorization": f"Basic {base64.b64encode(login.encode()).decode()}"}
        connector = aiohttp.TCPConnector(ssl=self._tls)
        form = {"grant_type": "client_credentials"} | ({"scope": settings.oauth_scope} if settings.oauth_scope else {})
        async with (
            aiohttp.ClientSession(timeout=timeout, headers=headers, connector=connector) as session,
            session.post(settings.oauth_token_endpoint or "", data=form, allow_redirects=False) as answer,
        ):
            if answer.status != 200:  # noqa: PLR2004 - the one that grants
                raise _refused(f"it answers {answer.status}")
            return await answer.content.read(MOST_BYTES)


def token_provider(settings: KafkaSettings, base_dir: Path, monotonic: Callable[[], float]) -> Any:
    """Where the settings say that tokens come from."""
    if settings.oauth_token_file:
        return FileToken(base_dir / settings.oauth_token_file)
    return EndpointToken(settings, base_dir, monotonic)


def _refused(why: str) -> TokenError:
    return TokenError(f"no token from kafka.oauth_token_endpoint: {why}")
