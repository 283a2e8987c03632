"""Bytes to messages and back: what is read, what is refused, and that nothing else can come of any bytes."""

import contextlib
import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from schemas import (
    JSON,
    MSGPACK,
    BinanceMargin,
    BinancePortfolio,
    BinanceUsdm,
    Certainty,
    DecodeError,
    LeverageChanged,
    LeverageRejected,
    Okx,
    Reason,
    SetLeverage,
    Timestamp,
    Ztdx,
    decode_command,
    decode_event,
    encode,
)
from schemas.codec import ContentType
from schemas.examples import commands, rejections
from schemas.headers import content_type, header

ENCODINGS: tuple[ContentType, ...] = (JSON, MSGPACK)
COMMAND: dict[str, Any] = {
    "type": "SetLeverage",
    "command_id": "1",
    "account": "desk-1",
    "leverage": "20",
    "target": {"venue": "binance_usdm", "symbol": "BTCUSDT"},
}


def write(fields: dict[str, Any], encoding: ContentType) -> bytes:
    return msgspec.json.encode(fields) if encoding == JSON else msgspec.msgpack.encode(fields)


def read(encoding: ContentType, **change: Any) -> SetLeverage:
    return decode_command(write(COMMAND | change, encoding), encoding)


text = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
ids = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=64)
names = st.from_regex(r"[^\s:&\x00-\x1f\x7f-\x9f\ud800-\udfff]{1,64}", fullmatch=True)
instants = st.datetimes(timezones=st.just(UTC)).map(Timestamp.of)
decimals = st.decimals(allow_nan=False, allow_infinity=False)
targets = st.one_of(
    st.builds(BinanceMargin),
    st.builds(BinanceUsdm, symbol=names),
    st.builds(BinancePortfolio, symbol=names),
    st.builds(Ztdx, symbol=names),
    st.builds(
        Okx,
        margin_mode=st.sampled_from(["cross", "isolated"]),
        instrument=st.none() | names,
        currency=st.none() | names,
        position_side=st.sampled_from([None, "long", "short"]),
    ),
)
about = {
    "command_id": ids,
    "account": st.from_regex(r"[A-Za-z0-9._-]{1,64}", fullmatch=True),
    "leverage": decimals,
    "target": targets,
    "issuer": st.none() | text,
    "redrive_of": st.none() | ids,
    "issued_at": st.none() | instants,
}
answered = about | {"event_id": text, "lane": text, "attempts": st.integers(0, 2**31), "occurred_at": instants}
set_leverages = st.builds(SetLeverage, **about, expires_at=st.none() | instants)
events = st.one_of(
    st.builds(
        LeverageChanged,
        **answered,
        requested_leverage=decimals,
        certainty=st.sampled_from(get_args(Certainty)),
        max_notional=st.none() | decimals,
    ),
    st.builds(
        LeverageRejected,
        **answered,
        reason=st.sampled_from(get_args(Reason)),
        message=text,
        venue_code=st.none() | text,
        http_status=st.none() | st.integers(100, 599),
        dead_lettered=st.booleans(),
        superseded_by=st.none() | ids,
        retry_at=st.none() | instants,
    ),
)


@given(set_leverages, st.sampled_from(ENCODINGS))
def test_a_command_written_is_the_command_read(command, encoding):
    assert decode_command(encode(command, encoding), encoding) == command


@given(events, st.sampled_from(ENCODINGS))
def test_an_event_written_is_the_event_read(event, encoding):
    assert decode_event(encode(event, encoding), encoding) == event


@given(set_leverages)
def test_both_encodings_have_the_same_fields_and_values(command):
    assert msgspec.json.decode(encode(command, JSON)) == msgspec.msgpack.decode(encode(command, MSGPACK))


def mutated(message: bytes, at: int, patch: bytes) -> bytes:
    place = at % (len(message) + 1)
    return message[:place] + patch + message[place + len(patch) :]


@given(st.binary(max_size=200), st.sampled_from(ENCODINGS))
@example(b"", JSON)
@example(b"null", JSON)
@example(b"[" * 100_000, JSON)
@example(b'{"x":' * 100_000, JSON)
@example(b"\x81\xa1x" * 100_000, MSGPACK)
@example(b"\xdf\xff\xff\xff\xff", MSGPACK)
@example(b"x" * 1_000_000, JSON)
@example(b'{"type":"SetLeverage","command_id":"\xff"}', JSON)
def test_random_bytes_only_ever_raise_decode_error(value, encoding):
    for decode in (decode_command, decode_event):
        with pytest.raises(DecodeError):
            decode(value, encoding)


@given(set_leverages | events, st.sampled_from(ENCODINGS), st.integers(0), st.binary(min_size=1, max_size=4))
def test_damaged_messages_are_read_or_raise_decode_error(message, encoding, at, patch):
    for decode in (decode_command, decode_event):
        with contextlib.suppress(DecodeError):
            decode(mutated(encode(message, encoding), at, patch), encoding)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=5,
)


