"""What the gateway's brakes leave out now, from the last hour of events."""

from gateway.client.dead_letters.health import Brake, BrakeWatch
from gateway.client.dead_letters.known import events_since
from gateway.client.dead_letters.log import LetterLog, read_event
from gateway.client.reading import Range

LOOK_BACK = 3600.0  # seconds
MOST_EVENTS = 50_000


async def brakes_now(log: LetterLog, now: float) -> list[Brake]:
    """The brake of every venue, as the newest events tell: those of an hour, or the last 50,000."""
    topic, watch = log.topics.events, BrakeWatch()
    numbers = await log.reader.ranges(topic)
    begins = await events_since(log.reader, log.topics, dict.fromkeys(numbers, int((now - LOOK_BACK) * 1000)))
    share = MOST_EVENTS // max(1, len(begins))
    ends = await log.reader.ends(topic, begins)
    spans = {number: Range(max(begin, ends[number] - share), ends[number]) for number, begin in begins.items()}
    async for records in log.reader.forwards(topic, spans):
        for event in map(read_event, records):
            if event is not None:
                watch.saw(event)
    return watch.brakes(now)
