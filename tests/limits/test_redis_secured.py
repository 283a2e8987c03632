"""The store of shared limits behind TLS and an access list: right credentials work, wrong ones are told, new ones are read."""

import asyncio
import shutil
import socket
from contextlib import asynccontextmanager

import pytest

from gateway.limits.redis_store import RedisStore
from gateway.limits.shared import StoreGoneError
from tests.certificates import Authority
from tests.limits.store_contract import ask, said

SERVER = shutil.which("redis-server") or shutil.which("valkey-server")
pytestmark = pytest.mark.skipif(SERVER is None, reason="neither redis-server nor valkey-server is installed")
COMMANDS = "del hdel hget hgetall hincrby hset info time zadd zrange zrangebyscore zremrangebyscore"
RIGHTS = f"~leverage-gateway:* +eval +evalsha +script|load {' '.join(f'+{name}' for name in COMMANDS.split())}"


class Secured:
    """A server that speaks TLS only and knows one user, by two passwords."""

    def __init__(self, folder):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.ours, self.foreign = Authority(folder, "ours"), Authority(folder, "foreign")
        pem = str(self.ours.issue("server"))
        self.config = folder / "redis.conf"
        self.config.write_text(
            f'port 0\ntls-port {self.port}\nbind 127.0.0.1\nsave ""\ndir {folder}\n'
            f"tls-cert-file {pem}\ntls-key-file {pem}\ntls-ca-cert-file {self.ours.file}\ntls-auth-clients no\n"
            f"user default off\nuser gateway on >right-7f3c9d >next-7f3c9d {RIGHTS}\n"
        )
        self.password = folder / "password"
        self.password.write_text("right-7f3c9d")

    async def start(self):
        self.process = await asyncio.create_subprocess_exec(SERVER, self.config, stdout=asyncio.subprocess.DEVNULL)
        async with asyncio.timeout(20):
            while not await self.listens():  # noqa: ASYNC110 - the server does not tell
                await asyncio.sleep(0.01)

    async def listens(self):
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except ConnectionRefusedError:
            return False
        writer.transport.abort()
        return True

    @asynccontextmanager
    async def store(self, *, username="gateway", ca=None):
        store = RedisStore(
            f"rediss://127.0.0.1:{self.port}/0",
            username=username,
            password=self.password.read_text,
            ca=ca or self.ours.file,
        )
        try:
            yield store
        finally:
            await store.close()


@pytest.fixture
async def secured(tmp_path):
    secured = Secured(tmp_path)
    await secured.start()
    yield secured
    secured.process.kill()
    await secured.process.wait()


def question():
    return ask(said(weight=1), leaving=True)


KEYS = ["leverage-gateway:{okx}:set_leverage:desk-1"]


async def test_the_rights_in_the_readme_are_enough_and_a_new_password_is_read_at_the_next_connection(secured):
    async with secured.store() as store:
        for _ in range(2):
            reply = await store.exchange(KEYS, question())
            assert len(reply.scopes) == 1
        secured.password.write_text("next-7f3c9d")
        await store.close()  # as a server does that is restarted
        await store.exchange(KEYS, question())


async def test_a_key_of_somebody_else_is_out_of_reach(secured):
    async with secured.store() as store:
        with pytest.raises(StoreGoneError, match="NoPermissionError"):
            await store.exchange(["others:{okx}"], question())


async def test_wrong_credentials_are_told_apart_and_tell_nothing(secured):
    wrong = {
        "AuthenticationError": {"username": "nobody"},
        "ConnectionError": {"ca": secured.foreign.file},  # not of whom we trust
    }
    for why, changes in wrong.items():
        async with secured.store(**changes) as store:
            with pytest.raises(StoreGoneError, match=why) as refused:
                await store.exchange(KEYS, question())
            assert "7f3c9d" not in str(refused.value)
    for text in ("wrong-7f3c9d", None):
        secured.password.unlink() if text is None else secured.password.write_text(text)
        async with secured.store() as store:
            with pytest.raises(StoreGoneError) as refused:
                await store.exchange(KEYS, question())
            assert "7f3c9d" not in str(refused.value)
