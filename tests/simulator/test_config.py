"""What the simulator writes for others: a gateway's settings, and the accounts file of another process."""

import json
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import msgspec
import pytest

from gateway.settings.file import load_settings
from gateway.simulator import SimulatedAccount, demo_accounts
from gateway.simulator.accounts import read_accounts, write_accounts
from gateway.simulator.config import account_settings, write_gateway_config

OKX = SimulatedAccount(
    name="desk.1", venue="okx", api_key="okx-key", secret="okx-secret", passphrase="okx-pass", simulated=True
)


def test_an_accounts_file_gives_back_the_accounts(tmp_path: Path):
    accounts = (*demo_accounts(), SimulatedAccount(name="交易", venue="ztdx", api_key='a"b\\c', secret="\t"))
    write_accounts(tmp_path / "accounts.toml", accounts)
    assert read_accounts(tmp_path / "accounts.toml") == accounts


def test_an_accounts_file_is_its_owners_only(tmp_path: Path):
    write_accounts(tmp_path / "accounts.toml", demo_accounts())
    assert (tmp_path / "accounts.toml").stat().st_mode & 0o077 == 0


def test_an_accounts_file_with_a_wrong_field_is_refused(tmp_path: Path):
    (tmp_path / "accounts.toml").write_text('[[accounts]]\nname = "a"\nvenue = "okx"\napi_key = "k"\npass = "p"\n')
    with pytest.raises(msgspec.ValidationError, match="pass"):
        read_accounts(tmp_path / "accounts.toml")


def test_demo_accounts_are_the_same_wherever_they_are_made():
    assert demo_accounts() == demo_accounts()
    assert {account.venue for account in demo_accounts() if account.name == "desk-1"} == {
        "binance_margin",
        "binance_usdm",
        "binance_portfolio",
        "okx",
        "ztdx",
    }


def test_no_representation_shows_a_key():
    account = demo_accounts()[0]
    assert account.secret is not None
    assert account.secret not in repr(account)
    assert account.api_key not in repr(account)


def test_a_gateway_accepts_the_settings_written_for_it(tmp_path: Path):
    path = write_gateway_config(
        tmp_path,
        (*demo_accounts(), OKX),
        simulator_url="http://127.0.0.1:9",
        head='[kafka]\nbootstrap_servers = "127.0.0.1:1"\n',
    )
    settings = load_settings(path, {})
    assert settings.kafka.bootstrap_servers == "127.0.0.1:1"
    assert settings.venues.okx.base_url == "http://127.0.0.1:9/okx"
    assert settings.venues.binance_margin.base_url == "http://127.0.0.1:9/binance_margin"
    assert settings.accounts["desk.1"].okx is not None
    assert settings.accounts["desk.1"].okx.simulated


def test_account_settings_are_what_the_settings_file_says_of_the_accounts(tmp_path: Path):
    accounts = (*demo_accounts(), OKX)
    path = write_gateway_config(tmp_path, accounts, simulator_url="http://127.0.0.1:9")
    assert account_settings(tmp_path, accounts) == load_settings(path, {}).accounts


def test_settings_hold_no_secret_and_secret_files_are_their_owners_only(tmp_path: Path):
    path = write_gateway_config(tmp_path, (OKX,), simulator_url="http://127.0.0.1:9")
    files = {file.name: file for file in (tmp_path / "secrets").rglob("*") if file.is_file()}
    assert {name: file.read_text() for name, file in files.items()} == {
        "api_key": "okx-key",
        "secret": "okx-secret",
        "passphrase": "okx-pass",
    }
    for secret in ("okx-key", "okx-secret", "okx-pass"):
        assert secret not in path.read_text()
    assert all(file.stat().st_mode & 0o077 == 0 for file in files.values())


def test_accounts_of_a_file_that_gives_all_of_them_everything_make_good_settings(tmp_path: Path):
    account = SimulatedAccount(name="a", venue="ztdx", api_key="k", secret="s", passphrase="p", simulated=True)
    path = write_gateway_config(tmp_path, (account,), simulator_url="http://127.0.0.1:9")
    assert load_settings(path, {}).accounts["a"].ztdx is not None


def test_as_a_process_it_prints_one_line_with_its_url_and_leaves_at_sigterm(tmp_path: Path):
    write_accounts(tmp_path / "accounts.toml", (OKX,))
    command = [sys.executable, "-m", "gateway.simulator", "--listen", "127.0.0.1:0", "--accounts"]
    with subprocess.Popen([*command, str(tmp_path / "accounts.toml")], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = json.loads(process.stdout.readline())["url"]
        with urllib.request.urlopen(f"{url}/_control/accounts", timeout=5) as answer:  # noqa: S310 - our own process
            assert json.load(answer) == [{"name": "desk.1", "venue": "okx"}]
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
        assert process.stdout.read() == ""
