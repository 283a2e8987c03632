"""Every row of the venues' facts: what an answer means, by status, by text and by code, in each family."""

from decimal import Decimal

import pytest

from gateway.outcomes import (
    Ambiguous,
    Applied,
    ClockSkewed,
    KeyRejection,
    Outcome,
    Rejection,
    Throttled,
    Unavailable,
)
from gateway.venues.binance import codes as binance_codes
from gateway.venues.okx import codes as okx_codes
from tests.venues.asking import VENUES, asked, said

FUTURES = ("binance_usdm", "binance_portfolio", "ztdx")
BINANCE_FORM = ("binance_margin", *FUTURES)
TRANSIENT, SLOW = "transient", "slow"  # the two kinds of Unavailable


def classified(name, answer) -> Outcome:
    return VENUES[name].classify(asked(name), answer)


def kind_of(outcome) -> object:
    if isinstance(outcome, Unavailable):
        return SLOW if outcome.slow else TRANSIENT
    return type(outcome)


def rows(expected, *codes):
    return [(code, expected) for code in codes]


# 503 by its text, and the other statuses.

TEXTS_OF_503 = [
    ("Unknown error, please check your request or try again later.", Ambiguous),
    ("Service Unavailable.", TRANSIENT),
    ("Internal error; unable to process your request. Please try again.", TRANSIENT),
    (
        "Request throttled by system-level protection. Reduce-only/close-position orders are exempt. Please try again.",
        TRANSIENT,
    ),
    ("Something nobody wrote down.", Ambiguous),
    ("", Ambiguous),
]


@pytest.mark.parametrize("name", FUTURES)
@pytest.mark.parametrize(("message", "expected"), TEXTS_OF_503)
def test_a_503_of_futures_is_told_apart_by_its_text(name, message, expected):
    outcome = classified(name, said(503, {"code": 503, "msg": message}))
    assert kind_of(outcome) == expected


@pytest.mark.parametrize("name", BINANCE_FORM)
@pytest.mark.parametrize("body", [b"", b"<html>503 Service Unavailable</html>", b'"Service Unavailable."', b"[]"])
def test_a_503_without_the_venues_own_json_is_ambiguous(name, body):
    assert kind_of(classified(name, said(503, body))) is Ambiguous


@pytest.mark.parametrize("message", [text for text, _ in TEXTS_OF_503])
def test_a_503_of_sapi_is_ambiguous_whatever_its_text(message):
    assert kind_of(classified("binance_margin", said(503, {"code": -1001, "msg": message}))) is Ambiguous


@pytest.mark.parametrize("name", [*BINANCE_FORM, "okx"])
@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (301, Ambiguous),
        (400, Rejection),
        (401, KeyRejection),
        (403, SLOW),
        (404, Rejection),
        (405, Rejection),
        (408, Ambiguous),
        (410, Rejection),
        (418, Throttled),
        (429, Throttled),
        (500, Ambiguous),
        (502, Ambiguous),
        (503, Ambiguous),
        (504, Ambiguous),
        (520, Ambiguous),
    ],
)
@pytest.mark.parametrize("body", [b"", b"<html>cdn</html>", b"{}"], ids=["empty", "page", "object"])
def test_a_status_without_a_code_has_its_meaning(name, status, expected, body):
    outcome = classified(name, said(status, body))
    assert kind_of(outcome) == expected
    assert getattr(outcome, "http_status", None) == status


# Codes: the same number means another thing in another family.

COMMON = [
    *rows(Ambiguous, -1000, -1006, -1007),
    *rows(KeyRejection, -1002, -1011, -1022, -1099, -2008, -2014, -2015, -2017),
    *rows(Throttled, -1003, -1015),
    *rows(TRANSIENT, -1008),
    *rows(Rejection, -1010, -1016, -1020, -1100, -1101, -1102, -1103, -1104, -1105, -1106, -1109, -1121, -1122, -1128),
    *rows(Rejection, -1130),
    *rows(ClockSkewed, -1021),
]
OF_FUTURES = [
    *COMMON,
    *rows(TRANSIENT, -1001),
    *rows(Rejection, -1004, -2019, -2023, -2027, -2028, -4027, -4028, -4046, -4047, -4048, -4059, -4060, -4061, -4141),
    *rows(Rejection, -4161, -4167, -4168, -4192, -4202, -4203, -4205, -4206, -4208, -4209, -4400, -4401, -4402, -4403),
    *rows(Rejection, -4408, -21001, -9_999_999),
    *rows(ClockSkewed, -5028),
    *rows(Throttled, -5041),
]
OF_SAPI = [
    *COMMON,
    *rows(Ambiguous, -1001, -3000),
    *rows(TRANSIENT, -1004, -3044),
    *rows(SLOW, -3007, -3037),
    *rows(Rejection, -3003, -3004, -3014, -3021, -3022, -3023, -3026, -3028, -3999, -4028, -4046, -9_999_999),
]


