"""A venue that answers at once and does nothing else: `python -m tests.bench.stub` prints its port and serves.

Not the simulator: that one judges every call, which costs more than the gateway that is measured.
"""

import asyncio
import time
from typing import cast

import uvloop

END = b"\r\n\r\n"


def answer(request: bytes) -> bytes:
    """What Binance's futures API says to a change of leverage, and to the questions around it."""
    target = request.split(b" ", 2)[1]
    path, _, query = target.partition(b"?")
    if path.endswith(b"/time"):
        body = b'{"serverTime":%d}' % (time.time() * 1000)
    elif path.endswith(b"/exchangeInfo"):
        body = b'{"rateLimits":[]}'
    else:
        said = {name: value for name, _, value in (pair.partition(b"=") for pair in query.split(b"&"))}
        body = b'{"leverage":%b,"maxNotionalValue":"1000000","symbol":"%b"}' % (
            said.get(b"leverage", b"1"),
            said.get(b"symbol", b"X"),
        )
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-MBX-USED-WEIGHT-1M: 1\r\nContent-Length: %d\r\n\r\n"
    return head % len(body) + body


class Stub(asyncio.Protocol):
    """One connection; a body, where there is one, is of the length that its head says."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._read = b""

    def data_received(self, data: bytes) -> None:
        self._read += data
        while END in self._read:
            head, _, rest = self._read.partition(END)
            found = head.lower().partition(b"content-length:")[2]
            length = int(found.partition(b"\r\n")[0]) if found else 0
            if len(rest) < length:
                return
            body, self._read = rest[:length], rest[length:]
            line, _, headers = head.partition(b"\r\n")
            if body and b"?" not in line.split(b" ", 2)[1]:  # a form in the body says what a query would
                method, target, version = line.split(b" ", 2)
                line = b"%b %b?%b %b" % (method, target, body, version)
            self._transport.write(answer(line + b"\r\n" + headers))


async def serve() -> None:
    """Serve until killed."""
    server = await asyncio.get_running_loop().create_server(Stub, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve())
