"""freeze, lower-only, thaw and policy against a real broker, called in this process."""

import json
from decimal import Decimal

import msgspec
import pytest
from aiokafka import AIOKafkaProducer
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from gateway.cli import policy as commands
from gateway.cli.exits import UsageError, explain
from gateway.cli.freeze import ScopeOptions, freeze, lower_only, thaw
from gateway.policy.board import PolicyRefusedError
from gateway.policy.file import PolicyFileError
from schemas import BinanceUsdm, LeverageChanged, Timestamp, encode
from schemas.topics import Topics
from tests.kit.clocks import NOON
from tests.policy.desk import KEYS, PUBLIC

pytestmark = pytest.mark.kafka
CAPS = "[rules.majors]\nsymbol = 'BTC*'\nmaximum = 10\n"


@pytest.fixture
def desk(monkeypatch, tmp_path, capsys, kafka_bootstrap, topics):
    """Settings without operators; what is printed, as rows of JSON."""
    monkeypatch.setenv("GATEWAY_KAFKA__BOOTSTRAP_SERVERS", kafka_bootstrap)
    for role in Topics.__struct_fields__:
        monkeypatch.setenv(f"GATEWAY_KAFKA__TOPICS__{role.upper()}", getattr(topics, role))
    return Desk(tmp_path, capsys)


class Desk:
    def __init__(self, folder, capsys):
        self.folder = folder
        self.capsys = capsys
        self.config = None
        self.caps = self.file("caps.toml", CAPS)

    def file(self, name, text):
        path = self.folder / name
        path.write_text(text)
        return path

    def name_operators(self):
        """Settings with two operators; their private keys are KEY.pem."""
        lines = []
        for name in ("kim", "lee"):
            (self.folder / f"{name}.pem").write_bytes(
                KEYS[name].private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            )
            public = PUBLIC[name].public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
            (self.folder / f"{name}.pub.pem").write_bytes(public)
            lines.append(f'[policy.operators.{name}]\npublic_key_file = "{name}.pub.pem"\n')
        self.config = self.file("gateway.toml", "".join(lines))

    def keys(self, *names):
        return tuple(self.folder / f"{name}.pem" for name in names)

    def rows(self):
        return [json.loads(line) for line in self.capsys.readouterr().out.splitlines()]

    async def log(self):
        self.capsys.readouterr()
        await commands.log(config=self.config, json=True)
        return self.rows()

    async def shown(self):
        self.capsys.readouterr()
        await commands.show(config=self.config, json=True)
        return self.rows()[0]


def exit_code(error):
    told = explain(error)
    return None if told is None else told[0]


async def test_a_scope_is_frozen_lowered_only_and_opened_and_the_log_tells_who_and_why(desk):
    scope = ScopeOptions(venue="okx", lane="cross.*")
    assert await freeze(reason="incident", scope=scope, operator="kim") == 0
    assert await lower_only(reason="slowly", scope=scope, operator="lee") == 0
    assert [one["state"] for one in (await desk.shown())["stopped"]] == ["lower_only"]
    assert await thaw(reason="over", scope=scope, operator="kim") == 0
    assert (await desk.shown())["stopped"] == []
    told = [(row["key"], row["record"]["state"], row["record"]["operator"], row["refused"]) for row in await desk.log()]
    key = "freeze:venue=okx&lane=cross.*"
    assert told == [(key, "frozen", "kim", None), (key, "lower_only", "lee", None), (key, "open", "kim", None)]


async def test_who_thaws_what_is_not_stopped_is_told_what_is(desk):
    await freeze(reason="incident", scope=ScopeOptions(venue="okx"))
    with pytest.raises(PolicyRefusedError, match="freeze:everything is not stopped; stopped are venue=okx") as told:
        await thaw(reason="over")
    assert exit_code(told.value) == 1
    with pytest.raises(UsageError, match="--reason"):
        await thaw(reason=" ")
    with pytest.raises(UsageError, match="account"):
        await freeze(reason="x", scope=ScopeOptions(account="no such account!"))


async def test_a_file_is_checked_tried_in_shadow_promoted_and_logged(desk):
    assert commands.check(desk.caps, json=True) == 0
    version = desk.rows()[0]["version"]
    with pytest.raises(PolicyRefusedError, match="no candidate"):
        await commands.promote()
    await commands.apply(desk.caps, note="majors", shadow=True)
    shown = await desk.shown()
    assert (shown["policy"], shown["candidate"]["hash"][:12]) == (None, version)
    await commands.promote(operator="lee")
    shown = await desk.shown()
    assert (shown["policy"]["hash"][:12], shown["candidate"]) == (version, None)
    assert (shown["policy"]["note"], shown["policy"]["operator"]) == ("majors", "lee")
    await commands.show()
    await commands.log()
    out = desk.capsys.readouterr().out
    assert "maximum 10" in out
    assert "Nothing is stopped." in out


