"""Says at the end of a run how many Kafka tests were skipped and why; with DEMAND_KAFKA_TESTS=1 such a run fails.

A pytest plugin that conftest.py registers.
"""

import os
from collections import Counter
from typing import Any

import pytest


def pytest_sessionfinish(session: pytest.Session) -> None:
    reporter: Any = session.config.pluginmanager.get_plugin("terminalreporter")
    if _required() and reporter is not None and _skipped(reporter) and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: Any) -> None:
    reasons = _skipped(terminalreporter)
    if not reasons:
        return
    terminalreporter.section(f"SKIPPED for want of Apache Kafka: {reasons.total()} tests", red=_required(), yellow=True)
    for reason, count in reasons.most_common():
        terminalreporter.line(f"{count} x {reason}")
    if _required():
        terminalreporter.line("DEMAND_KAFKA_TESTS is set: a skipped Kafka test fails the run.", red=True)


def _required() -> bool:
    return os.environ.get("DEMAND_KAFKA_TESTS", "") not in ("", "0")


def _skipped(reporter: Any) -> Counter[str]:
    reports = [report for report in reporter.stats.get("skipped", []) if "kafka" in report.keywords]
    return Counter(str(report.longrepr[2]).removeprefix("Skipped: ") for report in reports)
