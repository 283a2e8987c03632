"""Every message of the gateway, its codec and its record headers: what strategy engines and risk caches read and write.

In order: `timestamps`, `targets` (what a command acts on, and its lane), `command`, `events`, `codec`, `headers`,
`topics`, `policy`; `generate` writes the JSON Schemas, the AsyncAPI document (`asyncapi`) and golden `examples`.
"""

from schemas.codec import JSON, MSGPACK, DecodeError, decode_command, decode_event, encode
from schemas.command import SetLeverage
from schemas.events import Certainty, Event, LeverageChanged, LeverageRejected, Reason
from schemas.policy import Freeze, FreezeState, PolicyApplied, Scope
from schemas.targets import BinanceMargin, BinancePortfolio, BinanceUsdm, Okx, Target, VenueName, Ztdx
from schemas.timestamps import Timestamp

__all__ = [
    "JSON",
    "MSGPACK",
    "BinanceMargin",
    "BinancePortfolio",
    "BinanceUsdm",
    "Certainty",
    "DecodeError",
    "Event",
    "Freeze",
    "FreezeState",
    "LeverageChanged",
    "LeverageRejected",
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