@pytest.mark.parametrize(
    ("name", "code", "expected"),
    [
        *[(name, code, expected) for name in FUTURES for code, expected in OF_FUTURES],
        *[("binance_margin", code, expected) for code, expected in OF_SAPI],
    ],
)
def test_every_code_of_the_binance_family_has_its_class(name, code, expected):
    outcome = classified(name, said(400, {"code": code, "msg": "what the venue says"}))
    assert not isinstance(outcome, Applied)
    assert kind_of(outcome) == expected
    assert (outcome.code, outcome.message, outcome.http_status) == (str(code), "what the venue says", 400)


@pytest.mark.parametrize("status", [401, 403])
def test_a_code_says_more_than_a_401_or_403(status):
    assert kind_of(classified("binance_usdm", said(status, {"code": -2015, "msg": "key"}))) is KeyRejection


OF_OKX = [
    *rows(Rejection, 1, 2, 50000, 50002, 50005, 50006, 50007, 50008, 50009, 50012, 50014, 50015, 50016, 50024, 50027),
    *rows(Rejection, 50029, 50038, 50044, 50051, 50053, 50057, 50059, 50060, 50072, 50115, 51000, 51001, 51002, 51010),
    *rows(Rejection, 51012, 51014, 51015, 51021, 51022, 51024, 51027, 51039, 51041, 51370, 59000, 59101, 59102, 59103),
    *rows(Rejection, 59104, 59105, 59106, 59107, 59108, 59109, 59111, 59112, 59113, 59114, 59128, 59247, 59668, 59669),
    *rows(Rejection, 59670, 99999),
    *rows(TRANSIENT, 50001, 50013),
    *rows(Ambiguous, 50004, 50026, 50042),
    *rows(Throttled, 50011, 50040, 50061),
    *rows(SLOW, 50017, 50018, 50019, 50020, 50021, 50022, 50023, 50046, 50062, 51028, 51029, 51030),
    *rows(KeyRejection, 50030, 50035, 50100, 50101, 50103, 50104, 50105, 50106, 50107, 50110, 50111, 50113, 50114),
    *rows(KeyRejection, 50119, 50120, 50121),
    *rows(ClockSkewed, 50102, 50112),
]


@pytest.mark.parametrize(("code", "expected"), OF_OKX)
@pytest.mark.parametrize("status", [200, 400, 401])
def test_every_code_of_okx_has_its_class_in_a_200_too(code, expected, status):
    if (status, code) == (401, 99999):
        expected = KeyRejection  # nobody lists the code, so the status says what it means
    outcome = classified("okx", said(status, {"code": str(code), "msg": "why", "data": []}))
    assert not isinstance(outcome, Applied)
    assert kind_of(outcome) == expected
    assert (outcome.code, outcome.message, outcome.http_status) == (str(code), "why", status)


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (503, "50001", TRANSIENT),
        (429, "50013", TRANSIENT),
        (500, "50026", Ambiguous),
        (429, "50011", Throttled),
        (400, "50004", Ambiguous),
        (500, "99999", Ambiguous),
    ],
)
def test_okx_codes_come_before_statuses(status, code, expected):
    assert kind_of(classified("okx", said(status, {"code": code, "msg": "", "data": []}))) == expected


@pytest.mark.parametrize("envelope", ["0", "1", "2"])
def test_okx_says_in_the_row_what_the_envelope_leaves_open(envelope):
    row = {"sCode": "59102", "sMsg": "Leverage exceeds the maximum limit"}
    outcome = classified("okx", said(200, {"code": envelope, "msg": "", "data": [row]}))
    assert outcome == Rejection(code="59102", message="Leverage exceeds the maximum limit", http_status=200)


