"""What the loader says of everything that can be wrong in a file: where, and what would be right."""

import pytest

from tests.settings.folder import ACCOUNT, OKX, SECRET, refusal

TOKEN = '[kafka]\nsecurity_protocol = "SASL_SSL"\nsasl_mechanism = "OAUTHBEARER"\n'
ENDPOINT = 'oauth_token_endpoint = "{}"\noauth_client_id = "c"\n'
WRONG = {
    # what is wrong: (the file's text, the path told, words of the remedy)
    "unknown table": (ACCOUNT + "[kafak]\n", "kafak", "did you mean kafka?"),
    **{
        f"a {file} password for {table}": (
            f'{ACCOUNT}[{table}]\n{name} = "{file}"\n{more}',
            f"{table}.{name}",
            remedy,
        )
        for table, name, more in (
            ("kafka", "sasl_password_file", 'security_protocol = "SASL_SSL"\nsasl_username = "u"'),
            ("redis", "password_file", ""),
        )
        for file, remedy in (("binary", "not text"), ("lines", "one line"), ("marked", "byte-order mark"))
    },
    **{
        f"traces at {url!r}": (f'{ACCOUNT}[traces]\nendpoint = "{url}"', "traces.endpoint", "expected the whole URL")
        for url in (
            "collector:4318",
            "http://collector:4318",
            "grpc://c/v1/traces",
            "http://u:p@c/v1/traces",
            "http://c/v1?k=v",
        )
    },
    **{
        f"redis at {url}": (f'{ACCOUNT}[redis]\nurl = "{url}"', "redis.url", "expected redis://host:port/database")
        for url in (
            "http://redis:6379",
            "redis://redis:6379?password=x",
            "rediss://redis:6379/0?ssl_cert_reqs=none",
            "redis://redis/zero",
            "redis://user@redis:6379",
            "redis:6379",
        )
    },
    "redis user without password": (ACCOUNT + '[redis]\nusername = "u"', "redis.password_file", "missing"),
    "redis authorities without TLS": (ACCOUNT + '[redis]\nssl_cafile = "ca.pem"', "redis.ssl_cafile", "no effect"),
    "redis authorities that are none": (
        ACCOUNT + '[redis]\nurl = "rediss://redis:6379"\nssl_cafile = "ca.pem"',
        "redis.ssl_cafile",
        "expected a PEM file",
    ),
    "instance id with a space": (
        ACCOUNT + '[kafka]\ngroup_instance_id = "a b"',
        "kafka.group_instance_id",
        "letters, digits",
    ),
    "unknown setting": (
        ACCOUNT + '[kafka]\nbootstrap_server = "x:1"',
        "kafka.bootstrap_server",
        "did you mean bootstrap_servers?",
    ),
    "setting outside tables": ('group_id = "x"\n' + ACCOUNT, "group_id", "there are kafka, pipeline"),
    "unknown topic role": (ACCOUNT + '[kafka.topics]\nevent = "x"', "kafka.topics.event", "did you mean events?"),
    "table where a value belongs": (ACCOUNT + "[kafka.group_id]\nx = 1", "kafka.group_id", "expected `str`"),
    "value where a table belongs": ("kafka = 5\n" + ACCOUNT, "kafka", "expected a table, as in [kafka]"),
    "value where tables belong": ("accounts = 5\n", "accounts", "expected tables, as in [accounts.<name>]"),
    "account that is a value": ("accounts.desk-1 = 5\n", "accounts.desk-1", "expected a table"),
    "credentials that are a value": ("accounts.desk-1.okx = 5\n", "accounts.desk-1.okx", "expected a table"),
    "text for a number": (ACCOUNT + '[kafka]\npartitions = "many"', "kafka.partitions", "expected `int`"),
    "number for text": (ACCOUNT + "[kafka]\ngroup_id = 5", "kafka.group_id", "expected `str`"),
    "number for a truth": (
        ACCOUNT + "[venues.okx]\nlatest_wins = 1",
        "venues.okx.latest_wins",
        "expected true or false",
    ),
    "fraction for a count": (ACCOUNT + "[kafka]\npartitions = 1.5", "kafka.partitions", "expected `int`"),
    "number out of range": (ACCOUNT + "[kafka]\npartitions = 0", "kafka.partitions", "expected `int` >= 1"),
    "number past Kafka's": (
        ACCOUNT + "[kafka]\nrequest_timeout_ms = 9999999999",
        "kafka.request_timeout_ms",
        "at most 2147483647",
    ),
    "not a number": (ACCOUNT + "[kafka]\ncommit_interval = nan", "kafka.commit_interval", "expected `float` > 0"),
    "infinite": (ACCOUNT + "[venues.okx]\ndeadline = inf", "venues.okx.deadline", "expected a finite number"),
    "none of the choices": (ACCOUNT + '[logging]\nlevel = "loud"', "logging.level", "expected one of 'debug', 'info'"),
    "unknown venue": (ACCOUNT + '[venues.binance]\nbase_url = "https://x"', "venues.binance", "did you mean binance_"),
    "unknown venue of an account": (
        ACCOUNT + "[accounts.desk-1.bybit]",
        "accounts.desk-1.bybit",
        "there are binance_margin",
    ),
    "no account": ("[kafka]\n", "accounts", "add [accounts.<name>.<venue>]"),
    "account name with a space": (ACCOUNT.replace("desk-1", '"desk 1"'), "accounts.desk 1", "1 to 64 letters, digits"),
    "account name too long": (ACCOUNT.replace("desk-1", "x" * 65), "accounts." + "x" * 65, "1 to 64 letters, digits"),
    "no key": ("[accounts.desk-1.okx]\n", "accounts.desk-1.okx.api_key_file", "name the file that holds the API key"),
    "no secret": ('[accounts.a.ztdx]\napi_key_file = "key"', "accounts.a.ztdx.api_secret_file", "holds the API secret"),
    "no passphrase": (
        '[accounts.desk-1.okx]\napi_key_file = "key"\napi_secret_file = "secret"',
        "accounts.desk-1.okx.passphrase_file",
        "the passphrase given when the OKX key was made",
    ),
    "passphrase elsewhere": (
        ACCOUNT + 'passphrase_file = "passphrase"',
        "accounts.desk-1.binance_usdm.passphrase_file",
        "take it out",
    ),
    "two ways to sign": (
        ACCOUNT + 'private_key_file = "pem"',
        "accounts.desk-1.binance_usdm.private_key_file",
        "not both",
    ),
    "private key at OKX": (OKX + 'private_key_file = "pem"', "accounts.desk-1.okx.private_key_file", "only Binance"),
    "simulated elsewhere": (ACCOUNT + "simulated = true", "accounts.desk-1.binance_usdm.simulated", "only OKX"),
    "file missing": (
        OKX.replace('"key"', '"nokey"'),
        "accounts.desk-1.okx.api_key_file",
        "there is none (relative names start at",
    ),
    "absolute file missing": (OKX.replace('"key"', '"/no/key"'), "accounts.desk-1.okx.api_key_file", "there is none"),
    "file is a directory": (
        OKX.replace('"key"', '"directory"'),
        "accounts.desk-1.okx.api_key_file",
        "expected a file; a directory",
    ),
    "file is empty": (OKX.replace('"key"', '"blank"'), "accounts.desk-1.okx.api_key_file", "the file is empty"),
    "secret as a file's name": (
        OKX.replace('"secret"', f'"{SECRET}"'),
        "accounts.desk-1.okx.api_secret_file",
        "there is none",
    ),
    "key text as a file's name": (
        OKX.replace('"secret"', f'"{SECRET * 40}"'),
        "accounts.desk-1.okx.api_secret_file",
        "there is none",
    ),
    "literal secret": (
        ACCOUNT + f'api_secret = "{SECRET}"',
        "accounts.desk-1.binance_usdm.api_secret",
        'api_secret_file = "secrets/...',
    ),
    "literal key": (
        ACCOUNT + f'api_key = "{SECRET}"',
        "accounts.desk-1.binance_usdm.api_key",
        'api_key_file = "secrets/...',
    ),
    "literal passphrase": (
        OKX + f'Passphrase = "{SECRET}"',
        "accounts.desk-1.okx.Passphrase",
        'passphrase_file = "secrets/...',
    ),
    "literal password": (
        ACCOUNT + f'[kafka]\nsasl_password = "{SECRET}"',
        "kafka.sasl_password",
        'sasl_password_file = "secrets/...',
    ),
    "literal secret at the top": (f'secret = "{SECRET}"\n' + ACCOUNT, "secret", "into a file of its own"),
    "password in the Redis address": (
        ACCOUNT + f'[redis]\nurl = "redis://:{SECRET}@host:1"',
        "redis.url",
        "without a user name",
    ),
    "password in a base address": (
        ACCOUNT + f'[venues.okx]\nbase_url = "https://u:{SECRET}@host"',
        "venues.okx.base_url",
        "must hold no user name or password",
    ),
    "password in the bootstrap servers": (
        ACCOUNT + f'[kafka]\nbootstrap_servers = "u:{SECRET}@h:1"',
        "kafka.bootstrap_servers",
        '"host:port"',
    ),
    "base address without scheme": (
        ACCOUNT + '[venues.okx]\nbase_url = "okx.com"',
        "venues.okx.base_url",
        "https://host",
    ),
    "base address of another scheme": (
        ACCOUNT + '[venues.okx]\nbase_url = "wss://okx.com"',
        "venues.okx.base_url",
        "https://host",
    ),
    "base address with a query": (
        ACCOUNT + '[venues.okx]\nbase_url = "https://okx.com/api?x=1"',
        "venues.okx.base_url",
        "without a query",
    ),
    "base address with a wrong port": (
        ACCOUNT + '[venues.okx]\nbase_url = "https://okx.com:x"',
        "venues.okx.base_url",
        "https://host",
    ),
    "plain http to elsewhere": (
        ACCOUNT + '[venues.okx]\nbase_url = "http://okx.com"',
        "venues.okx.base_url",
        "must be https",
    ),
    "a proxy with a login": (
        ACCOUNT + f'[venues.okx]\nproxy = "http://user:{SECRET}@proxy:3128"',
        "venues.okx.proxy",
        "a proxy that asks for a login cannot be used",
    ),
    "a proxy that is spoken to with TLS": (
        ACCOUNT + '[venues.okx]\nproxy = "https://proxy:3128"',
        "venues.okx.proxy",
        "http://host:port",
    ),
    "a proxy for plain http": (
        ACCOUNT + '[venues.okx]\nbase_url = "http://127.0.0.1:1"\nproxy = "http://proxy:3128"',
        "venues.okx.proxy",
        "has no effect where base_url is plain http",
    ),
    "http to a look-alike of loopback": (
        ACCOUNT + '[venues.okx]\nbase_url = "http://127.0.0.1.x.com"',
        "venues.okx.base_url",
        "must be https",
    ),
    "unknown limit": (
        ACCOUNT + "[venues.okx.limits.calls]\ncapacity = 1",
        "venues.okx.limits.calls",
        "there are set_leverage",
    ),
    "unknown part of a limit": (
        ACCOUNT + "[venues.okx.limits.set_leverage]\ncap = 1",
        "venues.okx.limits.set_leverage.cap",
        "capacity",
    ),
    "back-off upside down": (ACCOUNT + "[venues.okx]\nbackoff_base = 20.0", "venues.okx.backoff_base", "backoff_cap"),
    "no servers": (ACCOUNT + '[kafka]\nbootstrap_servers = ""', "kafka.bootstrap_servers", '"host:port"'),
    "servers with a scheme": (
        ACCOUNT + '[kafka]\nbootstrap_servers = "kafka://h:1"',
        "kafka.bootstrap_servers",
        '"host:port"',
    ),
    "empty group": (ACCOUNT + '[kafka]\ngroup_id = ""', "kafka.group_id", "must not be empty"),
    "topic name": (ACCOUNT + '[kafka.topics]\nstate = "a b"', "kafka.topics.state", "1 to 249 letters"),
    "topic named twice": (
        ACCOUNT + '[kafka.topics]\nstate = "a"\nevents = "a"',
        "kafka.topics.state",
        "another topic's name",
    ),
    "SASL without password": (
        ACCOUNT + '[kafka]\nsecurity_protocol = "SASL_SSL"\nsasl_username = "u"',
        "kafka.sasl_password_file",
        "security_protocol SASL_SSL needs it",
    ),
    "token without a source": (
        ACCOUNT + TOKEN,
        "kafka.oauth_token_file",
        "needs this or oauth_token_endpoint",
    ),
    "token with two sources": (
        ACCOUNT + TOKEN + 'oauth_token_file = "pem"\noauth_scope = "s"',
        "kafka.oauth_scope",
        "not both",
    ),
    "token that is off": (ACCOUNT + '[kafka]\noauth_token_file = "pem"', "kafka.oauth_token_file", "has no effect"),
    "token and password": (
        ACCOUNT + TOKEN + 'oauth_token_file = "pem"\nsasl_username = "u"',
        "kafka.sasl_username",
        "take it out",
    ),
    "endpoint in the clear": (
        ACCOUNT + TOKEN + ENDPOINT.format("http://idp/token") + 'oauth_client_secret_file = "pem"',
        "kafka.oauth_token_endpoint",
        "must be https",
    ),
    "endpoint without a secret": (
        ACCOUNT + TOKEN + ENDPOINT.format("https://idp/token"),
        "kafka.oauth_client_secret_file",
        "kafka.oauth_token_endpoint needs it",
    ),
    "SASL that is off": (ACCOUNT + '[kafka]\nsasl_username = "u"', "kafka.sasl_username", "has no effect"),
    "TLS that is off": (ACCOUNT + '[kafka]\nssl_cafile = "ca.pem"', "kafka.ssl_cafile", "has no effect"),
    "TLS key without certificate": (
        ACCOUNT + '[kafka]\nsecurity_protocol = "SSL"\nssl_keyfile = "pem"',
        "kafka.ssl_certfile",
        "missing",
    ),
    "key's password without certificate": (
        ACCOUNT + '[kafka]\nsecurity_protocol = "SSL"\nssl_password_file = "pem"',
        "kafka.ssl_certfile",
        "missing",
    ),
    "password without a key": (
        ACCOUNT + 'private_key_password_file = "pem"',
        "accounts.desk-1.binance_usdm.private_key_password_file",
        "has no effect",
    ),
    "authority missing": (
        ACCOUNT + '[kafka]\nsecurity_protocol = "SSL"\nssl_cafile = "no"',
        "kafka.ssl_cafile",
        "there is none",
    ),
    "authority that is none": (
        ACCOUNT + '[kafka]\nsecurity_protocol = "SSL"\nssl_cafile = "ca.pem"',
        "kafka.ssl_cafile",
        "a PEM file",
    ),
    "certificate that is none": (
        ACCOUNT + '[kafka]\nsecurity_protocol = "SSL"\nssl_certfile = "pem"',
        "kafka.ssl_certfile",
        "a PEM file",
    ),
    "lease shorter than a call": (ACCOUNT + "[kafka]\nlease = 6.0", "kafka.lease", "must be more than 6,"),
    "session shorter than the lease": (
        ACCOUNT + "[kafka]\nsession_timeout_ms = 7999",
        "kafka.session_timeout_ms",
        "must be at least 8000",
    ),
    "rebalance shorter than the drain and the lease after it": (
        ACCOUNT + "[pipeline]\ndrain_timeout = 37.1",
        "kafka.rebalance_timeout_ms",
        "must be at least 45100",
    ),
    "listen without port": (ACCOUNT + '[http]\nlisten = "127.0.0.1"', "http.listen", '"host:port"'),
    "listen on a wrong port": (ACCOUNT + '[http]\nlisten = "127.0.0.1:70000"', "http.listen", "0 to 65535"),
    "listen on a path": (ACCOUNT + '[http]\nlisten = "127.0.0.1:80/x"', "http.listen", '"host:port"'),
    "date for a number": (ACCOUNT + "[kafka]\npartitions = 2026-11-21", "kafka.partitions", "expected `int`"),
}


@pytest.mark.parametrize(("text", "path", "remedy"), WRONG.values(), ids=WRONG)
def test_a_wrong_setting_is_told_with_file_path_and_remedy_and_never_with_a_secret(folder, text, path, remedy):
    message = refusal(folder, text)
    line = next((line for line in message.splitlines() if f": {path}: " in line), None)
    assert line is not None, message
    assert line.startswith(str(folder / "gateway.toml"))
    assert remedy in line
    assert SECRET not in message


def test_one_wrong_setting_is_one_line(folder):
    lines = {name: len(refusal(folder, row[0]).splitlines()) for name, row in WRONG.items()}
    assert {name for name, count in lines.items() if count > 1} == {"topic named twice"}
