"""What a venue says is taken in without what we showed it: its texts go into events, letters, logs and terminals.

Some venues, and proxies before them, repeat the request in their error. So the reply's body is cleaned once, where it
comes in and before anything reads it.
"""

import json
from collections.abc import Iterator
from urllib.parse import parse_qs, quote, unquote, urlsplit

import msgspec

from gateway.transport.messages import HttpReply, HttpRequest
from gateway.venues.credentials import Credentials

SHORTEST = 6  # characters; shorter ones are no secrets, and would take numbers out of what a venue says
REMOVED = b"[removed]"


def without_secrets(reply: HttpReply, request: HttpRequest, credentials: Credentials) -> HttpReply:
    """Return the reply with the request's key, passphrase and signature taken out, however they are written."""
    body = reply.body
    for secret in _secrets(request, credentials):
        for text in _spellings(secret):
            if text in body:
                body = body.replace(text, REMOVED)
    return reply if body is reply.body else msgspec.structs.replace(reply, body=body)


def _secrets(request: HttpRequest, credentials: Credentials) -> Iterator[str]:
    yield credentials.api_key
    yield credentials.passphrase or ""
    yield request.headers.get("OK-ACCESS-SIGN", "")
    yield from parse_qs(urlsplit(request.target).query).get("signature", ())


def _spellings(secret: str) -> Iterator[bytes]:
    """As it is, percent-encoded once and twice, in capitals, and escaped as JSON writers do."""
    if len(secret) < SHORTEST:
        return
    plain = unquote(secret)
    escaped = json.dumps(plain)[1:-1]
    for text in {
        secret,
        plain,
        quote(plain, safe=""),
        quote(quote(plain, safe=""), safe=""),
        plain.upper(),
        escaped.replace("/", "\\/"),
        escaped.replace("=", "\\u003d").replace("+", "\\u002b").replace("/", "\\/"),
        escaped.replace("=", "\\u003d").replace("+", "\\u002b"),
    }:
        yield text.encode()