def test_the_sub_code_of_okx_is_cut_off():
    outcome = classified("okx", said(200, {"code": "59102_1000", "msg": "why", "data": []}))
    assert outcome == Rejection(code="59102", message="why", http_status=200)


# Success, and what only looks like it.


@pytest.mark.parametrize("name", FUTURES)
@pytest.mark.parametrize("echo", [5, "5", "5.0", 5.0])
def test_an_echo_of_what_was_asked_is_applied(name, echo):
    body = {"leverage": echo, "maxNotionalValue": "1000000", "symbol": "BTCUSDT"}
    assert classified(name, said(200, body)) == Applied(leverage=Decimal(5), max_notional=Decimal(1000000))


@pytest.mark.parametrize("name", FUTURES)
@pytest.mark.parametrize(
    "body",
    [
        {"leverage": 4, "symbol": "BTCUSDT"},
        {"leverage": None},
        {"leverage": True},
        {"leverage": "NaN"},
        {"leverage": "1e999999"},
        {"leverage": [5]},
        {},
        [],
        "5",
        None,
        b"",
        b"<html>",
        b'{"leverage":5',
        b'{"leverage":' + b"1" * 5000 + b"}",
    ],
)
def test_a_200_that_does_not_echo_what_was_asked_is_ambiguous(name, body):
    outcome = classified(name, said(200, body))
    assert isinstance(outcome, Ambiguous)
    assert outcome.http_status == 200


def test_the_message_of_a_wrong_echo_says_both_values():
    outcome = classified("binance_usdm", said(200, {"leverage": 4}))
    assert outcome == Ambiguous(message="asked for 5, the answer says 4", http_status=200)


def test_sapi_echoes_nothing_and_its_success_is_what_was_asked():
    assert classified("binance_margin", said(200, {"success": True})) == Applied(leverage=None)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"success": False, "msg": "no"}, Rejection(message="no", http_status=200)),
        (
            {"success": False, "code": -3007, "msg": "wait"},
            Unavailable(code="-3007", message="wait", http_status=200, slow=True),
        ),
        ({"success": False, "code": -1003, "msg": "many"}, Throttled(code="-1003", message="many", http_status=200)),
    ],
)
def test_an_error_of_sapi_inside_a_200_is_read(body, expected):
    assert classified("binance_margin", said(200, body)) == expected


@pytest.mark.parametrize("body", [{}, {"success": "true"}, {"success": 1}, [], b"", b"ok"])
def test_a_200_of_sapi_without_a_verdict_is_ambiguous(body):
    assert kind_of(classified("binance_margin", said(200, body))) is Ambiguous


@pytest.mark.parametrize("lever", ["5", "5.0", "5.00000000"])
@pytest.mark.parametrize("code", ["0", 0])
def test_an_echo_of_okx_is_compared_as_a_number(lever, code):
    row = {"lever": lever, "mgnMode": "isolated", "instId": "BTC-USDT-SWAP", "posSide": "long"}
    assert classified("okx", said(200, {"code": code, "msg": "", "data": [row]})) == Applied(leverage=Decimal(5))


@pytest.mark.parametrize("data", [[], None, {}, "x", [1], [{"lever": "4"}], [{"lever": ""}], [{}]])
def test_a_success_of_okx_without_the_asked_echo_is_ambiguous(data):
    assert kind_of(classified("okx", said(200, {"code": "0", "msg": "", "data": data}))) is Ambiguous


def test_a_success_of_okx_under_another_status_is_none():
    row = {"lever": "5", "mgnMode": "isolated"}
    assert kind_of(classified("okx", said(500, {"code": "0", "msg": "", "data": [row]}))) is Ambiguous


# Limits and bans: which, and until when.


def test_a_429_of_futures_pauses_the_address_for_as_long_as_it_says():
    outcome = classified("binance_usdm", said(429, {"code": -1003, "msg": "Too many requests"}, Retry_After="7"))
    assert outcome == Throttled(
        code="-1003", message="Too many requests", http_status=429, limit="ip_weight", retry_after=7.0
    )


