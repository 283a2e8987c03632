"""The way out to one connection: bytes straight to its transport, and bounds on what its reader leaves unread.

There is no queue here. A reader of every event that leaves more unread than it may, or for longer, is given up; one of
the newest only is written to no more than it must, so it need not be.
"""

import asyncio
import socket
from collections.abc import Callable

from gateway.clock import Clock
from gateway.edge.wire import Wire

MUCH = 64 * 1024  # unread bytes from which on a reader is behind
KERNEL_BYTES = 128 * 1024  # of what is unread the kernel holds no more than that, or twice that; else megabytes
LOOK_AGAIN = 0.02


class Outlet:
    """One connection's.

    Attributes:
        may_lag: whether it is never given up for what it leaves unread: nobody is owed every event.
        has_unread: whether something was left unread when it was written to last, so that `look` is to be asked.
    """

    def __init__(
        self,
        transport: asyncio.Transport,
        wire: Wire,
        clock: Clock,
        *,
        max_unread_bytes: int,
        max_unread_seconds: float,
        give_up: Callable[[], None],
    ) -> None:
        """`give_up` is called where too much is unread; nothing is written any more then."""
        self._wire = wire
        self.may_lag = True
        self.has_unread = False
        connection = transport.get_extra_info("socket")
        if connection is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, KERNEL_BYTES)
        self._transport = transport
        self._clock = clock
        self._max_bytes = max_unread_bytes
        self._max_seconds = max_unread_seconds
        self._give_up = give_up
        self._is_closed = False
        self._written = 0
        self._mark = 0
        self._marked_at = clock.monotonic()

    @property
    def wire(self) -> Wire:
        """How frames are written on it."""
        return self._wire

    @property
    def unread(self) -> int:
        """Bytes that the reader's side has not taken."""
        return self._transport.get_write_buffer_size()

    @property
    def is_behind(self) -> bool:
        """Whether it should be given no more than it must."""
        return self._transport.get_write_buffer_size() > MUCH

    @property
    def is_closed(self) -> bool:
        """Whether nothing is written any more."""
        return self._is_closed or self._transport.is_closing()

    def write(self, data: bytes) -> None:
        """Write, or give the reader up where it left too much unread."""
        transport = self._transport
        if self._is_closed or transport.is_closing():
            return
        if self.has_unread and transport.get_write_buffer_size() > self._max_bytes:
            self._give_up()
            return
        transport.write(data)
        self._written += len(data)
        if not self.has_unread and transport.get_write_buffer_size():  # a reader that keeps up costs no more than this
            self.has_unread = True
            self._mark, self._marked_at = self._written, self._clock.monotonic()

    def close(self) -> None:
        """Write nothing any more."""
        self._is_closed = True

    def look(self) -> None:
        """Give the reader up where it left something unread for too long; asked every second or so."""
        now = self._clock.monotonic()
        unread = self.unread
        self.has_unread = unread > 0
        if self._written - unread >= self._mark:
            self._mark, self._marked_at = self._written, now
        elif now - self._marked_at > self._max_seconds and not self.may_lag and not self.is_closed:
            self._give_up()

    async def drained(self) -> None:
        """Wait until the reader is not behind; it may have gone by then."""
        while self.is_behind and not self.is_closed:  # noqa: ASYNC110 - the transport tells its protocol only
            await asyncio.sleep(LOOK_AGAIN)
