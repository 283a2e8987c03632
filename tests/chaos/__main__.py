"""`python -m tests.chaos`: kill gateways for as long as you like, and prove that no promise broke."""

import argparse
import asyncio
import logging
import random
import signal
import sys
import time
from pathlib import Path
from typing import get_args

from tests.chaos.checker import report
from tests.chaos.harness import Chaos, Fault, Scheme, Verdict
from tests.chaos.processes import working_folder


def main() -> int:
    """Run once and say what came of it; 1 where a promise broke."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos")
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--gateways", type=int, default=2)
    parser.add_argument("--brokers", type=int, default=1)
    parser.add_argument("--rate", type=float, default=150.0)
    parser.add_argument("--pause", type=float, default=2.5, help="seconds between two faults, at most")
    parser.add_argument("--keep", type=Path, help="where to save the history of a run that broke a promise")
    parser.add_argument("--without", action="append", default=[], choices=get_args(Fault), help="a fault to leave out")
    options = parser.parse_args()
    logging.disable()  # the clients' complaints about brokers that were killed
    scheme = Scheme(
        seed=options.seed,
        kills=options.kills,
        gateways=options.gateways,
        brokers=options.brokers,
        rate=options.rate,
        pause=(min(0.2, options.pause), options.pause),
        odds=tuple((fault, odds) for fault, odds in Scheme(seed=0).odds if fault not in options.without),
    )
    with working_folder() as folder:
        begun = time.monotonic()
        chaos = Chaos(scheme, folder, lambda text: sys.stderr.write(f"{time.monotonic() - begun:7.1f} s  {text}\n"))
        verdict = asyncio.run(judged(chaos))
        return tell(verdict, chaos.logs(), options.keep)


async def judged(chaos: Chaos) -> Verdict:
    """Run, also to the end of a SIGTERM: no process is left behind."""
    running = asyncio.current_task()
    if running is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, running.cancel)
    return await chaos.run()


def tell(verdict: Verdict, logs: str, keep: Path | None) -> int:
    """Print the verdict; the shortest history of what broke, and the last log lines."""
    sys.stdout.write(verdict.summary + "\n")
    if not verdict.violations:
        return 0
    sys.stdout.write(report(verdict.history, verdict.violations) + "\n")
    if keep is not None:
        verdict.history.save(keep)
    sys.stdout.write(logs)
    return 1


sys.exit(main())
