"""What a client of the edge sees, with a token and without Kafka: the lanes, its command's event, the lane's change."""

from typing import NamedTuple

from gateway.client import LaneChange, LaneKey, LaneState, connect
from gateway.demo.scenario import ACCOUNT, BTC
from gateway.demo.stage import TOKEN, Stage
from schemas import BinanceUsdm, LeverageChanged

TARGET = BinanceUsdm(symbol=BTC)
LEVERAGE = 25
_PATIENCE = 30.0


class StreamSeen(NamedTuple):
    """What came over one WebSocket after another.

    Attributes:
        lanes: how many the snapshot had.
        sent: the event of a command handed in there.
        change: the lane's, as the cache told it.
    """

    lanes: int
    sent: LeverageChanged
    change: LaneChange

    @property
    def is_whole(self) -> bool:
        """Whether the cache had the lane before, and has now what the command asked for."""
        old = self.change.old
        return self.lanes > 0 and old is not None and self.change.new.event == self.sent != old.event


async def follow_stream(stage: Stage) -> StreamSeen:
    """Load a cache over the edge, hand a command in, and wait until the cache has what came of it."""
    key = LaneKey("binance_usdm", ACCOUNT, TARGET.lane)
    async with connect(f"{stage.edge.server.url.replace('http', 'ws', 1)}/v1/stream", token=TOKEN) as client:
        cache = await client.cache()
        await cache.ready(_PATIENCE)
        lanes, old = len(cache), cache.get(key)
        sent = await client.set_leverage(TARGET, LEVERAGE, account=ACCOUNT, issuer="demo", timeout=_PATIENCE)
        await cache.at_least(sent, _PATIENCE)
        return StreamSeen(lanes, sent, LaneChange(key, old, cache.get(key) or LaneState(sent)))
