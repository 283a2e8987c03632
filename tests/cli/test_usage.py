"""The command line: help, exit codes, words instead of tracebacks, no secret anywhere."""

import json
import logging
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
import structlog

from gateway.cli import main

SECRET = "PLEASE-never-show-7f3c9d"
COMMANDS = ("run", "demo", "simulate", "send", "watch", "check-config", "topics create", "topics check")
SEND = ("send", "binance_usdm", "--account", "desk-1", "--leverage", "20", "--symbol", "BTCUSDT")


class Ended(NamedTuple):
    returncode: object
    stdout: str
    stderr: str


@pytest.fixture
def gateway(monkeypatch, capsys):
    """Runs one command line in this process, which is quicker than a new one."""
    monkeypatch.setenv("COLUMNS", "200")
    root = logging.getLogger()
    before = root.handlers[:], root.level
    handlers = {name: signal.getsignal(name) for name in (signal.SIGTERM, signal.SIGHUP)}

    def call(*arguments, cwd=None, **environ):
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        if cwd is not None:
            monkeypatch.chdir(cwd)
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        return Ended(ended.value.code, *capsys.readouterr())

    yield call
    for name, handler in handlers.items():
        signal.signal(name, handler)
    root.handlers[:], root.level = before
    structlog.reset_defaults()


