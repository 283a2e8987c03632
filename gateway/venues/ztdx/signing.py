"""ZTDX signatures: HMAC-SHA256 in hex over the query bytes and then the body bytes, appended to the query.

Source: the endpoint's page (its Python sample), which sends only `timestamp` in the query and compact JSON as the body.
"""

from gateway.transport.messages import HttpRequest
from gateway.venues.binance.signing import signature_text
from gateway.venues.credentials import Credentials
from gateway.venues.venue import Call


def sign(call: Call, credentials: Credentials, timestamp_ms: int) -> HttpRequest:
    """The signed request."""
    query = f"{call.query}&timestamp={timestamp_ms}" if call.query else f"timestamp={timestamp_ms}"
    signature = signature_text(credentials, query.encode() + call.body)
    headers = {"X-MBX-APIKEY": credentials.api_key}
    if call.body:
        headers["Content-Type"] = "application/json"
    return HttpRequest(
        method=call.method, target=f"{call.path}?{query}&signature={signature}", headers=headers, body=call.body
    )
