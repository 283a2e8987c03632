"""What strategy engines and risk caches import: send commands, wait for their answers, follow all events.

It needs the messages (`schemas`) and aiokafka, nothing else of the gateway: `ids` makes command ids, `client` talks.
"""

from gateway.client.client import LeverageClient, MissingTopicError, SentCommand
from gateway.client.ids import CommandIds

__all__ = ["CommandIds", "LeverageClient", "MissingTopicError", "SentCommand"]
