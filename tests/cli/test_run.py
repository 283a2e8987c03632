"""`run` as a process against a real broker: ready, watched, drained, and silent about its secrets."""

import asyncio
import json
import os
import signal
import sys

import pytest
from aiohttp import ClientError, ClientSession

from schemas.topics import Topics

pytestmark = pytest.mark.kafka
SECRET = "PLEASE-never-show-7f3c9d"


@pytest.fixture
def environ(kafka_bootstrap, topics, unused_tcp_port):
    names = {f"GATEWAY_KAFKA__TOPICS__{role.upper()}": getattr(topics, role) for role in Topics.__struct_fields__}
    return {
        "GATEWAY_KAFKA__BOOTSTRAP_SERVERS": kafka_bootstrap,
        "GATEWAY_KAFKA__PARTITIONS": "4",
        "GATEWAY_KAFKA__GROUP_ID": topics.commands,
        "GATEWAY_HTTP__LISTEN": f"127.0.0.1:{unused_tcp_port}",
        "GATEWAY_LOGGING__FORMAT": "json",
        "GATEWAY_LOGGING__LEVEL": "debug",
        **names,
    }


@pytest.fixture
def config(tmp_path, unused_tcp_port_factory):
    for name in ("key", "secret", "passphrase"):
        (tmp_path / name).write_text(f"{SECRET}-{name}")
        (tmp_path / name).chmod(0o644 if name == "secret" else 0o600)
    venue = f"http://127.0.0.1:{unused_tcp_port_factory()}"
    path = tmp_path / "gateway.toml"
    path.write_text(
        f'[venues.okx]\nbase_url = "{venue}"\n'
        '[accounts.desk-1.okx]\napi_key_file = "key"\napi_secret_file = "secret"\npassphrase_file = "passphrase"\n'
    )
    return path


async def until_ready(process, url):
    async with ClientSession() as http:
        while process.returncode is None:
            try:
                async with http.get(f"{url}/readyz") as answer:
                    if answer.status == 200:
                        return await answer.json()
            except ClientError:
                pass
            await asyncio.wait([asyncio.ensure_future(process.wait())], timeout=0.1)
    raise AssertionError((await process.stderr.read()).decode())


async def test_no_dump_of_the_memory_is_made_and_no_process_of_the_user_looks_into_it():
    ask = "from gateway.cli.process import *; keep_memory_private(); import ctypes as c, resource as r"
    shown = "print(c.CDLL(None).prctl(3), r.getrlimit(r.RLIMIT_CORE)[0])"  # PR_GET_DUMPABLE
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", f"{ask}; {shown}", stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    assert out == b"0 0\n"


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
async def test_run_gets_ready_drains_when_told_and_never_shows_a_secret(environ, config, stop):
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "gateway",
        "run",
        "--config",
        str(config),
        env={**os.environ, **environ},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    url = f"http://{environ['GATEWAY_HTTP__LISTEN']}"
    ready = await until_ready(process, url)
    assert ready["ok"]
    async with ClientSession() as http, http.get(f"{url}/livez") as live, http.get(f"{url}/metrics") as metrics:
        assert live.status == 200
        shown = await live.text() + await metrics.text()
    assert "gateway_build_info{" in shown
    process.send_signal(signal.SIGUSR1)
    process.send_signal(stop)
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    lines = [json.loads(line) for line in err.decode().splitlines()]
    events = [line["event"] for line in lines]
    started = lines[events.index("started_process")]
    assert started["event_loop"] == "uvloop"
    assert lines[events.index("found_exposed_secrets")]["settings"] == ["accounts.desk-1.okx.api_secret_file"]
    assert events.index("draining_gateway") < events.index("stopped_gateway")
    assert SECRET not in out.decode() + err.decode() + shown
