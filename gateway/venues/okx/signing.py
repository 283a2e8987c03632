"""OKX signatures: base64 of HMAC-SHA256 over timestamp, method, path with query, and body text.

Source: "REST Authentication" of the v5 documentation.
"""

from base64 import b64encode
from datetime import UTC, datetime

from gateway.transport.messages import HttpRequest
from gateway.venues.credentials import Credentials
from gateway.venues.venue import Call


def sign(call: Call, credentials: Credentials, timestamp_ms: int) -> HttpRequest:
    """The signed request; the timestamp's text is the same in the header and in what is signed."""
    timestamp = iso(timestamp_ms)
    signature = credentials.signing_key.sign(f"{timestamp}{call.method}{call.target}".encode() + call.body)
    headers = {
        "OK-ACCESS-KEY": credentials.api_key,
        "OK-ACCESS-SIGN": b64encode(signature).decode(),
        "OK-ACCESS-TIMESTAMP": timestamp,
        "OK-ACCESS-PASSPHRASE": credentials.passphrase or "",
        "Content-Type": "application/json",
    }
    if credentials.simulated:
        headers["x-simulated-trading"] = "1"
    return HttpRequest(method=call.method, target=call.target, headers=headers, body=call.body)


def iso(timestamp_ms: int) -> str:
    """UTC, ISO 8601 with milliseconds and Z."""
    seconds, milliseconds = divmod(timestamp_ms, 1000)
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{milliseconds:03d}Z"
