"""Long proofs of the dead-letter tool, by hand: `python -m tests.redrive kills` and `python -m tests.redrive size`.

`kills` applies a plan of thousands with SIGKILL at random moments and two at once, and counts what is committed;
`size` lists and groups a hundred thousand letters beside as many events, and tells seconds and memory.
"""

import argparse
import asyncio
import os
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from deploy.kafka.broker import Cluster
from tests.redrive.estate import Estate, count_sent


async def kills(estate: Estate, arguments: argparse.Namespace) -> bool:
    """Whether every letter was sent exactly once, whatever was killed."""
    await estate.create()
    await estate.write(letters=arguments.letters, events=0)
    plan = estate.folder / "plan.json"
    code, seconds, _ = await estate.run("redrive", "--plan", str(plan))
    print(f"planned {arguments.letters} letters in {seconds:.1f} s, exit {code}")
    chance = random.Random(arguments.seed)
    apply = ("redrive", "--apply", str(plan), "--note", "rig", "--json")
    killed = 0
    while killed < arguments.kills:
        processes = [await estate.start(*apply) for _ in range(chance.choice((1, 1, 2)))]
        await asyncio.sleep(chance.uniform(1.0, arguments.longest))
        for process in processes:
            if process.returncode is None:
                process.kill()
                killed += 1
            await process.wait()
        sent = await count_sent(estate)
        print(f"killed {killed}: {len(sent)} sent so far, {max(sent.values(), default=0)} times at most")
        if len(sent) == arguments.letters:
            break
    codes = [(await estate.run(*apply))[0] for _ in range(2)]
    sent = await count_sent(estate)
    once = Counter(sent.values()) == {1: arguments.letters}
    print(f"ended with exits {codes}: {len(sent)} of {arguments.letters} letters sent, {dict(Counter(sent.values()))}")
    return once and codes == [0, 0]


async def size(estate: Estate, arguments: argparse.Namespace) -> bool:
    """Print how long the lists take, and how much memory, at two sizes: memory must not follow them."""
    print(f"{'letters':>9} {'events':>9}  {'command':<34} {'seconds':>8} {'MiB':>6}")
    for letters, events in (
        (1_000, 1_000),
        (arguments.letters, arguments.letters),
        (arguments.letters, arguments.events),
    ):
        fresh = estate.fresh()
        await fresh.create()
        await fresh.write(letters=letters, events=events)
        for command in (
            ("list", "--lane", "L7"),
            ("list", "--venue", "binance_usdm", "--limit", "50"),
            ("groups", "--by", "reason", "--by", "account"),
            ("groups", "--by", "code"),
            ("redrive", "--lane", "L7"),
            ("redrive",),
            ("show", "0:5"),
        ):
            code, seconds, peak = await fresh.run(*command, "--json")
            print(f"{letters:>9} {events:>9}  {' '.join(command):<34} {seconds:>8.1f} {peak:>6.0f}  exit {code}")
    return True


def main() -> int:
    """Run one proof against KAFKA_BOOTSTRAP_SERVERS, or a broker of its own."""
    parser = argparse.ArgumentParser(prog="python -m tests.redrive", description=__doc__)
    parser.add_argument("proof", choices=("kills", "size"))
    parser.add_argument("--letters", type=int, default=None)
    parser.add_argument("--events", type=int, default=300_000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--longest", type=float, default=12.0, help="seconds until a kill, at most")
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
    arguments = parser.parse_args()
    arguments.letters = arguments.letters or {"kills": 5_000, "size": 100_000}[arguments.proof]
    print(f"seed {arguments.seed}")
    proof = kills if arguments.proof == "kills" else size
    with tempfile.TemporaryDirectory() as folder:
        given = os.environ.get("KAFKA_BOOTSTRAP_SERVERS")
        if given:
            return 0 if asyncio.run(proof(Estate(given, Path(folder)), arguments)) else 1
        cluster = Cluster()
        cluster.start()
        try:
            return 0 if asyncio.run(proof(Estate(cluster.bootstrap_servers, Path(folder)), arguments)) else 1
        finally:
            cluster.stop()


if __name__ == "__main__":
    sys.exit(main())
