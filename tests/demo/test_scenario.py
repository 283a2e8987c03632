"""The whole demo as a user runs it, in a process of its own: no Kafka, no network, nothing left behind."""

import os
import subprocess
import sys
from pathlib import Path

from gateway.demo.scenario import EACH_VENUE, NEWER, PUT_ASIDE, TROUBLE
from gateway.simulator import demo_accounts
from schemas.targets import venue_of

ROOT = Path(__file__).parents[2]
WITHOUT_EXTRA = "import sys; sys.modules['confluent_kafka'] = None; from gateway.demo import main; sys.exit(main())"


def run(*arguments: str, folder) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"TMPDIR": str(folder), "PYTHONPATH": str(ROOT)}
    command = (sys.executable, *arguments)
    return subprocess.run(command, capture_output=True, text=True, timeout=90, check=False, env=environment)


def test_the_demo_shows_what_it_says_and_leaves_nothing_behind(tmp_path):
    done = run("-m", "gateway", "demo", folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    for sample in (*EACH_VENUE, *TROUBLE, *NEWER, PUT_ASIDE):
        row = f"{venue_of(sample.target)} {sample.target.lane} {sample.leverage}x"
        assert any(row in line and sample.expected in line for line in done.stdout.splitlines()), row
    words = " ".join(done.stdout.split())
    for step in (
        "seen letter",
        "judged apply",
        "sent again as rd-",
        "closed changed",
        "change out binance_usdm BTCUSDT from 20x to 25x",
    ):
        assert step in words, step
    assert list(tmp_path.iterdir()) == []
    secrets = [secret for account in demo_accounts() for secret in (account.secret, account.passphrase) if secret]
    assert not [secret for secret in secrets if secret in done.stdout]


def test_without_the_extra_the_demo_says_what_to_install(tmp_path):
    done = run("-c", WITHOUT_EXTRA, folder=tmp_path)
    assert done.returncode == 3
    assert "pip install 'leverage-gateway[embedded]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_every_venue_is_changed_once_and_every_trouble_is_shown():
    assert {venue_of(sample.target) for sample in EACH_VENUE} == {account.venue for account in demo_accounts()}
    shown = {sample.expected for sample in (*TROUBLE, *NEWER)}
    assert shown == {"changed", "invalid", "venue_rejected", "rate_limited", "superseded"}
