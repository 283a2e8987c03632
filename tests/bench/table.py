"""`python -m tests.bench.table`: the gateway beside the bare libraries, on one broker and one venue, in one run.

Rounds are interleaved, and the median of each figure is told, with its ratio to the floor of the same run. The table is
printed; the figures go into `build/bench.json`, and a plot into `build/bench.svg`.
"""

import argparse
import logging
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from deploy.kafka.broker import Cluster
from tests.bench.contenders import BASELINE, CONTENDERS, MISSING
from tests.bench.measure import Latency, Throughput, bench
from tests.bench.plot import bars

BUILD = Path(__file__).parents[2] / "build"
LANES = (50, 1_000, 10_000)


def median(figures: Sequence[Any]) -> dict[str, float]:
    """Of each field."""
    rows = [msgspec.to_builtins(one) for one in figures]
    return {name: statistics.median(row[name] for row in rows) for name in rows[0]}


class Table:
    """The figures of a run as they come."""

    def __init__(self, bootstrap: str, url: str, names: Sequence[str]) -> None:
        self._bootstrap, self._url, self._names = bootstrap, url, names
        self.figures: dict[str, dict[str, dict[str, float]]] = {}

    def throughput(self, lanes: int, count: int, rounds: int) -> None:
        """How fast each is."""
        found: dict[str, list[Throughput]] = {name: [] for name in self._names}
        for _ in range(rounds):
            for name in self._names:
                with bench(name, self._bootstrap, self._url, lanes) as measured:
                    found[name].append(measured.throughput(count))
        self._tell(f"{lanes} lanes", {name: median(figures) for name, figures in found.items()})

    def latency(self, rate: int, seconds: float, rounds: int) -> None:
        """How long an answer takes."""
        found: dict[str, list[Latency]] = {name: [] for name in self._names}
        for _ in range(rounds):
            for name in self._names:
                with bench(name, self._bootstrap, self._url, 1_000) as measured:
                    found[name].append(measured.latency(rate, seconds))
        self._tell(f"{rate} a second", {name: median(figures) for name, figures in found.items()})

    def _tell(self, title: str, rows: dict[str, dict[str, float]]) -> None:
        self.figures[title] = rows
        base = rows.get(BASELINE, next(iter(rows.values())))
        print(f"\n{title:<22}" + "".join(f"{name.replace('_', ' '):>26}" for name in base), flush=True)
        for name, row in rows.items():
            print(f"{name:<22}" + "".join(f"{row[field]:>17.1f} ({row[field] / base[field]:5.2f})" for field in base))


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--commands", type=int, default=20_000)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each rate")
    parser.add_argument("--lanes", type=int, nargs="*", default=LANES)
    parser.add_argument("--rates", type=int, nargs="*", default=(100, 500, 1_000))
    parser.add_argument("--contenders", nargs="*", default=list(CONTENDERS))
    given = parser.parse_args()
    logging.disable(logging.CRITICAL)
    stub = subprocess.Popen([sys.executable, "-m", "tests.bench.stub"], stdout=subprocess.PIPE)
    assert stub.stdout is not None
    try:
        with Cluster() as cluster:
            url = f"http://127.0.0.1:{int(stub.stdout.readline())}"
            table = Table(cluster.bootstrap_servers, url, given.contenders)
            for lanes in given.lanes:
                table.throughput(lanes, given.commands, given.rounds)
            for rate in given.rates:
                table.latency(rate, given.seconds, given.rounds)
    finally:
        stub.kill()
        stub.wait()
    print("", *MISSING, sep="\n")
    BUILD.mkdir(exist_ok=True)
    (BUILD / "bench.json").write_bytes(msgspec.json.format(msgspec.json.encode(table.figures)))
    (BUILD / "bench.svg").write_text(bars(table.figures))


if __name__ == "__main__":
    main()
