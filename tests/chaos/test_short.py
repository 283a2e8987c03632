"""The short form of `make chaos`: real brokers, real processes, kill -9."""

import asyncio

import pytest

from tests.chaos.checker import report
from tests.chaos.harness import Chaos, Scheme

pytestmark = [pytest.mark.kafka, pytest.mark.chaos, pytest.mark.timeout(300)]


def test_twenty_kills_under_load_break_no_promise(kafka_bootstrap, tmp_path):
    chaos = Chaos(Scheme(seed=20, kills=20, pause=(0.2, 2.0), odds=(("kill", 8), ("zombie", 1))), tmp_path)
    verdict = asyncio.run(chaos.run())
    assert not verdict.violations, f"{verdict.summary}\n{report(verdict.history, verdict.violations)}\n{chaos.logs()}"
    assert verdict.faults["kill"] == 20
