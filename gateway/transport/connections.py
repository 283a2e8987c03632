"""The connections that both ways to call share: kept warm, looked at once more before they are used."""

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import aiohttp

NEVER_ROUNDED = float("inf")  # seconds; above it aiohttp rounds a time-out up to whole seconds
KEEP_ALIVE = 15.0  # seconds; shorter than venues keep an idle connection, so that none is used as they close it
TRIED = 3  # connections
HEADERS = {"User-Agent": "leverage-gateway", "Accept": "application/json"}

may_send: ContextVar[Callable[[], bool] | None] = ContextVar("may_send", default=None)
"""Of this task's request: asked when its connection stands."""


class WithdrawnError(Exception):
    """Raised where nothing may be sent on a connection that stands by now."""


class UnaskedError(Exception):
    """Raised where the server talks before it was asked; nothing was sent."""


class Connections(aiohttp.TCPConnector):
    """aiohttp's connector, to one venue."""

    async def connect(self, req: Any, traces: list[Any], timeout: Any) -> Any:  # noqa: ASYNC109 - aiohttp's own
        """Give a connection on which nothing came that nobody asked for: it would pass for the next answer.

        Raises:
            WithdrawnError: making it took a while, and the request may not be sent any more.
            UnaskedError: none of those tried is quiet.
        """
        for _ in range(TRIED):
            connection = await super().connect(req, traces, timeout)
            if connection.protocol is not None and not connection.protocol.should_close:
                break
            connection.close()
        else:
            raise UnaskedError
        asked = may_send.get()
        if asked is not None and not asked():
            connection.release()
            raise WithdrawnError
        return connection


def connect_timeout(seconds: float) -> aiohttp.ClientTimeout:
    """A time-out for making a connection; the whole call has its own."""
    return aiohttp.ClientTimeout(total=None, connect=seconds, ceil_threshold=NEVER_ROUNDED)


def connections() -> Connections:
    """As many as there are calls; idle ones are closed before the venue does it."""
    return Connections(limit=0, keepalive_timeout=KEEP_ALIVE)  # pyright: ignore[reportUnknownMemberType] - of an argument not used
