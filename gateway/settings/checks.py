"""What the settings' types cannot say: that files are there, that times fit each other, that addresses are addresses.

`file` builds the tree and asks here; each finding is a path and what would be right, never a value.
"""

import os
import re
import stat
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from gateway.settings.addresses import parse_listen, urlsplit_or_none, wrong_base_url
from gateway.settings.certificates import CertificateError, tls_context, trusting
from gateway.settings.findings import Finding, LimitNames, SettingPath
from gateway.settings.operators import OperatorKeyError, read_public_key
from gateway.settings.secret_files import SecretFileError, read_password
from gateway.settings.tree import CredentialSettings, KafkaSettings, PolicySettings, RedisSettings, Settings
from gateway.settings.venue_checks import check_venue

ACCOUNT = re.compile(r"[A-Za-z0-9._-]{1,64}")
TOPIC = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._-]{1,249}")
INT32_MAX = 2**31 - 1  # Kafka's protocol has no wider durations and counts


def check_settings(
    settings: Settings, base_dir: Path, limit_names: LimitNames, *, with_accounts: bool, with_edge: bool
) -> Iterator[Finding]:
    """Everything wrong that spans settings or reaches outside them."""
    yield from _kafka(settings.kafka, base_dir)
    yield from _times(settings)
    yield from _listen(settings)
    for name in msgspec.structs.asdict(settings.venues):
        yield from check_venue(name, getattr(settings.venues, name), limit_names)
    yield from _redis(settings.redis, base_dir)
    if settings.traces.endpoint is not None and not _is_traces_url(settings.traces.endpoint):
        remedy = "expected the whole URL, as http://collector:4318/v1/traces, without a user name or query"
        yield ("traces", "endpoint"), remedy
    yield from _policy(settings.policy, base_dir)
    is_edge, has_accounts = bool(settings.edge.tokens), bool(settings.accounts)
    if with_accounts and (has_accounts or not (with_edge and is_edge)):
        yield from _accounts(settings, base_dir)


def _redis(redis: RedisSettings, base_dir: Path) -> Iterator[Finding]:
    if not _is_redis_url(redis.url):
        remedy = "expected redis://host:port/database, or rediss:// for TLS, without a user name, password or query"
        yield ("redis", "url"), remedy
    if redis.username and not redis.password_file:
        yield ("redis", "password_file"), "missing; redis.username is a user with a password"
    if redis.password_file:
        yield from _password(("redis", "password_file"), redis.password_file, base_dir)
    if redis.ssl_cafile:
        if not redis.url.startswith("rediss:"):
            yield ("redis", "ssl_cafile"), "has no effect without a redis.url that begins with rediss://"
        yield from _authorities(("redis", "ssl_cafile"), redis.ssl_cafile, base_dir)


def _policy(policy: PolicySettings, base_dir: Path) -> Iterator[Finding]:
    if len(policy.operators) == 1:
        yield ("policy", "operators"), "there is one, and what loosens needs two: name another, or none"
    known: dict[bytes, str] = {}
    for name, operator in policy.operators.items():
        place = ("policy", "operators", name, "public_key_file")
        if not ACCOUNT.fullmatch(name):
            yield place[:3], "an operator's name is 1 to 64 letters, digits, dots, dashes and underscores"
        if operator.public_key_file is None:
            yield place, "missing; name a PEM file with an Ed25519 public key"
            continue
        try:
            key = read_public_key(base_dir / operator.public_key_file).public_bytes_raw()
        except OperatorKeyError as error:
            yield place, str(error)
            continue
        if (other := known.setdefault(key, name)) != name:
            yield place, f"is the key of {other} too; two operators are two keys"


def _is_redis_url(url: str) -> bool:
    split = urlsplit_or_none(url)
    if split is None or split[0] not in {"redis", "rediss"} or re.search(r"[@?#\s]", url):
        return False
    return re.fullmatch(r"(/\d{0,9})?", urlsplit(url).path) is not None


def _is_traces_url(url: str) -> bool:
    split = urlsplit_or_none(url)
    if split is None or split[0] not in {"http", "https"} or re.search(r"[@?#\s]", url):
        return False
    return urlsplit(url).path.strip("/") != ""


