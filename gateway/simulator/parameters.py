"""Reads the parameters of a Binance-family request from its raw query and body, and what its signature covers.

`binance` and `ztdx` judge what is found here.
"""

import re
from urllib.parse import unquote_plus

from msgspec import Struct

ILLEGAL = "\ufffd"
"""Stands where bytes are no UTF-8; no legal range holds it."""


class Parameters(Struct, frozen=True, kw_only=True):
    """What was sent.

    Attributes:
        values: decoded, by name; where query and body both have a name the query wins.
        duplicated: a name twice in the query, or twice in the body.
        payload: the query's and the body's bytes as sent, next to each other, without the signature.
        signature_last: nothing comes after the signature in the part that holds it.
        clean: all of it is ASCII, so everything else was percent-encoded before it was signed.
    """

    values: dict[str, str]
    duplicated: bool
    payload: bytes
    signature: str | None
    signature_last: bool
    clean: bool


def read_parameters(query: str, body: bytes, *, form: bool = True) -> Parameters:
    """Of the query, and of the body where it is a form."""
    text = body.decode("utf-8", "surrogateescape")
    in_query, in_body = _Part(query), _Part(text if form else "")
    covered = in_query.covered + (in_body.covered if form else text)
    values = in_body.values | in_query.values
    return Parameters(
        values=values,
        duplicated=in_query.duplicated or in_body.duplicated,
        payload=covered.encode("utf-8", "surrogateescape"),
        signature=values.pop("signature", None),
        signature_last=in_query.signature_last and in_body.signature_last,
        clean=query.isascii() and (text.isascii() or not form),
    )


class _Part:
    """One raw `name=value&…` text."""

    def __init__(self, raw: str) -> None:
        pieces = raw.split("&") if raw else []
        pairs = [piece.partition("=") for piece in pieces]
        names = [_decoded(name) for name, _, _ in pairs]
        self.values = {name: _decoded(value) for name, (_, _, value) in zip(names, pairs, strict=True)}
        self.duplicated = len(self.values) != len(names)
        self.covered = "&".join(piece for piece in pieces if not piece.startswith("signature="))
        self.signature_last = "signature" not in names[:-1]


def _decoded(raw: str) -> str:
    return unquote_plus(raw, errors="replace") if "%" in raw or "+" in raw else raw


def fits(value: str, legal: str) -> bool:
    """Whether a value is within a legal range, which is how the venue calls its patterns."""
    return re.fullmatch(legal, value) is not None
