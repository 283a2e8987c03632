"""What strategy engines and risk caches import: send commands, wait for their answers, follow all events.

It needs the messages (`schemas`) and aiokafka, nothing else of the gateway: `ids` makes command ids, `options`
are how to connect, `client` talks.
"""

from gateway.client.client import LeverageClient, MissingTopicError, SentCommand, UnconfirmedError
from gateway.client.ids import CommandIds
from gateway.client.options import KafkaOptions

__all__ = ["CommandIds", "KafkaOptions", "LeverageClient", "MissingTopicError", "SentCommand", "UnconfirmedError"]