def _authorities(place: SettingPath, file: str, base_dir: Path) -> Iterator[Finding]:
    unusable = list(file_findings(place, file, base_dir))
    yield from unusable
    if not unusable:
        try:
            trusting(base_dir / file)
        except CertificateError as error:
            yield place, error.remedy


def _password(place: SettingPath, file: str, base_dir: Path) -> Iterator[Finding]:
    unusable = list(file_findings(place, file, base_dir))
    yield from unusable
    if not unusable:
        try:
            read_password(place[-1], base_dir / file)
        except SecretFileError as error:
            yield place, error.problem


def _kafka(kafka: KafkaSettings, base_dir: Path) -> Iterator[Finding]:
    yield from _addresses(kafka)
    yield from _topics(kafka)
    yield from _security(kafka)
    yield from _tls(kafka)
    yield from _kafka_files(kafka, base_dir)


def _addresses(kafka: KafkaSettings) -> Iterator[Finding]:
    servers = kafka.bootstrap_servers.split(",")
    if not all(re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[^\s:@/\[\]]+)(:\d{1,5})?", server.strip()) for server in servers):
        yield ("kafka", "bootstrap_servers"), 'expected "host:port", more than one joined by commas'
    for name in ("group_id", "client_id"):
        if not getattr(kafka, name):
            yield ("kafka", name), "must not be empty"
    for name, value in msgspec.structs.asdict(kafka).items():
        if isinstance(value, int) and value > INT32_MAX:
            yield ("kafka", name), f"expected at most {INT32_MAX}"
    if kafka.group_instance_id and not TOPIC.fullmatch(kafka.group_instance_id):
        yield ("kafka", "group_instance_id"), "expected 1 to 249 letters, digits, dots, dashes and underscores"


def _kafka_files(kafka: KafkaSettings, base_dir: Path) -> Iterator[Finding]:
    for name in ("sasl_password_file", "oauth_token_file", "oauth_client_secret_file", "ssl_password_file"):
        if file := getattr(kafka, name):
            yield from _password(("kafka", name), file, base_dir)
    if kafka.oauth_cafile:
        yield from _authorities(("kafka", "oauth_cafile"), kafka.oauth_cafile, base_dir)
    files = {name: getattr(kafka, name) for name in ("ssl_cafile", "ssl_certfile", "ssl_keyfile")}
    unusable = [
        finding for name, file in files.items() if file for finding in file_findings(("kafka", name), file, base_dir)
    ]
    yield from unusable
    if not unusable and kafka.security_protocol.endswith("SSL"):
        yield from _certificates(kafka, base_dir)


def _certificates(kafka: KafkaSettings, base_dir: Path) -> Iterator[Finding]:
    try:
        tls_context(kafka, base_dir)
    except CertificateError as error:
        yield ("kafka", error.setting), error.remedy


def _topics(kafka: KafkaSettings) -> Iterator[Finding]:
    names: dict[str, str] = msgspec.structs.asdict(kafka.topics)
    for role, name in names.items():
        if not TOPIC.fullmatch(name):
            yield ("kafka", "topics", role), "expected 1 to 249 letters, digits, dots, dashes and underscores"
        elif list(names.values()).count(name) > 1:
            yield ("kafka", "topics", role), "is another topic's name too; the six topics need six names"


def _security(kafka: KafkaSettings) -> Iterator[Finding]:
    sasl = kafka.security_protocol.startswith("SASL")
    has_token = kafka.sasl_mechanism == "OAUTHBEARER"
    for name in ("sasl_username", "sasl_password_file"):
        if sasl and not has_token and not getattr(kafka, name):
            yield ("kafka", name), f"missing; security_protocol {kafka.security_protocol} needs it"
        if not sasl and getattr(kafka, name):
            yield ("kafka", name), "has no effect without security_protocol SASL_SSL or SASL_PLAINTEXT"
        if sasl and has_token and getattr(kafka, name):
            yield ("kafka", name), "has no effect with sasl_mechanism OAUTHBEARER; take it out"
    yield from _tokens(kafka, is_used=sasl and has_token)


