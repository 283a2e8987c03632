"""`python -m tests.simulation --seeds 100000 --start 0 --jobs 2`: run seeds, say how fast, and show what broke."""

import argparse
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor

from tests.simulation.scenario import simulate

CHUNK = 50


def main() -> int:
    """Run as the command line says; exit code 1 if a promise was broken."""
    options = _options()
    begun, done, broken = time.monotonic(), 0, 0
    for count, told in _run(options.start, options.seeds, options.jobs):
        done += count
        broken += len(told)
        for text in told[: max(0, options.show - broken + len(told))]:
            print(text, flush=True)
        if done % 1000 < count or done >= options.seeds:
            rate = done / (time.monotonic() - begun)
            print(f"{done} seeds, {broken} broken, {rate:.1f} seeds a second", flush=True)
        if broken > options.show:
            break
    return 1 if broken else 0


def chunk(seeds: range) -> tuple[int, list[str]]:
    """Run some seeds in this process."""
    verdicts = (simulate(seed) for seed in seeds)
    return len(seeds), [str(verdict) for verdict in verdicts if verdict.broken]


def _run(start: int, seeds: int, jobs: int) -> Iterator[tuple[int, list[str]]]:
    chunks = [range(first, min(first + CHUNK, start + seeds)) for first in range(start, start + seeds, CHUNK)]
    if jobs == 1:
        yield from map(chunk, chunks)
        return
    pool = ProcessPoolExecutor(jobs)
    try:
        yield from pool.map(chunk, chunks)
    finally:
        pool.shutdown(cancel_futures=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000)
    parser.add_argument("--start", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--show", type=int, default=3, help="broken seeds to print before giving up")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
