"""Keys are read from files, said to be wrong by their setting's name, and never shown."""

import hashlib
import hmac
import os
from base64 import b64decode
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, x25519
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, NoEncryption
from msgspec import convert

from gateway.settings.tree import CredentialSettings
from gateway.venues.keys import CredentialError, Ed25519Key, HmacKey, RsaKey, fingerprint, load_credentials
from tests.venues.asking import VENUES, asked

RSA_KEY = rsa.generate_private_key(65537, 2048)
ED25519_KEY = ed25519.Ed25519PrivateKey.generate()
PKCS8 = serialization.PrivateFormat.PKCS8


def pem(key, form=PKCS8, encryption=None) -> bytes:
    return key.private_bytes(serialization.Encoding.PEM, form, encryption or NoEncryption())


@pytest.fixture
def keys(tmp_path: Path):
    """Writes files by name and loads the credentials that they make."""

    def load(**files: bytes):
        for name, content in files.items():
            (tmp_path / name).write_bytes(content)
        return load_credentials(settings_of(*files), tmp_path)

    return load


def settings_of(*names: str) -> CredentialSettings:
    return convert({f"{name}_file": name for name in ("api_key", *names)}, CredentialSettings)


def test_a_secret_signs_by_hmac_and_signs_again(keys):
    held = keys(api_key=b"key\n", api_secret=b"secret\r\n")
    assert (held.api_key, held.passphrase, held.simulated) == ("key", None, False)
    assert isinstance(held.signing_key, HmacKey)
    for payload in (b"one", b"two", b"one"):
        assert held.signing_key.sign(payload) == hmac.new(b"secret", payload, hashlib.sha256).digest()


def test_okx_keys_have_a_passphrase_that_may_hold_spaces(keys):
    held = keys(api_key=b"key", api_secret=b"secret", passphrase=b"correct horse\n")
    assert held.passphrase == "correct horse"


@pytest.mark.parametrize("form", [PKCS8, serialization.PrivateFormat.TraditionalOpenSSL])
def test_an_rsa_key_signs_by_pkcs1_and_sha256(keys, form):
    held = keys(api_key=b"key", private_key=pem(RSA_KEY, form))
    assert isinstance(held.signing_key, RsaKey)
    RSA_KEY.public_key().verify(held.signing_key.sign(b"payload"), b"payload", padding.PKCS1v15(), hashes.SHA256())


def test_an_ed25519_key_signs_the_payload_itself(keys):
    held = keys(api_key=b"key", private_key=pem(ED25519_KEY))
    assert isinstance(held.signing_key, Ed25519Key)
    ED25519_KEY.public_key().verify(held.signing_key.sign(b"payload"), b"payload")


@pytest.mark.parametrize("key", [RSA_KEY, ED25519_KEY], ids=["rsa", "ed25519"])
def test_an_encrypted_key_is_opened_by_the_password_in_its_file(keys, key):
    encrypted = pem(key, encryption=BestAvailableEncryption(SECRET))
    held = keys(api_key=b"key", private_key=encrypted, private_key_password=SECRET + b"\n")
    assert held.signing_key.sign(b"payload") == keys(api_key=b"key", private_key=pem(key)).signing_key.sign(b"payload")


@pytest.mark.parametrize("name", ["binance_margin", "binance_usdm", "binance_portfolio"])
@pytest.mark.parametrize("key", [RSA_KEY, ED25519_KEY], ids=["rsa", "ed25519"])
def test_binance_carries_private_key_signatures_in_base64_percent_encoded_and_last(keys, name, key):
    held = keys(api_key=b"key", private_key=pem(key))
    venue = VENUES[name]
    query = urlsplit(venue.sign(venue.set_leverage(asked(name)), held, 1795248382880).target).query
    payload, _, signature = query.partition("&signature=")
    assert not set(signature) & set("+/=")
    raw = b64decode(dict(parse_qsl(query))["signature"], validate=True)
    if key is RSA_KEY:
        RSA_KEY.public_key().verify(raw, payload.encode(), padding.PKCS1v15(), hashes.SHA256())
    else:
        ED25519_KEY.public_key().verify(raw, payload.encode())