def _tls(kafka: KafkaSettings) -> Iterator[Finding]:
    tls = kafka.security_protocol.endswith("SSL")
    for name in ("ssl_cafile", "ssl_certfile", "ssl_keyfile", "ssl_password_file"):
        if not tls and getattr(kafka, name):
            yield ("kafka", name), "has no effect without security_protocol SSL or SASL_SSL"
    for name in ("ssl_keyfile", "ssl_password_file"):
        if tls and getattr(kafka, name) and not kafka.ssl_certfile:
            yield ("kafka", "ssl_certfile"), f"missing; {name} belongs to a certificate"


def _tokens(kafka: KafkaSettings, *, is_used: bool) -> Iterator[Finding]:
    named = [name for name in kafka.__struct_fields__ if name.startswith("oauth_") and getattr(kafka, name)]
    if not is_used:
        remedy = "has no effect without sasl_mechanism OAUTHBEARER and a security_protocol with SASL"
        yield from ((("kafka", name), remedy) for name in named)
    elif kafka.oauth_token_file:
        remedy = "either this and what belongs to it or oauth_token_file, not both"
        yield from ((("kafka", name), remedy) for name in named if name != "oauth_token_file")
    elif not kafka.oauth_token_endpoint:
        yield ("kafka", "oauth_token_file"), "missing; OAUTHBEARER needs this or oauth_token_endpoint"
    else:
        if remedy := wrong_base_url(kafka.oauth_token_endpoint):
            yield ("kafka", "oauth_token_endpoint"), remedy
        for name in ("oauth_client_id", "oauth_client_secret_file"):
            if not getattr(kafka, name):
                yield ("kafka", name), "missing; kafka.oauth_token_endpoint needs it"


def _times(settings: Settings) -> Iterator[Finding]:
    kafka = settings.kafka
    slowest = max(msgspec.structs.asdict(settings.venues).items(), key=lambda item: item[1].call_timeout)
    needed = slowest[1].call_timeout + kafka.commit_interval
    if kafka.lease <= needed:
        both = f"venues.{slowest[0]}.call_timeout and kafka.commit_interval together"
        yield ("kafka", "lease"), f"must be more than {needed:g}, {both}: every call ends within the lease it starts in"
    if kafka.session_timeout_ms < kafka.lease * 1000:
        remedy = f"must be at least {kafka.lease * 1000:.0f}, kafka.lease: no call may outlive the session it starts in"
        yield ("kafka", "session_timeout_ms"), remedy
    needed_ms = settings.pipeline.drain_timeout * 1000 + kafka.lease * 1000
    if kafka.rebalance_timeout_ms < needed_ms:
        both = "pipeline.drain_timeout and kafka.lease together"
        remedy = f"must be at least {needed_ms:.0f}, {both}: who commits as it drains may call for a lease more"
        yield ("kafka", "rebalance_timeout_ms"), remedy


def _listen(settings: Settings) -> Iterator[Finding]:
    try:
        parse_listen(settings.http.listen)
    except ValueError as error:
        yield ("http", "listen"), str(error)


def _accounts(settings: Settings, base_dir: Path) -> Iterator[Finding]:
    if not settings.accounts:
        yield ("accounts",), "there are none; add [accounts.<name>.<venue>] with api_key_file and api_secret_file"
    for account in settings.accounts:
        if not ACCOUNT.fullmatch(account):
            yield ("accounts", account), "an account's name is 1 to 64 letters, digits, dots, dashes and underscores"
    for account, venue, keys in credentials_of(settings):
        yield from _credentials(("accounts", account, venue), venue, keys, base_dir)


def _credentials(place: SettingPath, venue: str, keys: CredentialSettings, base_dir: Path) -> Iterator[Finding]:
    yield from _signing_key(place, venue, keys)
    if venue == "okx" and not keys.passphrase_file:
        yield (*place, "passphrase_file"), "missing; name the file with the passphrase given when the OKX key was made"
    if venue != "okx" and keys.passphrase_file:
        yield (*place, "passphrase_file"), "only OKX keys have a passphrase; take it out"
    if venue != "okx" and keys.simulated:
        yield (*place, "simulated"), "only OKX has demo trading on its own address; for others set the venue's base_url"
    for name, file in msgspec.structs.asdict(keys).items():
        if name.endswith("_file") and file is not None:
            yield from file_findings((*place, name), file, base_dir)