@given(st.sampled_from([*COMMAND, "issued_at", "expires_at", "issuer", "redrive_of"]), json_values)
def test_a_field_of_any_other_type_is_read_or_raises_decode_error(field, value):
    with contextlib.suppress(DecodeError):
        decode_command(json.dumps(COMMAND | {field: value}).encode())


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_unknown_fields_are_ignored_wherever_they_are(encoding):
    assert read(encoding, future=[{"any": "thing"}]) == read(encoding)
    assert read(encoding, target=COMMAND["target"] | {"future": 1}) == read(encoding)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_deep_nesting_in_an_unknown_field_is_a_decode_error(encoding):
    command = encode(read(encoding), encoding)
    if encoding == JSON:
        deep = command[:-1] + b',"z":' + b"[" * 50_000 + b"]" * 50_000 + b"}"
    else:
        deep = bytes([command[0] + 1]) + command[1:] + b"\xa1z" + b"\x91" * 50_000 + b"\xc0"
    with pytest.raises(DecodeError, match="nested too deeply"):
        decode_command(deep, encoding)


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("field", list(COMMAND))
def test_a_command_without_a_required_field_is_refused_by_its_name(field, encoding):
    fields = {name: value for name, value in COMMAND.items() if name != field}
    if field == "type":
        assert decode_command(write(fields, encoding), encoding) == read(encoding)
    else:
        with pytest.raises(DecodeError, match=f"missing required field `{field}`"):
            decode_command(write(fields, encoding), encoding)


def test_an_event_without_a_required_field_is_refused():
    _, rejection = next(rejections())
    fields = msgspec.json.decode(encode(rejection))
    for field in (
        *("type", "event_id", "command_id", "account", "target", "lane", "attempts", "issuer", "redrive_of"),
        *("issued_at", "occurred_at", "leverage", "reason", "message"),
    ):
        with pytest.raises(DecodeError):
            decode_event(json.dumps({name: value for name, value in fields.items() if name != field}).encode())


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize(
    ("written", "meant"), [("20", "20"), (20, "20"), (2.5, "2.5"), ("2.50", "2.50"), ("0.1", "0.1"), (0.1, "0.1")]
)
def test_leverage_is_read_from_text_and_from_numbers_without_loss(written, meant, encoding):
    assert str(read(encoding, leverage=written).leverage) == meant
    assert encode(read(encoding, leverage=written), JSON).count(f'"leverage":"{meant}"'.encode()) == 1


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("number", ["NaN", "sNaN", "Infinity", "-Infinity", "-5", "0", "1E+999999"])
def test_leverage_that_is_no_sensible_number_is_read_so_that_a_rule_can_refuse_it(number, encoding):
    command = read(encoding, leverage=number)
    assert isinstance(command.leverage, Decimal)
    assert str(command.leverage) == number
    assert decode_command(encode(command, encoding), encoding).command_id == command.command_id


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("wrong", ["", "twenty", "1e99999999999999999999", True, None, [], {}])
def test_leverage_that_is_no_number_is_a_decode_error(wrong, encoding):
    with pytest.raises(DecodeError, match=r"leverage"):
        read(encoding, leverage=wrong)


def test_not_a_number_in_messagepack_is_read_and_in_json_is_not_json():
    assert read(MSGPACK, leverage=float("nan")).leverage.is_nan()
    with pytest.raises(DecodeError):
        decode_command(json.dumps(COMMAND | {"leverage": float("nan")}).encode())


EIGHT = Timestamp(2026, 11, 21, 8, 0, 0, 42_000, UTC)


@pytest.mark.parametrize(
    "written",
    [
        "2026-11-21T08:00:00.042Z",
        "2026-11-21T08:00:00.042999Z",
        "2026-11-21t08:00:00.042z",
        "2026-11-21 08:00:00.042Z",
        "2026-11-21T10:30:00.042+02:30",
        "2026-11-21T08:00:00.042+00:00",
    ],
)
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_time_of_any_offset_is_read_as_whole_milliseconds_of_utc(written, encoding):
    assert read(encoding, expires_at=written).expires_at == EIGHT


@pytest.mark.parametrize("instant", [datetime(2026, 11, 21, tzinfo=UTC), datetime(2026, 11, 21, 8, 0, 0, 42_000, UTC)])
def test_messagepacks_own_timestamps_are_read_too(instant):
    assert b"\xff" in msgspec.msgpack.encode(instant)[:2]  # extension type -1, in 4 or 8 bytes
    assert read(MSGPACK, expires_at=instant).expires_at == Timestamp.of(instant)


NO_TIMES = [
    *(5, 1.5, True, [], {}, "", "soon", "2026-11-21", "08:00:00Z"),
    *("2026-11-21T08:00:00", "2026-13-21T08:00:00Z", "0001-01-01T00:00:00+05:00", "9999-12-31T23:59:59-05:00"),
    # ISO 8601, and not RFC 3339:
    *("20261121T080000Z", "2026-W47-6T08:00:00Z", "2026-11-21T08Z", "2026-11-21T08:00Z", "2026-11-21T24:00:00Z"),
    *("2026-11-21T08:00:00,042Z", "2026-11-21T08:00:00+02", "2026-11-21T08:00:00+0230", "2026-11-21_08:00:00Z"),
    *("2026-11-21T08:00:00+02:30:15", "2026-11-21T08:00:00Z\n", "٢٠٢٦-11-21T08:00:00Z"),
]


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("wrong", NO_TIMES)
def test_what_is_no_time_or_has_no_offset_is_a_decode_error(wrong, encoding):
    with pytest.raises(DecodeError):
        read(encoding, issued_at=wrong)


