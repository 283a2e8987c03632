"""The loader: defaults < file < environment, and what it says of everything that can be wrong."""

from pathlib import Path

import pytest

from gateway.settings.checks import exposed_secrets, secret_texts
from gateway.settings.file import SettingsError, base_dir_of, load_settings
from gateway.settings.tree import Settings
from gateway.settings.venue_checks import clear_venues
from tests.certificates import Authority

SECRET = "PLEASE-never-show-7f3c9d"
LIMITS = {"okx": ("set_leverage",), "binance_margin": ("uid_weight", "ip_calls")}
ACCOUNT = """
[accounts.desk-1.binance_usdm]
api_key_file = "key"
api_secret_file = "secret"
"""
OKX = """
[accounts.desk-1.okx]
api_key_file = "key"
api_secret_file = "secret"
passphrase_file = "passphrase"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("key", "secret", "passphrase", "pem", "password", "ca.pem"):
        (tmp_path / name).write_text(SECRET)
        (tmp_path / name).chmod(0o600)
    (tmp_path / "blank").write_text(" \n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe" + SECRET.encode())
    (tmp_path / "lines").write_text(f"{SECRET}\nsecond")
    (tmp_path / "marked").write_bytes(b"\xef\xbb\xbf" + SECRET.encode())
    (tmp_path / "directory").mkdir()
    return tmp_path


def load(folder: Path, text: str, **environ: str) -> Settings:
    path = folder / "gateway.toml"
    path.write_text(text)
    return load_settings(path, environ, limit_names=LIMITS)


def refusal(folder: Path, text: str, **environ: str) -> str:
    with pytest.raises(SettingsError) as refused:
        load(folder, text, **environ)
    return str(refused.value)


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


def test_everything_wrong_is_told_at_once(folder):
    message = refusal(
        folder, '[kafka]\npartitions = 0\ngrup_id = "x"\n[http]\nlisten = "x"\n[accounts.a.okx]\napi_key_file = "no"'
    )
    paths = [line.split(": ")[1] for line in message.splitlines()]
    assert set(paths) == {
        "kafka.partitions",
        "kafka.grup_id",
        "http.listen",
        "accounts.a.okx.api_key_file",
        "accounts.a.okx.api_secret_file",
        "accounts.a.okx.passphrase_file",
    }


@pytest.mark.parametrize(
    ("content", "remedy"),
    [(b"[kafka", "not TOML: "), (b"a = 1\na = 2", "not TOML: "), (b"a = '\xff'", "not UTF-8 text: byte 5")],
)
def test_a_file_that_is_no_toml_is_told_with_its_place(folder, content, remedy):
    path = folder / "gateway.toml"
    path.write_bytes(content)
    with pytest.raises(SettingsError) as refused:
        load_settings(path, {})
    assert str(refused.value).startswith(f"{path}: {remedy}")


@pytest.mark.parametrize("name", ["none.toml", "directory"])
def test_a_file_that_cannot_be_read_is_told_with_the_option_that_names_it(folder, name):
    with pytest.raises(SettingsError, match=rf"{name}: cannot be read: .*--config"):
        load_settings(folder / name, {})


def test_defaults_hold_where_nothing_is_set(folder):
    assert load_settings(None, {}, with_accounts=False) == Settings()


def test_a_venues_own_default_survives_a_table_that_sets_something_else(folder):
    settings = load(folder, ACCOUNT + "[venues.binance_margin]\nlatest_wins = false\n[venues.okx]\nlatest_wins = false")
    assert settings.venues.binance_margin.deadline == 300.0
    assert settings.venues.okx.deadline == 60.0
    assert not settings.venues.binance_margin.latest_wins


def test_the_environment_wins_over_the_file_and_the_file_over_defaults(folder):
    text = ACCOUNT + '[kafka]\ngroup_id = "file"\nclient_id = "file"'
    settings = load(folder, text, GATEWAY_KAFKA__GROUP_ID="environment", PATH="/usr/bin")
    assert (settings.kafka.group_id, settings.kafka.client_id) == ("environment", "file")
    assert settings.kafka.partitions == Settings().kafka.partitions


def test_the_environment_speaks_every_scalar_type(folder):
    settings = load(
        folder,
        ACCOUNT,
        GATEWAY_KAFKA__PARTITIONS="3",
        GATEWAY_KAFKA__CHECK_PARTITIONER="false",
        GATEWAY_KAFKA__COMMIT_INTERVAL="0.5",
        GATEWAY_KAFKA__TOPICS__EVENTS="e",
        GATEWAY_LOGGING__FORMAT="json",
        GATEWAY_VENUES__OKX__LIMITS__SET_LEVERAGE__CAPACITY="10",
    )
    assert (settings.kafka.partitions, settings.kafka.check_partitioner, settings.kafka.commit_interval) == (
        3,
        False,
        0.5,
    )
    assert (settings.kafka.topics.events, settings.logging.format) == ("e", "json")
    assert settings.venues.okx.limits["set_leverage"].capacity == 10


@pytest.mark.parametrize(
    ("account", "variable"),
    [("desk-1", "DESK_1"), ("Desk.A", "DESK_A"), ("a__b", "A__B"), ("desk_", "DESK_"), ("7", "7")],
)
def test_an_accounts_name_in_the_environment_is_its_capitals_with_underscores(folder, account, variable):
    text = ACCOUNT.replace("desk-1", f'"{account}"')
    settings = load(folder, text, **{f"GATEWAY_ACCOUNTS__{variable}__BINANCE_USDM__API_KEY_FILE": "secret"})
    keys = settings.accounts[account].binance_usdm
    assert keys is not None
    assert keys.api_key_file == "secret"


def test_the_environment_may_give_an_account_another_venue(folder):
    prefix = "GATEWAY_ACCOUNTS__DESK_1__ZTDX__"
    settings = load(folder, ACCOUNT, **{f"{prefix}API_KEY_FILE": "key", f"{prefix}API_SECRET_FILE": "secret"})
    assert settings.accounts["desk-1"].ztdx is not None


@pytest.mark.parametrize(
    ("variable", "remedy"),
    [
        ("GATEWAY_KAFKA_BOOTSTRAP_SERVERS", "did you mean GATEWAY_KAFKA__BOOTSTRAP_SERVERS"),
        ("GATEWAY_KAFKA__PARTITION", "did you mean GATEWAY_KAFKA__PARTITIONS"),
        ("GATEWAY_KAFKA", "did you mean GATEWAY_KAFKA__"),
        ("GATEWAY_WHATEVER", "GATEWAY_<TABLE>__<SETTING>"),
        ("GATEWAY_ACCOUNTS__DESK_2__BINANCE_USDM__API_KEY_FILE", "did you mean GATEWAY_ACCOUNTS__DESK_1__"),
        (
            "GATEWAY_ACCOUNTS__DESK_1__BINANCE_USDM__API_SECRET",
            "name that file in GATEWAY_ACCOUNTS__DESK_1__BINANCE_USDM__API_SECRET_FILE",
        ),
        ("GATEWAY_KAFKA__SASL_PASSWORD", "name that file in GATEWAY_KAFKA__SASL_PASSWORD_FILE"),
    ],
)
def test_an_unknown_variable_is_told_with_the_nearest_names_and_without_its_value(folder, variable, remedy):
    message = refusal(folder, ACCOUNT, **{variable: SECRET})
    assert message.startswith(f"environment variable {variable}: ")
    assert remedy in message
    assert SECRET not in message


def test_a_variable_with_a_wrong_value_is_told_by_its_name_and_path(folder):
    message = refusal(folder, ACCOUNT, GATEWAY_KAFKA__PARTITIONS="many")
    assert message.startswith("environment variable GATEWAY_KAFKA__PARTITIONS: kafka.partitions: expected `int`")


def test_a_variable_that_stands_for_two_accounts_is_refused(folder):
    text = ACCOUNT + ACCOUNT.replace("desk-1", '"desk.1"')
    message = refusal(folder, text, GATEWAY_ACCOUNTS__DESK_1__BINANCE_USDM__API_KEY_FILE="key")
    assert (
        "stands for accounts.desk-1.binance_usdm.api_key_file and accounts.desk.1.binance_usdm.api_key_file" in message
    )


def test_kubernetes_variables_of_services_named_gateway_are_not_settings(folder):
    load(
        folder,
        ACCOUNT,
        GATEWAY_SERVICE_HOST="10.0.0.1",
        GATEWAY_SERVICE_PORT_HTTP="80",
        GATEWAY_PORT="tcp://10.0.0.1:80",
        GATEWAY_METRICS_PORT_8080_TCP_ADDR="10.0.0.1",
    )


def test_commands_that_call_no_venue_need_no_secret_files(folder):
    path = folder / "gateway.toml"
    path.write_text(ACCOUNT.replace('"key"', '"elsewhere"'))
    assert load_settings(path, {}, with_accounts=False).accounts


def test_relative_names_start_where_the_settings_file_is_seen_not_where_a_link_leads(folder):
    mounted = folder / "..data"
    mounted.mkdir()
    (mounted / "gateway.toml").write_text(ACCOUNT)
    (folder / "gateway.toml").symlink_to(mounted / "gateway.toml")
    assert base_dir_of(folder / "gateway.toml") == folder
    load_settings(folder / "gateway.toml", {})


def test_http_is_allowed_on_this_machine(folder):
    for host in ("127.0.0.1:1", "localhost:1", "[::1]:1/prefix"):
        settings = load(folder, ACCOUNT + f'[venues.okx]\nbase_url = "http://{host}"')
        assert settings.venues.okx.base_url == f"http://{host}"


def test_http_beyond_this_machine_is_allowed_where_a_setting_says_so_and_told(folder):
    settings = load(folder, ACCOUNT + '[venues.okx]\nbase_url = "http://venues:8090/okx"\nallow_http = true')
    assert clear_venues(settings) == ["venues.okx.base_url"]
    at_home = load(folder, ACCOUNT + '[venues.okx]\nbase_url = "http://127.0.0.1:8090/okx"\nallow_http = true')
    assert clear_venues(at_home) == []


def test_a_proxy_is_an_address_without_a_login_for_venues_with_tls(folder):
    assert load(folder, ACCOUNT + '[venues.okx]\nproxy = "http://proxy:3128"').venues.okx.proxy == "http://proxy:3128"


def test_secret_files_that_everybody_may_read_are_told(folder):
    settings = load(folder, OKX)
    assert exposed_secrets(settings, folder) == []
    (folder / "passphrase").chmod(0o644)
    assert exposed_secrets(settings, folder) == ["accounts.desk-1.okx.passphrase_file"]
    (folder / "passphrase").chmod(0o600)
    folder.chmod(0o777)
    assert len(exposed_secrets(settings, folder)) == 3, "who may write to the folder may put another file there"
    folder.chmod(0o1777)
    assert exposed_secrets(settings, folder) == []


def test_the_text_of_every_secret_file_is_known_to_the_logs_guard(folder):
    (folder / "secret").write_text("-----BEGIN X-----\nfirst-line\nsecond-line\n-----END X-----\n")
    (folder / "password").write_text("kafka-password\n")
    text = OKX + '[kafka]\nsecurity_protocol = "SASL_PLAINTEXT"\nsasl_username = "u"\nsasl_password_file = "password"'
    texts = secret_texts(load(folder, text), folder)
    assert {SECRET, "first-line", "second-line", "kafka-password"} <= set(texts)


def test_an_empty_text_where_none_is_possible_is_none(folder):
    settings = load(folder, ACCOUNT, GATEWAY_KAFKA__GROUP_INSTANCE_ID="")
    assert settings.kafka.group_instance_id is None
    assert load(folder, ACCOUNT + '[kafka]\ngroup_instance_id = ""').kafka.group_instance_id is None


def test_a_truth_in_the_environment_that_is_none_says_what_would_be_right(folder):
    assert "GATEWAY_KAFKA__CHECK_PARTITIONER: kafka.check_partitioner: expected true or false" in refusal(
        folder, ACCOUNT, GATEWAY_KAFKA__CHECK_PARTITIONER="No"
    )


def test_a_file_that_begins_as_windows_editors_begin_it_is_read(folder):
    assert load(folder, "\ufeff" + ACCOUNT).accounts


def test_our_certificate_is_refused_once_it_expired(folder):
    ours = Authority(folder, "ours")
    ours.issue("stale", days=-1)
    ours.issue("fresh")
    text = ACCOUNT + '[kafka]\nsecurity_protocol = "SSL"\nssl_cafile = "ours.pem"\nssl_certfile = "{}.pem"'
    assert load(folder, text.format("fresh"))
    assert "kafka.ssl_certfile: the certificate expired at " in refusal(folder, text.format("stale"))
