"""The loader: defaults < file < environment, and what it says of both."""

import pytest

from gateway.settings.checks import exposed_secrets, secret_texts
from gateway.settings.file import SettingsError, base_dir_of, load_settings
from gateway.settings.tree import Settings
from gateway.settings.venue_checks import clear_venues
from tests.certificates import Authority
from tests.settings.folder import ACCOUNT, OKX, SECRET, load, refusal


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