@given(instants)
@example(Timestamp(1, 1, 1, 0, 0, 0, 1_000, UTC))
@example(Timestamp(9999, 12, 31, 23, 59, 59, 999_000, UTC))
def test_a_time_is_written_as_rfc_3339_in_utc_with_milliseconds(instant):
    assert len(str(instant)) == len("2026-11-21T08:00:00.042Z")
    assert Timestamp.parse(str(instant)) == instant


def test_a_time_of_the_clock_loses_what_is_finer_than_a_millisecond():
    assert str(Timestamp.from_epoch(1_795_248_000.0429)) == str(Timestamp.from_epoch(1_795_248_000.042))


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("account", ["", "desk 1", "desk-1\n", "\ndesk-1", "bürö", "a:b", "a/b", "x" * 65, 5])
def test_an_account_outside_its_pattern_is_a_decode_error(account, encoding):
    with pytest.raises(DecodeError, match=r"account"):
        read(encoding, account=account)


@pytest.mark.parametrize("account", ["a", "desk-1", "A.b_c-9", "x" * 64])
def test_an_account_within_its_pattern_is_read(account):
    assert read(JSON, account=account).account == account


REFUSED_NAMES = [
    *("", "BTC USDT", "BTCUSDT\n", "\tBTC", "BTC:USDT", "BTC&USDT", "BTC\x00", "BTC\x7f", "BTC\x85", "x" * 65),
    *("BTC\u00a0USDT", "BTC\u2028", "BTC\u3000"),
]


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("name", REFUSED_NAMES, ids=ascii)
def test_symbols_instruments_and_currencies_refuse_white_space_controls_and_separators(name, encoding):
    for target in (
        *({"venue": venue, "symbol": name} for venue in ("binance_usdm", "binance_portfolio", "ztdx")),
        {"venue": "okx", "margin_mode": "cross", "instrument": name},
        {"venue": "okx", "margin_mode": "cross", "currency": name},
    ):
        with pytest.raises(DecodeError, match=r"target"):
            read(encoding, target=target)


@pytest.mark.parametrize(
    "name", ["BTCUSDT", "测试USDT", "ビットコイン", "БИТКОИН", "1000SHIBUSDT", "🚀USDT", "x" * 64, "测" * 64]
)
def test_symbols_of_any_script_are_read(name):
    assert read(JSON, target={"venue": "ztdx", "symbol": name}).target == Ztdx(symbol=name)


@pytest.mark.parametrize("command_id", ["", "x" * 65, 5, None])
def test_a_command_id_has_1_to_64_characters(command_id):
    with pytest.raises(DecodeError, match=r"command_id"):
        read(JSON, command_id=command_id)


def test_the_type_of_another_message_is_a_decode_error():
    with pytest.raises(DecodeError):
        read(JSON, type="LeverageChanged")
    with pytest.raises(DecodeError):
        decode_event(encode(next(commands())[1]))


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        (None, JSON),
        (b"application/json", JSON),
        (b"Application/JSON; charset=utf-8", JSON),
        (b" application/msgpack ", MSGPACK),
    ],
)
def test_the_content_type_header_names_the_encoding(said, meant):
    assert content_type([("content-type", said)]) == meant


@pytest.mark.parametrize("said", [b"text/plain", b"application/x-msgpack", b"\xff"])
def test_a_content_type_that_nobody_reads_is_a_decode_error(said):
    with pytest.raises(DecodeError, match=r"content-type"):
        content_type([("content-type", said)])


def test_of_several_headers_of_one_name_the_last_counts():
    assert header([("a", b"1"), ("b", b"2"), ("a", b"3"), ("a", None)], "a") == "3"
    assert header([], "a") is None


@pytest.mark.parametrize("text", ["1_25", " 20", "20 ", "2_0", "٢٠", "0x14", ""])
def test_a_leverage_that_the_json_schema_refuses_is_refused(text):
    base = {"type": "SetLeverage", "command_id": "c", "account": "a", "target": {"venue": "ztdx", "symbol": "X"}}
    for encoder, kind in ((msgspec.json, JSON), (msgspec.msgpack, MSGPACK)):
        with pytest.raises(DecodeError):
            decode_command(encoder.encode({**base, "leverage": text}), kind)
        assert decode_command(encoder.encode({**base, "leverage": "20"}), kind).leverage == 20


def test_an_error_does_not_repeat_what_was_wrong_without_end():
    with pytest.raises(DecodeError) as error:
        decode_command(b'{"type":"' + b"A" * 1_000_000 + b'"}')
    assert len(str(error.value)) <= 300
    assert str(error.value).endswith("- at `$.type`")
