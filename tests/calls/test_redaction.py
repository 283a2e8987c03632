"""Nothing that we showed a venue comes back in what it says, however it writes it."""

import json
import random
from decimal import Decimal
from urllib.parse import quote, unquote

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

from gateway.calls.redaction import REMOVED, _spellings, without_secrets
from gateway.transport.messages import HttpReply, HttpRequest
from gateway.venues.catalogue import venues
from gateway.venues.credentials import Credentials
from gateway.venues.keys import Ed25519Key, HmacKey
from schemas import LeverageRejected, SetLeverage
from tests.kit.bench import Bench, Script, incoming
from tests.kit.world import on_virtual_time
from tests.venues.asking import TARGETS

KEY = "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A"
PASSPHRASE = "correct horse/battery+staple="


def keys(kind):
    signing = HmacKey("s3cret" * 8) if kind == "hmac" else Ed25519Key(ed25519.Ed25519PrivateKey.generate())
    return Credentials(api_key=KEY, signing_key=signing, passphrase=PASSPHRASE)


WRITERS = {
    "as it is": str,
    "JSON": lambda text: json.dumps(text)[1:-1],
    "JSON with slashes escaped": lambda text: json.dumps(text)[1:-1].replace("/", "\\/"),
    "JSON for HTML": lambda text: json.dumps(text)[1:-1].replace("=", "\\u003d").replace("+", "\\u002b"),
    "percent-encoded": lambda text: quote(text, safe=""),
    "decoded": unquote,
}


@pytest.mark.parametrize("kind", ["hmac", "ed25519"])
@pytest.mark.parametrize("written", WRITERS)
@pytest.mark.parametrize("name", venues())
def test_a_venue_that_repeats_the_request_in_its_error_tells_no_key_and_no_signature(name, written, kind):
    venue, credentials, write = venues()[name], keys(kind), WRITERS[written]
    command = SetLeverage(command_id="c", account="a", leverage=Decimal(5), target=TARGETS[name])
    request = venue.sign(venue.set_leverage(command), credentials, 1_795_262_400_000)
    signature = request.headers.get("OK-ACCESS-SIGN") or request.target.rpartition("signature=")[2]
    told = f"bad request {write(request.target)} {' '.join(map(write, request.headers.values()))} {write(signature)}"
    body = b'{"code":-1102,"msg":"' + told.encode() + b'"}'

    said = without_secrets(HttpReply(status=400, headers={}, body=body), request, credentials).body.decode()

    for secret in (KEY, signature, unquote(signature), *([PASSPHRASE] if name == "okx" else [])):
        for spelled in WRITERS.values():
            assert spelled(secret) not in said
    assert "bad request" in said


def test_a_reply_that_repeats_nothing_is_the_same_object():
    venue = venues()["binance_usdm"]
    command = SetLeverage(command_id="c", account="a", leverage=Decimal(5), target=TARGETS["binance_usdm"])
    request = venue.sign(venue.set_leverage(command), keys("hmac"), 1_795_262_400_000)
    reply = HttpReply(status=200, headers={}, body=random.Random(1).randbytes(500))
    assert without_secrets(reply, request, keys("hmac")) is reply


ODD = [
    "%41bcdefgh",
    "%2B%2F%3D%25",
    "!!=/+!!",
    "пароль-вполне",
    "\u212aelvin-sign",
    "STRASSE-straße",
    "a/b+c=d/e",
    '\\u0041"b',
]


@pytest.mark.parametrize("secret", [KEY, PASSPHRASE, *ODD])
def test_what_is_looked_for_first_passes_over_no_spelling_of_any_secret(secret):
    for spelled in _spellings(secret):
        request = HttpRequest(method="POST", target=f"/x?signature={quote(secret, safe='')}", headers={})
        for api_key, passphrase in ((secret, None), ("other-key", secret), ("other-key", None)):
            credentials = Credentials(api_key=api_key, signing_key=HmacKey("s"), passphrase=passphrase)
            body = b'{"msg":"x' + spelled + b'y"}'
            said = without_secrets(HttpReply(status=400, headers={}, body=body), request, credentials).body
            assert REMOVED in said
            assert spelled not in said


def test_a_venue_that_repeats_a_key_is_told_without_it_in_the_event():
    async def main(world):
        event = await Bench(world, Script((400, f"not for {KEY}"))).answer(incoming(1, account=KEY))
        assert isinstance(event, LeverageRejected)
        assert event.message == "not for [removed]"

    on_virtual_time(main)
