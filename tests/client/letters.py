"""Records as the gateway writes them: a command that failed, its dead letter's headers, its event."""

from decimal import Decimal

from gateway.client.reading import open_reader
from schemas import BinanceUsdm, LeverageRejected, SetLeverage, Timestamp

NOON = Timestamp.parse("2026-11-21T12:00:00Z")


def command(number, lane="BTCUSDT", leverage=20, **more):
    target = BinanceUsdm(symbol=lane)
    return SetLeverage(command_id=f"c{number}", account="desk-1", leverage=Decimal(leverage), target=target, **more)


def letter_headers(number, reason="venue_unavailable", **more):
    errors = {"partition": 0, "offset": number, "reason": reason, "message": "down\x1b[31m", "failed_at": NOON}
    ours = [("gateway-command-partition", b"0"), ("gateway-command-offset", b"%d" % number)]
    told = [(f"__gateway.errors.{name}", str(value).encode()) for name, value in errors.items()]
    return [("engine", b"mine"), *ours, *told, *more.items()]


def answer(number, event, lane="BTCUSDT", **more):
    asked = command(number, lane)
    about = {"event_id": f"c/0/{number}", "command_id": f"a{number}", "account": "desk-1", "target": asked.target}
    about |= {"lane": lane, "issuer": None, "redrive_of": None, "attempts": 1, "issued_at": None, "occurred_at": NOON}
    return event(**(about | more))


def rejected(number, lane="BTCUSDT", reason="venue_unavailable", leverage=20, **more):
    return answer(number, LeverageRejected, lane, leverage=Decimal(leverage), reason=reason, message="down", **more)


async def records_of(kafka_bootstrap, topic):
    """All that is committed on a topic."""
    async with open_reader({"bootstrap_servers": kafka_bootstrap}) as reader:
        spans = await reader.ranges(topic)
        return [record async for batch in reader.forwards(topic, spans) for record in batch]
