"""The store of shared limits on simulated time: the very script that Redis runs, on a Redis of a few dictionaries.

It can be slow, hung, out of one replica's reach, or restarted without its memory.
"""

import asyncio
from collections.abc import Callable, Sequence
from importlib.resources import files
from random import Random
from typing import Any

import msgspec
from lupa import lua51

from gateway.limits.shared import Exchange, Reply, StoreGoneError
from tests.kit.jumping import JumpingLoop


class _Keys:
    """Hashes and sorted sets, and those commands on them that the script uses; an unknown one is an error."""

    def __init__(self, run_id: str, wall: Callable[[], float]) -> None:
        self._run_id = run_id
        self._wall = wall
        self._hashes: dict[str, dict[str, str]] = {}
        self._sorted: dict[str, dict[str, float]] = {}

    def call(self, command: str, *arguments: str | float) -> Any:
        """What `redis.call` does."""
        return getattr(self, f"_{command.lower()}")(*(_text(argument) for argument in arguments))

    def _time(self) -> list[str]:
        seconds, rest = divmod(self._wall(), 1)
        return [str(int(seconds)), str(int(rest * 1_000_000))]

    def _info(self, section: str) -> str:
        return f"# {section}\r\nrun_id:{self._run_id}\r\n"

    def _hget(self, key: str, field: str) -> str | bool:
        return self._hashes.get(key, {}).get(field, False)

    def _hgetall(self, key: str) -> list[str]:
        return [part for pair in self._hashes.get(key, {}).items() for part in pair]

    def _hset(self, key: str, *pairs: str) -> None:
        self._hashes.setdefault(key, {}).update(zip(pairs[::2], pairs[1::2], strict=True))

    def _hdel(self, key: str, *fields: str) -> None:
        for field in fields:
            self._hashes.get(key, {}).pop(field, None)

    def _del(self, key: str) -> None:
        self._hashes.pop(key, None)
        self._sorted.pop(key, None)

    def _hincrby(self, key: str, field: str, by: str) -> int:
        number = int(self._hashes.get(key, {}).get(field, "0")) + int(by)
        self._hset(key, field, str(number))
        return number

    def _zadd(self, key: str, score: str, member: str) -> None:
        self._sorted.setdefault(key, {})[member] = float(score)

    def _zrange(self, key: str, first: str, last: str, withscores: str) -> list[str]:
        assert (first, last, withscores) == ("0", "0", "WITHSCORES")
        lowest = min(self._sorted.get(key, {}).items(), key=lambda pair: (pair[1], pair[0]), default=())
        return [_text(part) for part in lowest]

    def _zrangebyscore(self, key: str, lowest: str, highest: str) -> list[str]:
        assert lowest == "-inf"
        return [member for member, score in self._sorted.get(key, {}).items() if score <= float(highest)]

    def _zremrangebyscore(self, key: str, lowest: str, highest: str) -> None:
        for member in self._zrangebyscore(key, lowest, highest):
            del self._sorted[key][member]


class Said:
    """A store's observer that keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.told = asyncio.Event()

    def lost_shared_store(self, reason: str) -> None:
        self.lines.append(f"lost: {reason}")
        self.told.set()

    def found_shared_store(self) -> None:
        self.lines.append("found")


class ScriptedServer:
    """One server; `start` it again and it has forgotten everything."""

    def __init__(self, loop: JumpingLoop, random: Random) -> None:
        self.loop = loop
        self.random = random
        self.latency = 0.002
        self._up = asyncio.Event()
        self._awake = asyncio.Event()
        self._runs = 0
        self.start()

    def start(self) -> None:
        """Up and awake, without memory."""
        self._runs += 1
        self._keys = _Keys(f"{self._runs:040x}", self.loop.wall)
        self._script = _compiled(self._keys)
        self._up.set()
        self._awake.set()

    def kill(self) -> None:
        """Gone, with all that was under way to it."""
        self._up.clear()
        self._awake.set()

    def hang(self) -> None:
        """Accepts everything and does nothing; what it accepted is done when it wakes, whoever waits for it or not."""
        self._awake.clear()

    def wake(self) -> None:
        """Go on."""
        self._awake.set()

    async def run(self, keys: Sequence[str], ask: bytes) -> bytes:
        """The script, after its way there and before its way back."""
        run = self._runs
        if not self._up.is_set():
            raise StoreGoneError("connection refused")
        await asyncio.sleep(self.random.expovariate(1 / self.latency))
        await self._awake.wait()
        if not self._up.is_set() or run != self._runs:
            raise StoreGoneError("connection reset")
        reply = self._script(keys, ask)
        await asyncio.sleep(self.random.expovariate(1 / self.latency))
        return reply


class ScriptedStore:
    """One replica's way to the server; without `reach` nothing comes through any more, as behind a dead switch.

    Where it does not hear, only the answers are lost.
    """

    def __init__(self, server: ScriptedServer) -> None:
        self._server = server
        self.reach = True
        self.hears = True
        self._under_way: set[asyncio.Task[bytes]] = set()

    async def lose(self, seconds: float, *, answers_only: bool) -> None:
        """Let nothing through for so long, or only what we say."""
        self.reach, self.hears = answers_only, False
        await asyncio.sleep(seconds)
        self.reach = self.hears = True

    async def exchange(self, keys: Sequence[str], ask: Exchange) -> Reply:
        """As `RedisStore` has it: what was sent is heard even where nobody waits for the answer any longer."""
        if not self.reach:
            await asyncio.Event().wait()
        pairs = [part for key in keys for part in (f"{key}:state", f"{key}:returning")]
        sent = asyncio.ensure_future(self._server.run(pairs, msgspec.json.encode(ask)))
        self._under_way.add(sent)
        sent.add_done_callback(self._forget)
        reply = msgspec.json.decode(await asyncio.shield(sent), type=Reply)
        if not self.hears:
            await asyncio.Event().wait()
        return reply

    async def close(self) -> None:
        """Nothing to close."""

    def _forget(self, sent: asyncio.Task[bytes]) -> None:
        self._under_way.discard(sent)
        _ = sent.cancelled() or sent.exception()


def _compiled(keys: _Keys) -> Callable[[Sequence[str], bytes], bytes]:
    lua: Any = lua51.LuaRuntime(unpack_returned_tuples=False)

    def call(command: str, *arguments: str | float) -> Any:
        result = keys.call(command, *arguments)
        return lua.table_from(result) if isinstance(result, list) else result

    def decode(text: str) -> Any:
        return lua.table_from(msgspec.json.decode(text), recursive=True)

    def encode(table: Any) -> str:
        return msgspec.json.encode(_plain(table)).decode()

    script = (files("gateway.limits") / "shared.lua").read_text()
    made = lua.execute(f"return function(redis, cjson, KEYS, ARGV) {script} end")

    def run(names: Sequence[str], ask: bytes) -> bytes:
        redis, cjson = lua.table_from({"call": call}), lua.table_from({"decode": decode, "encode": encode})
        return made(redis, cjson, lua.table_from(names), lua.table_from([ask.decode()])).encode()

    return run


def _plain(value: Any) -> Any:
    if lua51.lua_type(value) != "table":
        return value
    pairs = {key: _plain(item) for key, item in value.items()}
    return list(pairs.values()) if 1 in pairs else pairs


def _text(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:.17g}"
