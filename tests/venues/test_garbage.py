"""Whatever a venue answers and whatever a symbol is: every answer has a meaning, every request is plain ASCII."""

import typing
from decimal import Decimal
from urllib.parse import parse_qsl, urlsplit

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.outcomes import Ambiguous, Applied, Outcome
from gateway.venues.credentials import Credentials
from gateway.venues.keys import HmacKey
from schemas import BinancePortfolio, BinanceUsdm, Okx, Ztdx
from schemas.targets import NAME_PATTERN
from tests.venues.asking import VENUES, asked, said

OUTCOMES = typing.get_args(Outcome)
FIELDS = ["code", "msg", "data", "success", "leverage", "maxNotionalValue", "symbol", "lever", "mgnMode", "sCode", "ts"]
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=5),
    max_leaves=12,
)
bodies = st.binary(max_size=300) | json_values.map(msgspec.json.encode)
headers = st.dictionaries(
    st.sampled_from(["Retry_After", "Date", "X_MBX_USED_WEIGHT_1M", "X_SAPI_USED_UID_WEIGHT_1M"]),
    st.text(max_size=40) | st.integers().map(str),
    max_size=4,
)
statuses = st.integers(100, 599) | st.sampled_from([200, 400, 401, 403, 408, 418, 429, 500, 503])
symbols = st.from_regex(NAME_PATTERN.removesuffix(r"$(?![\s\S])"), fullmatch=True)


@pytest.mark.parametrize("name", list(VENUES))
@given(status=statuses, body=bodies, headers=headers)
@example(status=200, body=b"[" * 100_000, headers={})
@example(status=400, body=b'{"code":-1,"msg":"\\ud800"}', headers={})
@example(status=200, body=b'{"leverage":' + b"9" * 10_000 + b"}", headers={})
@example(status=429, body=b"", headers={"Retry_After": "Mon, 99 Nov 99999 12:00:00 GMT"})
def test_every_answer_has_a_meaning(name, status, body, headers):
    venue, command, answer = VENUES[name], asked(name), said(status, body, **headers)
    for outcome in (venue.classify(command, answer), venue.classify_read_back(command, answer)):
        assert isinstance(outcome, OUTCOMES)
        assert status == 200 or not isinstance(outcome, Applied)
        message = getattr(outcome, "message", "")
        assert len(message) <= 300
        assert message.isprintable()
        msgspec.json.encode(outcome)
    assert all(usage.used >= 0 for usage in venue.usage(answer))
    told = venue.server_time_ms(answer)
    assert told is None or told > 0


@pytest.mark.parametrize("name", list(VENUES))
@given(body=json_values)
def test_nothing_but_the_asked_value_is_ever_taken_for_it(name, body):
    outcome = VENUES[name].classify(asked(name), said(200, body))
    if isinstance(outcome, Applied):
        assert outcome.leverage in {Decimal(5), None}
    elif not isinstance(body, dict):
        assert isinstance(outcome, Ambiguous)


@given(symbol=symbols)
@example(symbol="A%41/B+C=D?E#F")
def test_a_symbol_of_any_script_comes_whole_through_the_query(symbol):
    for name, target in (
        ("binance_usdm", BinanceUsdm(symbol=symbol)),
        ("binance_portfolio", BinancePortfolio(symbol=symbol)),
    ):
        query = dict(parse_qsl(urlsplit(signed(name, target).target).query, strict_parsing=True))
        assert list(query) == ["symbol", "leverage", "recvWindow", "timestamp", "signature"]
        assert query["symbol"] == symbol


@given(symbol=symbols)
def test_a_symbol_of_any_script_comes_whole_through_a_body(symbol):
    assert msgspec.json.decode(signed("ztdx", Ztdx(symbol=symbol)).body)["symbol"] == symbol
    target = Okx(margin_mode="cross", currency=symbol)
    assert msgspec.json.decode(signed("okx", target).body)["ccy"] == symbol


def signed(name, target):
    keys = Credentials(api_key="k", signing_key=HmacKey("s"), passphrase="p")
    venue = VENUES[name]
    request = venue.sign(venue.set_leverage(asked(target)), keys, 1)
    assert request.target.isascii()
    assert not set(request.target) & set(' #\\"<>^`{|}')
    return request
