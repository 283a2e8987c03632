"""What a venue says is taken in without what we showed it: its texts go into events, letters, logs and terminals.

Some venues, and proxies before them, repeat the request in their error. So the reply's body is cleaned once, where it
comes in and before anything reads it.
"""

import json
import re
from collections.abc import Iterator
from urllib.parse import quote, unquote

import msgspec

from gateway.transport.messages import HttpReply, HttpRequest
from gateway.venues.credentials import Credentials

SHORTEST = 6  # characters; shorter ones are no secrets, and would take numbers out of what a venue says
REMOVED = b"[removed]"
_SIGNATURE = re.compile(r"[?&]signature=([^&]*)")
_RUN = re.compile(rb"[a-z0-9]+")


def without_secrets(reply: HttpReply, request: HttpRequest, credentials: Credentials) -> HttpReply:
    """Return the reply with the request's key, passphrase and signature taken out, however they are written."""
    body = reply.body
    lowered = body.lower()
    for secret in _secrets(request, credentials):
        if len(secret) < SHORTEST or not _may_hold(lowered, secret):
            continue
        for text in _spellings(secret):
            if text in body:
                body = body.replace(text, REMOVED)
    return reply if body is reply.body else msgspec.structs.replace(reply, body=body)


def _secrets(request: HttpRequest, credentials: Credentials) -> Iterator[str]:
    yield credentials.api_key
    yield credentials.passphrase or ""
    yield request.headers.get("OK-ACCESS-SIGN", "")
    yield from map(unquote, _SIGNATURE.findall(request.target))


def _may_hold(lowered: bytes, secret: str) -> bool:
    """Whether a spelling can be there: each keeps letters and digits together, of the secret or of what it encodes.

    So nearly all replies are done with at once; to look for each spelling would cost as much as to sign.
    """
    return any(_longest_run(text) in lowered for text in {secret, unquote(secret)})


def _longest_run(text: str) -> bytes:
    if text.isascii() and text.isalnum():
        return text.lower().encode()
    return max(_RUN.findall(text.encode("ascii", "replace").lower()), key=len, default=b"")


def _spellings(secret: str) -> Iterator[bytes]:
    """As it is, percent-encoded once and twice, in capitals, and escaped as JSON writers do."""
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
