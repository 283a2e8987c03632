"""Binance signatures: over the exact query bytes and body bytes, without a separator, appended as `signature`.

HMAC is written in hex; RSA and Ed25519 in base64, percent-encoded. Source: "SIGNED endpoint security" of the
general-info pages of spot, fapi and papi.
"""

from base64 import b64encode
from urllib.parse import quote

from gateway.transport.messages import HttpRequest
from gateway.venues.credentials import Credentials
from gateway.venues.keys import HmacKey
from gateway.venues.venue import Call

RECEIVE_WINDOW_MS = 5000


def sign(call: Call, credentials: Credentials, timestamp_ms: int, *, receive_window: bool = True) -> HttpRequest:
    """The signed request; every parameter is in the query, as the official SDKs send it."""
    window = f"recvWindow={RECEIVE_WINDOW_MS}&" if receive_window else ""
    query = f"{call.query}&{window}timestamp={timestamp_ms}" if call.query else f"{window}timestamp={timestamp_ms}"
    signature = signature_text(credentials, query.encode() + call.body)
    return HttpRequest(
        method=call.method,
        target=f"{call.path}?{query}&signature={signature}",
        headers={"X-MBX-APIKEY": credentials.api_key},
        body=call.body,
    )


def signature_text(credentials: Credentials, payload: bytes) -> str:
    """The signature as it stands in the query."""
    signature = credentials.signing_key.sign(payload)
    if isinstance(credentials.signing_key, HmacKey):
        return signature.hex()
    return quote(b64encode(signature), safe="")
