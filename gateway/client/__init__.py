"""What strategy engines and risk caches import: typed commands, all events, and a cache that says how old it may be.

`connection` (the one way in), `gateway` (the client), `cache` and `lanes` (what is), `rejections` (what is no), `feed`
(what every transport tells), `kafka` and `edge` with its `edge_feed` (the transports), `testing` (a gateway in
process), `ids` (command ids), `options` (how to connect). It needs the messages (`schemas`) and aiokafka, and over an
edge aiohttp (the extra `websocket`); nothing else of the gateway.
"""

from gateway.client.cache import Closed, LeverageCache, NotReady, Stale
from gateway.client.connection import connect
from gateway.client.feed import Place
from gateway.client.gateway import Client, LostEventsError, SentCommand, UnansweredError, UnconfirmedError
from gateway.client.ids import CommandIds
from gateway.client.lanes import LaneChange, LaneKey, LaneState
from gateway.client.options import KafkaOptions
from gateway.client.reading import MissingTopicError
from gateway.client.rejections import (
    Expired,
    Invalid,
    OutcomeUnknown,
    Policy,
    RateLimited,
    Rejected,
    Superseded,
    Unauthorised,
    UnknownAccount,
    VenueRejected,
    VenueUnavailable,
)

__all__ = [
    "Client",
    "Closed",
    "CommandIds",
    "Expired",
    "Invalid",
    "KafkaOptions",
    "LaneChange",
    "LaneKey",
    "LaneState",
    "LeverageCache",
    "LostEventsError",
    "MissingTopicError",
    "NotReady",
    "OutcomeUnknown",
    "Place",
    "Policy",
    "RateLimited",
    "Rejected",
    "SentCommand",
    "Stale",
    "Superseded",
    "UnansweredError",
    "Unauthorised",
    "UnconfirmedError",
    "UnknownAccount",
    "VenueRejected",
    "VenueUnavailable",
    "connect",
]