def test_a_429_of_sapi_pauses_every_limit_the_call_touched():
    outcome = classified("binance_margin", said(429, {"code": -1003, "msg": "x"}, Retry_After="60"))
    assert isinstance(outcome, Throttled)
    assert (outcome.limit, outcome.retry_after) == (None, 60.0)


def test_a_limit_of_okx_pauses_the_users_set_leverage_only():
    outcome = classified("okx", said(200, {"code": "50011", "msg": "Too Many Requests", "data": []}))
    assert isinstance(outcome, Throttled)
    assert outcome.limit == "uid_set_leverage"
    assert outcome.limit in {limit.name for limit in VENUES["okx"].limits}


@pytest.mark.parametrize("status", [418, 429, 400])
def test_banned_until_is_read_from_the_text(status):
    text = "Way too much request weight used; IP banned until 1795262460123. Please use the websocket for live updates."
    outcome = classified("binance_usdm", said(status, {"code": -1003, "msg": text}))
    assert isinstance(outcome, Throttled)
    assert (outcome.until, outcome.banned) == (1795262460.123, True)


def test_a_418_is_a_ban_even_without_a_text():
    outcome = classified("binance_usdm", said(418, b"", Retry_After="120"))
    assert isinstance(outcome, Throttled)
    assert (outcome.banned, outcome.retry_after, outcome.until) == (True, 120.0, None)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("0", 0.0),
        (" 3 ", 3.0),
        ("Sat, 21 Nov 2026 12:00:30 GMT", 30.0),
        ("Sat, 21 Nov 2026 11:00:00 GMT", 0.0),
        ("soon", None),
        ("-5", None),
        ("", None),
        ("٣", None),
        ("999999", 259200.0),
        ("1" * 400, 259200.0),
        ("Sat, 21 Nov 2099 12:00:00 GMT", 259200.0),
    ],
)
def test_retry_after_is_seconds_or_a_date_and_three_days_at_most(value, expected):
    outcome = classified("okx", said(429, b"", Retry_After=value, Date="Sat, 21 Nov 2026 12:00:00 GMT"))
    assert isinstance(outcome, Throttled)
    assert outcome.retry_after == expected


def test_unavailable_carries_the_venues_hint_too():
    outcome = classified("okx", said(503, {"code": "50001", "msg": "x"}, Retry_After="3"))
    assert isinstance(outcome, Unavailable)
    assert outcome.retry_after == 3.0


@pytest.mark.parametrize("hint", ["0", "Sat, 21 Nov 2026 11:00:00 GMT"])
def test_an_unavailable_venue_that_says_at_once_gives_no_hint_so_that_our_own_back_off_holds(hint):
    answer = said(503, {"code": "50001", "msg": "x"}, Retry_After=hint, Date="Sat, 21 Nov 2026 12:00:00 GMT")
    outcome = classified("okx", answer)
    assert isinstance(outcome, Unavailable)
    assert outcome.retry_after is None


# What the venue writes is not ours to trust.


@pytest.mark.parametrize("name", list(VENUES))
def test_a_venues_text_is_one_short_printable_line(name):
    dirty = "first\r\nsecond\x00\x1b[31mred\u202e\x85 " + "x" * 10_000
    outcome = classified(name, said(400, {"code": -1, "msg": dirty}))
    assert isinstance(outcome, Rejection)
    assert outcome.message.startswith("first second [31mred x")
    assert outcome.message.isprintable()
    assert len(outcome.message) == 300


@pytest.mark.parametrize("name", list(VENUES))
@pytest.mark.parametrize("code", ["x" * 100_000, "a\nb", "\u202e", "", True, None, [], {}, 1.5])
def test_a_code_that_is_none_does_not_reach_an_event(name, code):
    outcome = classified(name, said(400, {"code": code, "msg": "x"}))
    assert isinstance(outcome, Rejection)
    assert outcome.code is None or len(outcome.code) <= 32


def test_every_row_of_the_tables_is_in_a_test():
    assert {str(code) for code, _ in OF_FUTURES} - {"-9999999"} == set(binance_codes.FUTURES)
    assert {str(code) for code, _ in OF_SAPI} - {"-9999999"} == set(binance_codes.MARGIN)
    assert {str(code) for code, _ in OF_OKX} - {"99999"} == set(okx_codes.CODES)
