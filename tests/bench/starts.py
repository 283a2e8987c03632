"""`python -m tests.bench.starts`: how soon a gateway answers after its first start, and after kill -9 and a start at once.

The group's settings and the venues' limits are the defaults, membership is static, the venues are the simulator's. Told
are seconds from the start of the process, or from the kill, until the event can be read: of commands that waited for the
start, of those that waited at the kill, and of the first that came after it and was answered.
"""

import argparse
import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from msgspec import structs

from deploy.kafka.broker import Cluster
from gateway.settings.tree import KafkaSettings, Settings, VenueSettings
from schemas import BinanceMargin, BinancePortfolio, BinanceUsdm, Okx, SetLeverage, Target, Ztdx
from tests.app.rig import Rig, deployed

PATIENCE = 120.0
EVERY = 0.2  # seconds between two commands after the kill
FIRST: tuple[Target, ...] = (
    BinanceMargin(),
    BinanceUsdm(symbol="BTCUSDT"),
    BinancePortfolio(symbol="BTCUSDT"),
    Okx(margin_mode="cross", instrument="BTC-USDT-SWAP"),
    Ztdx(symbol="BTCUSDT"),
)
NEXT: tuple[Target, ...] = (
    BinanceUsdm(symbol="ETHUSDT"),
    BinancePortfolio(symbol="ETHUSDT"),
    Okx(margin_mode="cross", instrument="ETH-USDT-SWAP"),
)


def as_they_come(rig: Rig) -> Settings:
    """The rig's topics and keys, and of all else the defaults."""
    settings, default = rig.settings(), KafkaSettings()
    kafka = structs.replace(
        settings.kafka,
        group_instance_id="one",
        session_timeout_ms=default.session_timeout_ms,
        lease=default.lease,
        rebalance_timeout_ms=default.rebalance_timeout_ms,
        commit_interval=default.commit_interval,
    )
    venues = {
        name: VenueSettings(base_url=getattr(settings.venues, name).base_url)
        for name in settings.venues.__struct_fields__
    }
    return structs.replace(settings, kafka=kafka, venues=structs.replace(settings.venues, **venues))


async def seconds_of_each(rig: Rig, commands: Sequence[SetLeverage], since: float) -> dict[str, float]:
    """When each command's event could be read, by its venue."""

    async def one(command: SetLeverage) -> tuple[str, float]:
        await rig.answers(command, patience=PATIENCE)
        return command.key.partition(":")[0], time.monotonic() - since

    return dict(await asyncio.gather(*map(one, commands)))


async def first_answer(rig: Rig, since: float) -> float:
    """When the first was answered of commands for ever new lanes, five a second."""
    sent: list[SetLeverage] = []
    while not (sent and rig.events(*sent)):
        sent.append(rig.command(BinanceUsdm(symbol=f"NEW{len(sent)}USDT")))
        await rig.send(sent[-1])
        await asyncio.sleep(EVERY)
    return time.monotonic() - since


async def run(bootstrap: str, folder: Path) -> None:
    """Start, kill, start again."""
    async with deployed(bootstrap, folder) as rig, rig.process("one", as_they_come(rig), ready=False) as process:
        begun = time.monotonic()
        commands = [rig.command(target) for target in FIRST]
        await rig.send(*commands)
        _tell("first start", await seconds_of_each(rig, commands, begun))
        process.kill()
        killed = time.monotonic()
        process.start()
        commands = [rig.command(target) for target in NEXT]
        await rig.send(*commands)
        waiting = asyncio.create_task(seconds_of_each(rig, commands, killed))
        _tell("next answer", {"any": await first_answer(rig, killed)})
        _tell("waited", await waiting)


def _tell(what: str, seconds: dict[str, float]) -> None:
    print(f"{what:<12}" + "".join(f"{venue:>18} {took:5.2f} s" for venue, took in seconds.items()), flush=True)


def main() -> None:
    """Measure some rounds on one broker."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    with Cluster() as cluster:
        for _ in range(rounds):
            with TemporaryDirectory(prefix="gateway-starts-") as folder:
                asyncio.run(run(cluster.bootstrap_servers, Path(folder)))


if __name__ == "__main__":
    main()