SECRET = b"hunter2-topsecret"
WRONG = {
    "an empty key": ({"api_key": b" \n", "api_secret": SECRET}, "api_key_file", "empty"),
    "an empty secret": ({"api_key": b"k", "api_secret": b""}, "api_secret_file", "empty"),
    "a key of two lines": ({"api_key": SECRET + b"\nX-Evil: 1", "api_secret": b"s"}, "api_key_file", "one line"),
    "a key that is no ASCII": ({"api_key": "schlüssel".encode(), "api_secret": SECRET}, "api_key_file", "ASCII"),
    "a passphrase of two lines": (
        {"api_key": b"k", "api_secret": b"s", "passphrase": SECRET + b"\n\nx"},
        "passphrase_file",
        "one line",
    ),
    "a secret that is no text": ({"api_key": b"k", "api_secret": b"\xff\xfe" + SECRET}, "api_secret_file", "not text"),
    "a secret of two lines": ({"api_key": b"k", "api_secret": SECRET + b"\nx"}, "api_secret_file", "one line"),
    "a secret with a space": ({"api_key": b"k", "api_secret": b"hunter2 topsecret"}, "api_secret_file", "white space"),
    "a secret behind a byte-order mark": (
        {"api_key": b"k", "api_secret": b"\xef\xbb\xbf" + SECRET},
        "api_secret_file",
        "byte-order mark",
    ),
    "a secret as an environment file has it": (
        {"api_key": b"k", "api_secret": b"API_SECRET=" + SECRET},
        "api_secret_file",
        "the key alone",
    ),
    "a key as an environment file has it": (
        {"api_key": b"export KEY=" + SECRET, "api_secret": SECRET},
        "api_key_file",
        "white space",
    ),
    "a PEM file as secret": ({"api_key": b"k", "api_secret": pem(ED25519_KEY)}, "api_secret_file", "private_key_file"),
    "a secret as PEM file": ({"api_key": b"k", "private_key": SECRET}, "private_key_file", "not a PEM private key"),
    "a broken PEM file": (
        {"api_key": b"k", "private_key": pem(RSA_KEY)[:400] + b"\n-----END PRIVATE KEY-----"},
        "private_key_file",
        "not a PEM private key",
    ),
    "a public key": (
        {
            "api_key": b"k",
            "private_key": ED25519_KEY.public_key().public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            ),
        },
        "private_key_file",
        "not a PEM private key",
    ),
    "an encrypted key": (
        {"api_key": b"k", "private_key": pem(ED25519_KEY, encryption=BestAvailableEncryption(SECRET))},
        "private_key_file",
        "encrypted",
    ),
    "a wrong password": (
        {
            "api_key": b"k",
            "private_key": pem(ED25519_KEY, encryption=BestAvailableEncryption(SECRET)),
            "private_key_password": b"wrong-password",
        },
        "private_key_password_file",
        "does not open the key",
    ),
    "a password for nothing": (
        {"api_key": b"k", "private_key": pem(ED25519_KEY), "private_key_password": b"no-need-of-it"},
        "private_key_file",
        "not encrypted",
    ),
    "a key of another kind": (
        {"api_key": b"k", "private_key": pem(ec.generate_private_key(ec.SECP256R1()))},
        "private_key_file",
        "neither an RSA nor an Ed25519",
    ),
    "a key that cannot sign": (
        {"api_key": b"k", "private_key": pem(x25519.X25519PrivateKey.generate())},
        "private_key_file",
        "neither an RSA nor an Ed25519",
    ),
    "no secret at all": ({"api_key": b"k"}, "api_secret_file", "private_key_file"),
}


@pytest.mark.parametrize("secret", [b"c2VjcmV0cw==", b"c2VjcmV0c2U=", b"a-b_c.d=", b"  hunter2\r\n"])
def test_a_secret_in_base64_is_a_secret_and_white_space_around_it_is_none(keys, secret):
    signed = keys(api_key=b"k", api_secret=secret).signing_key.sign(b"payload")
    assert signed == hmac.digest(secret.strip(), b"payload", "sha256")


@pytest.mark.parametrize(("files", "setting", "remedy"), WRONG.values(), ids=WRONG)
def test_a_wrong_key_file_is_told_by_its_setting_and_never_by_its_content(keys, files, setting, remedy):
    with pytest.raises(CredentialError) as caught:
        keys(**files)
    assert caught.value.setting == setting
    assert remedy in caught.value.problem
    for content in files.values():
        assert len(content.strip()) < 8 or content.strip().decode("latin-1") not in str(caught.value)
    assert SECRET.decode() not in str(caught.value) + repr(caught.value)


def test_an_rsa_key_below_2048_bits_is_refused(keys, monkeypatch):
    monkeypatch.setattr("gateway.venues.keys.SMALLEST_RSA_BITS", 4096)
    with pytest.raises(CredentialError, match="at least 4096 bits"):
        keys(api_key=b"k", private_key=pem(RSA_KEY))


@pytest.mark.parametrize("name", ["missing", "", ".", "x" * 5000, "a\0b"])
def test_a_file_that_cannot_be_read_is_told_without_its_name(tmp_path, name):
    settings = CredentialSettings(api_key_file=name, api_secret_file="api_secret")
    assert len(fingerprint(settings, tmp_path)) == 2
    with pytest.raises(CredentialError) as caught:
        load_credentials(settings, tmp_path)
    assert caught.value.setting == "api_key_file"
    assert not name or name == "." or name not in str(caught.value)


def test_a_fingerprint_changes_with_every_file_and_with_nothing_else(keys, tmp_path):
    files = {"api_key": b"k", "api_secret": b"s", "passphrase": b"p"}
    keys(**files)
    settings = settings_of(*files)
    seen = [fingerprint(settings, tmp_path)]
    assert fingerprint(settings, tmp_path) == seen[0]
    for name, content in files.items():
        (tmp_path / f"{name}.new").write_bytes(content)
        os.replace(tmp_path / f"{name}.new", tmp_path / name)  # noqa: PTH105 - what secret mounts do
        seen.append(fingerprint(settings, tmp_path))
    (tmp_path / "api_key").unlink()
    seen.append(fingerprint(settings, tmp_path))
    assert len(set(seen)) == len(seen)


def test_no_key_is_shown(keys):
    held = keys(api_key=b"shownkey", api_secret=SECRET, passphrase=b"shownphrase")
    for shown in (repr(held), str(held), repr(held.signing_key), f"{held.signing_key}"):
        assert "shown" not in shown
        assert SECRET.decode() not in shown
    for key in (pem(RSA_KEY), pem(ED25519_KEY)):
        assert repr(keys(api_key=b"k", private_key=key).signing_key) in {"RsaKey(…)", "Ed25519Key(…)"}