def process(*arguments, cwd=None, **environ):
    """Runs one command line in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "gateway", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(Path.cwd()), **environ},
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("key", "secret", "passphrase"):
        (tmp_path / name).write_text(SECRET)
        (tmp_path / name).chmod(0o600)
    (tmp_path / "gateway.toml").write_text(
        '[accounts.desk-1.okx]\napi_key_file = "key"\napi_secret_file = "secret"\npassphrase_file = "passphrase"\n'
    )
    return tmp_path


def test_help_names_every_command_with_what_it_does():
    shown = process("--help", COLUMNS="200")
    assert shown.returncode == 0
    for command in COMMANDS:
        assert f" {command.split(maxsplit=1)[0]} " in shown.stdout
    assert "drains and leaves" in shown.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(gateway, command):
    shown = gateway(*command.split(), "--help")
    assert shown.returncode == 0
    assert f" leverage-gateway {command}" in shown.stdout.replace(f"Usage: leverage-gateway {command}", "")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "Usage"),
        (("topics",), "Usage"),
        (("bogus",), "bogus"),
        (("run", "--bogus"), "--bogus"),
        (("send",), "VENUE"),
        (("send", "bybit", "--account", "a", "--leverage", "1"), "bybit"),
        (("send", "okx", "--leverage", "1"), "--account"),
        (("send", "okx", "--account", "a"), "--leverage"),
        (("send", "okx", "--account", "a", "--leverage", "1"), "okx needs --margin-mode"),
        (("send", "binance_usdm", "--account", "a", "--leverage", "1"), "binance_usdm needs --symbol"),
        (
            ("send", "binance_margin", "--account", "a", "--leverage", "1", "--symbol", "X"),
            "--symbol is not for binance_margin",
        ),
        ((*SEND, "--margin-mode", "cross"), "--margin-mode is not for binance_usdm, which takes --symbol"),
        ((*SEND, "--margin-mode", "both"), "both"),
        ((*SEND[:5], "many", *SEND[6:]), "--leverage expects"),
        ((*SEND[:5], "nan", *SEND[6:]), "--leverage expects"),
        ((*SEND[:3], "a b", *SEND[4:]), "--account expects 1 to 64 letters"),
        ((*SEND[:7], "A:B"), "--symbol expects 1 to 64 characters"),
        ((*SEND, "--command-id", "x" * 65), "--command-id expects 1 to 64"),
        ((*SEND, "--expires-in", "0"), "--expires-in"),
        ((*SEND, "--expires-in", "1e300"), "--expires-in"),
        ((*SEND, "--timeout", "soon"), "--timeout"),
        ((*SEND, "--config", "none.toml"), "none.toml: cannot be read"),
        (("watch", "--config", "none.toml"), "none.toml: cannot be read"),
        (("run", "--config", "none.toml"), "none.toml: cannot be read"),
        (("check-config", "--config", "none.toml"), "none.toml: cannot be read"),
        (("check-config",), "settings: no settings file was named; name one, as in --config gateway.toml"),
        (("check-config", "gateway.toml"), "['gateway.toml']. If that is a settings file, write --config FILE."),
        (("topics", "check", "gateway.toml"), "write --config FILE"),
        (("run",), "settings: no settings file was named; name one, as in --config gateway.toml"),
        (("topics", "check", "--config", "none.toml"), "none.toml: cannot be read"),
        (("simulate", "--listen", "nowhere"), '"host:port"'),
    ],
)
def test_wrong_usage_exits_2_and_says_what_would_be_right(gateway, arguments, told):
    refused = gateway(*arguments)
    assert refused.returncode == 2
    assert told in refused.stderr + refused.stdout
    assert "Traceback" not in refused.stderr


def test_a_command_that_takes_no_settings_file_does_not_suggest_one(gateway):
    refused = gateway("simulate", "gateway.toml")
    assert refused.returncode == 2
    assert "--config" not in refused.stderr + refused.stdout


@pytest.mark.parametrize(
    "arguments",
    [SEND, (*SEND, "--wait"), ("watch",), ("topics", "create"), ("topics", "check"), ("topics", "check", "--json")],
)
def test_no_broker_exits_3_and_says_where_it_was_looked_for(gateway, arguments, unused_tcp_port):
    refused = gateway(*arguments, GATEWAY_KAFKA__BOOTSTRAP_SERVERS=f"127.0.0.1:{unused_tcp_port}")
    assert refused.returncode == 3
    assert (
        f"Kafka at 127.0.0.1:{unused_tcp_port} (kafka.bootstrap_servers, PLAINTEXT): the connection is refused"
        in refused.stderr
    )
    assert "Traceback" not in refused.stderr
    assert refused.stdout == ""


def test_run_without_a_broker_exits_3(folder, unused_tcp_port):
    address = f"127.0.0.1:{unused_tcp_port}"
    environ = {"GATEWAY_KAFKA__BOOTSTRAP_SERVERS": address, "GATEWAY_HTTP__LISTEN": "127.0.0.1:0"}
    refused = process("run", "--config", "gateway.toml", cwd=folder, **environ)
    assert refused.returncode == 3
    assert f"Kafka at {address}" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert SECRET not in refused.stderr + refused.stdout


def test_run_on_an_address_in_use_exits_3(folder):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        refused = process("run", "--config", "gateway.toml", cwd=folder, GATEWAY_HTTP__LISTEN=address)
    assert refused.returncode == 3
    assert f"http.listen: cannot listen on {address}: " in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.parametrize("command", ["run", "check-config"])
@pytest.mark.parametrize(
    ("setting", "path"),
    [
        (f'[accounts.a.ztdx]\napi_key_file = "key"\napi_secret = "{SECRET}"', "accounts.a.ztdx.api_secret"),
        (f'[accounts.a.ztdx]\napi_key_file = "key"\napi_secret_file = "{SECRET}"', "accounts.a.ztdx.api_secret_file"),
        ('[kafka]\npartitions = "many"', "kafka.partitions"),
        ("[kafka", "not TOML"),
        ("[venues.okx.limits.nothing]\ncapacity = 1", "venues.okx.limits.nothing"),
        (
            '[accounts.a.binance_usdm]\napi_key_file = "key"\nprivate_key_file = "secret"',
            "accounts.a.binance_usdm.private_key_file",
        ),
    ],
)
def test_a_wrong_setting_exits_2_with_file_and_path_and_without_the_secret(gateway, folder, command, setting, path):
    with (folder / "gateway.toml").open("a") as file:
        file.write(setting)
    refused = gateway(command, "--config", "gateway.toml", cwd=folder)
    assert refused.returncode == 2
    assert refused.stderr.startswith(f"gateway.toml: {path}: ")
    assert "Traceback" not in refused.stderr
    assert SECRET not in refused.stderr + refused.stdout


def test_check_config_shows_what_is_set_and_no_secret(gateway, folder):
    shown = gateway("check-config", "--config", "gateway.toml", cwd=folder)
    assert shown.returncode == 0, shown.stderr
    assert "The settings are right." in shown.stdout
    assert "desk-1" in shown.stdout
    assert SECRET not in shown.stderr + shown.stdout


def test_check_config_says_which_accounts_share_one_key_and_so_one_budget(gateway, folder):
    text = (folder / "gateway.toml").read_text()
    (folder / "gateway.toml").write_text(text + text[text.index("[accounts.") :].replace("desk-1", "desk-2"))
    shown = gateway("check-config", "--config", "gateway.toml", "--json", cwd=folder)
    shared = "accounts desk-1, desk-2 have one API key at okx: they are one user there and share its limits"
    assert shared in json.loads(shown.stdout)["warnings"]


def test_check_config_warns_of_secrets_that_everybody_may_read(gateway, folder):
    (folder / "secret").chmod(0o644)
    shown = gateway("check-config", "--config", "gateway.toml", "--json", cwd=folder)
    assert shown.returncode == 0
    told = json.loads(shown.stdout)
    assert told["warnings"] == [
        "accounts.desk-1.okx.api_secret_file: every user of this machine may read or change the file"
    ]
    assert (told["ok"], told["accounts"][0]["venue"]) == (True, "okx")


def test_check_config_calls_warnings_problems_where_it_is_told_to(gateway, folder):
    assert gateway("check-config", "--config", "gateway.toml", "--strict", cwd=folder).returncode == 0
    (folder / "secret").chmod(0o646)
    strict = gateway("check-config", "--config", "gateway.toml", "--strict", "--json", cwd=folder)
    assert (strict.returncode, json.loads(strict.stdout)["ok"]) == (2, False)


def test_check_config_shouts_about_calls_in_the_clear(gateway, folder):
    with (folder / "gateway.toml").open("a") as file:
        file.write('[venues.okx]\nbase_url = "http://venues:8090/okx"\nallow_http = true\n')
    shown = gateway("check-config", "--config", "gateway.toml", cwd=folder)
    assert "venues.okx.base_url: PLAIN HTTP, for simulated venues only (allow_http)" in shown.stdout
    assert gateway("check-config", "--config", "gateway.toml", "--strict", cwd=folder).returncode == 2


def test_closed_standard_streams_are_no_trouble(folder):
    command = f"{sys.executable} -m gateway check-config --config gateway.toml <&- >&- 2>&-"
    environ = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    ended = subprocess.run(["sh", "-c", command], cwd=folder, env=environ, timeout=60, check=False)
    assert ended.returncode == 0


def test_arguments_that_are_no_text_are_wrong_usage(gateway):
    refused = gateway("send", "okx", "--account", "\udcff", "--leverage", "1")
    assert refused.returncode == 2
    assert "not UTF-8" in refused.stderr


def test_check_config_tells_programs_what_is_wrong(gateway, folder):
    shown = gateway("check-config", "--config", "gateway.toml", "--json", cwd=folder, GATEWAY_KAFKA__PARTITIONS="0")
    assert shown.returncode == 2
    assert json.loads(shown.stdout)["problems"] == [
        {
            "source": "environment variable GATEWAY_KAFKA__PARTITIONS",
            "path": "kafka.partitions",
            "remedy": "expected `int` >= 1",
        }
    ]


class Interrupted:
    def find_spec(self, name, _path, _target=None):
        if name == "gateway.cli.commands":
            raise KeyboardInterrupt


def test_ctrl_c_while_the_commands_are_still_being_read_ends_quietly(gateway, monkeypatch):
    monkeypatch.delitem(sys.modules, "gateway.cli.commands", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Interrupted(), *sys.meta_path])
    assert gateway("topics", "check") == (130, "", "")