async def test_a_wrong_file_never_replaces_a_good_one(desk):
    await commands.apply(desk.caps, note="majors")
    wrong = desk.file("wrong.toml", "[rules.a]\nmaximun = 3\n")
    with pytest.raises(
        PolicyFileError, match=r"wrong.toml: rules.a.maximun: no such field; did you mean maximum"
    ) as told:
        await commands.apply(wrong, note="typo")
    assert exit_code(told.value) == 2
    assert len(await desk.log()) == 1


async def test_what_loosens_needs_two_operators_and_what_tightens_one(desk):
    desk.name_operators()
    with pytest.raises(PolicyRefusedError, match=r"signed by nobody; it needs 1.*--sign KEYFILE"):
        await freeze(reason="incident", config=desk.config)
    await freeze(reason="incident", config=desk.config, sign=desk.keys("lee"))
    with pytest.raises(PolicyRefusedError, match="signed by kim; it needs 2"):
        await thaw(reason="over", config=desk.config, sign=desk.keys("kim"))
    stranger = desk.folder / "sam.pem"
    stranger.write_bytes(KEYS["sam"].private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    with pytest.raises(UsageError, match="no operator with this key"):
        await thaw(reason="over", config=desk.config, sign=(stranger,))
    assert await thaw(reason="over", config=desk.config, sign=desk.keys("kim", "lee")) == 0
    assert [row["refused"] for row in await desk.log()] == [None, None]


async def test_two_operators_sign_on_two_machines_and_a_draft_is_good_once(desk):
    desk.name_operators()
    draft = desk.folder / "thaw.json"
    await freeze(reason="incident", config=desk.config, sign=desk.keys("lee"))
    await thaw(reason="over", config=desk.config, sign=desk.keys("kim"), draft=draft)
    assert len((await desk.shown())["stopped"]) == 1
    with pytest.raises(PolicyRefusedError, match="signed by kim; it needs 2"):
        await commands.countersign(draft, config=desk.config, sign=desk.keys("kim"))
    await commands.countersign(draft, config=desk.config, sign=desk.keys("lee"))
    assert (await desk.shown())["stopped"] == []
    await freeze(reason="another", config=desk.config, sign=desk.keys("lee"))
    with pytest.raises(PolicyRefusedError, match="replayed"):
        await commands.countersign(draft, config=desk.config, sign=desk.keys("lee"))


def changed(number, account, leverage):
    return LeverageChanged(
        event_id=f"t/0/{number}",
        command_id=f"c{number}",
        account=account,
        target=BinanceUsdm(symbol="BTCUSDT"),
        lane="BTCUSDT",
        issuer="m",
        redrive_of=None,
        attempts=1,
        issued_at=None,
        occurred_at=Timestamp.from_epoch(NOON + number),
        leverage=Decimal(leverage),
        requested_leverage=Decimal(leverage),
        certainty="confirmed",
    )


async def test_a_file_is_tried_over_the_events_of_the_past(desk, topics, kafka_bootstrap):
    async with AIOKafkaProducer(bootstrap_servers=kafka_bootstrap) as producer:
        for number, (account, leverage) in enumerate([("a", 5), ("a", 20), ("b", 7), ("a", 8), ("a", 9)]):
            event = changed(number, account, leverage)
            await producer.send_and_wait(topics.events, encode(event), key=event.key.encode())
        await producer.send_and_wait(topics.events, b"garbage")
    caps = desk.file("caps.toml", CAPS + "[rules.slow]\naccount = 'a'\nstep_up = 3\n")
    at = str(Timestamp.from_epoch(NOON + 1))
    assert await commands.try_over_past(caps, since=at, json=True) == 0
    *refused, tested = desk.rows()
    assert [(row["account"], row["leverage"], row["rules"]) for row in refused] == [
        ("a", "20", ["majors.maximum", "slow.step_up"])
    ]
    assert (tested["commands"], tested["refused"], tested["untold"], tested["refused_changed"]) == (4, 1, 0, 1)
    assert await commands.try_over_past(caps, since="2026-11-21T13:00:00Z") == 0
    assert "0 of 0 commands would be refused" in desk.capsys.readouterr().out


@pytest.mark.parametrize(("text", "seconds"), [("90m", 5400), ("7d", 604_800), ("1970-01-01T00:00:10Z", None)])
def test_since_is_an_age_or_a_time(text, seconds):
    assert commands.since_time(text, NOON) == (NOON - seconds if seconds else 10.0)


@pytest.mark.parametrize("text", ["yesterday", "7", "-7d", "2026-11-21T08:00:00"])
def test_since_that_is_neither_is_told(text):
    with pytest.raises(UsageError, match="--since"):
        commands.since_time(text, NOON)


def test_a_shown_record_is_whole_json():
    assert msgspec.json.decode(msgspec.json.encode({"x": msgspec.Raw(b'{"a":1}')})) == {"x": {"a": 1}}
