"""What engines and risk caches import: a name that goes or comes is a decision, not an accident."""

import gateway.client
import schemas


def exported(module):
    assert all(hasattr(module, name) for name in module.__all__)
    return sorted(module.__all__)


def test_the_names_that_schemas_exports():
    assert exported(schemas) == SCHEMAS


def test_the_names_that_the_client_exports():
    assert exported(gateway.client) == CLIENT


SCHEMAS = [
    "BinanceMargin",
    "BinancePortfolio",
    "BinanceUsdm",
    "Certainty",
    "DecodeError",
    "Event",
    "Freeze",
    "FreezeState",
    "JSON",
    "LeverageChanged",
    "LeverageRejected",
    "MSGPACK",
    "Okx",
    "PolicyApplied",
    "Reason",
    "Scope",
    "SetLeverage",
    "Target",
    "Timestamp",
    "VenueName",
    "Ztdx",
    "decode_command",
    "decode_event",
    "encode",
]
CLIENT = [
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