def _signing_key(place: SettingPath, venue: str, keys: CredentialSettings) -> Iterator[Finding]:
    binance = venue.startswith("binance_")
    if keys.private_key_file is not None and not binance:
        yield (*place, "private_key_file"), "only Binance signs with private keys; name an api_secret_file instead"
    elif keys.private_key_file is not None and keys.api_secret_file is not None:
        yield (*place, "private_key_file"), "either this or api_secret_file, not both"
    if keys.private_key_password_file is not None and keys.private_key_file is None:
        yield (*place, "private_key_password_file"), "has no effect without private_key_file"
    if keys.private_key_file is None and keys.api_secret_file is None:
        other = ", or private_key_file for a PEM key (RSA, Ed25519)" if binance else ""
        yield (*place, "api_secret_file"), f"missing; name the file that holds the API secret{other}"


def file_findings(place: SettingPath, file: str, base_dir: Path) -> Iterator[Finding]:
    """Whether a file can be used; its name is not told, as a secret pasted in its place would be."""
    path = base_dir / file
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            yield place, "expected a file; a directory or device is there"
        elif not path.read_bytes().strip():
            yield place, "the file is empty"
    except PermissionError:
        yield (
            place,
            f"the file cannot be read by user {os.geteuid()}; give it that owner, or mode 0640 and a shared group",
        )
    except (OSError, ValueError):
        yield place, f"expected the name of a file; there is none (relative names start at {_existing(path, base_dir)})"


def _existing(path: Path, base_dir: Path) -> Path:
    return base_dir if base_dir in path.parents else next(found for found in path.parents if os.path.isdir(found))  # noqa: PTH112 - Path.is_dir raises for names too long


def edge_secret_files(settings: Settings) -> Iterator[tuple[SettingPath, str]]:
    """The files that hold a secret of the edge: their settings' paths, and their names as the settings have them."""
    if settings.edge.tls_keyfile:
        yield ("edge", "tls_keyfile"), settings.edge.tls_keyfile
    for name, token in settings.edge.tokens.items():
        yield ("edge", "tokens", name, "token_file"), token.token_file


def secret_files(settings: Settings) -> Iterator[tuple[SettingPath, str]]:
    """The files that hold a secret of the gateway: their settings' paths, and their names as the settings have them."""
    kafka = ("sasl_password_file", "oauth_token_file", "oauth_client_secret_file", "ssl_keyfile", "ssl_password_file")
    for name in kafka:
        if file := getattr(settings.kafka, name):
            yield ("kafka", name), file
    if settings.redis.password_file:
        yield ("redis", "password_file"), settings.redis.password_file
    for account, venue, keys in credentials_of(settings):
        for name, file in msgspec.structs.asdict(keys).items():
            if name.endswith("_file") and file:
                yield ("accounts", account, venue, name), file


def credentials_of(settings: Settings) -> Iterator[tuple[str, str, CredentialSettings]]:
    """Every account, venue and the files of its keys there."""
    for account, held in settings.accounts.items():
        for venue, keys in msgspec.structs.asdict(held).items():
            if keys is not None:
                yield account, venue, keys


def exposed_secrets(settings: Settings, base_dir: Path) -> list[str]:
    """The paths of settings whose secret file every user of this machine may read, change or replace by another."""
    found = chain(secret_files(settings), edge_secret_files(settings))
    return [".".join(place) for place, file in found if _is_exposed(base_dir / file)]


def _is_exposed(file: Path) -> bool:
    """Whoever may write to a folder may put another file there; the sticky bit keeps that to the file's owner."""
    try:
        mode, folder = file.stat().st_mode, file.parent.stat().st_mode
    except OSError:  # another role's, and not here
        return False
    is_replaceable = folder & stat.S_IWOTH and not folder & stat.S_ISVTX
    return bool(mode & (stat.S_IROTH | stat.S_IWOTH) or is_replaceable)


def secret_texts(settings: Settings, base_dir: Path) -> list[str]:
    """The text of every secret file that can be read, whole and by line, for the logs' guard."""
    texts: list[str] = []
    for _, file in chain(secret_files(settings), edge_secret_files(settings)):
        with suppress(OSError):  # also one that is being replaced just now
            texts.append((base_dir / file).read_text("utf-8", "replace"))
    return sorted({part.strip() for part in chain(texts, *(text.splitlines() for text in texts)) if part.strip()})
