"""Logs: one object a line, libraries' too, and nothing secret in any of them."""

import io
import json
import logging
from decimal import Decimal

import msgspec
import pytest
import structlog

from gateway.settings.tree import LoggingSettings
from gateway.telemetry.logging import command_log, set_up_logging
from gateway.transport.messages import HttpRequest
from schemas import Okx, SetLeverage

SECRET = 'quote"back\\slash-é-7f3c9d'
SIGNATURE = "c8db56825ae71d6d79447849e617115f"


@pytest.fixture(autouse=True)
def _logging_as_before():
    root = logging.getLogger()
    before = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = before
    structlog.reset_defaults()


def start(log_format, level="info"):
    stream = io.StringIO()
    set_up_logging(
        msgspec.convert({"format": log_format, "level": level}, LoggingSettings), secrets=[SECRET, "x"], stream=stream
    )
    return stream


@pytest.fixture(params=["json", "console"])
def stream(request):
    return start(request.param)


def command():
    return SetLeverage(
        command_id="id-1",
        account="desk-1",
        leverage=Decimal(20),
        target=Okx(margin_mode="cross", currency="BTC"),
    )


def test_a_line_about_a_command_carries_its_id_venue_account_and_lane():
    stream = start("json")
    command_log(command()).info("changed_leverage", leverage=command().leverage)
    line = json.loads(stream.getvalue())
    assert line.pop("time").endswith("Z")
    assert line == {
        "event": "changed_leverage",
        "level": "info",
        "logger": "gateway",
        "command_id": "id-1",
        "venue": "okx",
        "account": "desk-1",
        "lane": "cross.currency.BTC",
        "leverage": "20",
    }


def test_a_secret_is_taken_out_of_fields_texts_nests_and_bytes(stream):
    log = structlog.get_logger()
    log.info("said %s", SECRET, field=SECRET, nest={"a": [SECRET, {"b": SECRET}]}, raw=SECRET.encode(), **{SECRET: 1})
    assert "7f3c9d" not in stream.getvalue()
    assert "[removed]" in stream.getvalue()


def test_a_secret_is_taken_out_of_tracebacks_and_local_variables_are_not_shown(stream):
    local_variable = "local-7f3c9d"
    try:
        {}[SECRET, len(local_variable)]
    except KeyError:
        structlog.get_logger().exception("failed_call")
    assert "KeyError" in stream.getvalue()
    assert "7f3c9d" not in stream.getvalue()


def test_a_secret_is_taken_out_of_what_libraries_log(stream):
    logging.getLogger("aiokafka.conn").warning("password %s %r", SECRET, {"p": SECRET})
    assert "password" in stream.getvalue()
    assert "7f3c9d" not in stream.getvalue()


def test_secrets_too_short_to_be_any_do_not_mangle_lines(stream):
    structlog.get_logger().info("extra_box")
    assert "extra_box" in stream.getvalue()


@pytest.mark.parametrize(
    "fields",
    [
        {"headers": {"OK-ACCESS-SIGN": SIGNATURE, "ok-access-key": SIGNATURE}},
        {"headers": {"X-MBX-APIKEY": SIGNATURE}},
        {"headers": [("OK-ACCESS-PASSPHRASE", SIGNATURE)]},
        {"signature": SIGNATURE},
        {"deep": {"er": [{"api_secret": SIGNATURE}]}},
        {"url": f"https://fapi.binance.com/fapi/v1/leverage?a=1&signature={SIGNATURE}"},
        {"body": f"signature={SIGNATURE}&x=1".encode()},
        {"text": f"headers={{'OK-ACCESS-SIGN': '{SIGNATURE}'}}"},
        {
            "request": HttpRequest(
                method="POST", target=f"/x?signature={SIGNATURE}", headers={"X-MBX-APIKEY": SIGNATURE}
            )
        },
        {"error": repr(HttpRequest(method="POST", target="/x", headers={"OK-ACCESS-SIGN": SIGNATURE}, body=b""))},
    ],
)
def test_signatures_and_signed_headers_never_reach_a_line(stream, fields):
    structlog.get_logger().info("sent_call", kept="yes", **fields)
    assert "yes" in stream.getvalue()
    assert SIGNATURE not in stream.getvalue()


def test_an_event_that_cannot_be_rendered_is_told_without_its_content(capsys):
    class Broken:
        def __str__(self):
            raise ValueError(SECRET)

        __repr__ = __str__

    stream = start("json")
    structlog.get_logger().info("made_call", broken=Broken())
    assert json.loads(stream.getvalue())["event"] == "failed_rendering"
    assert "7f3c9d" not in stream.getvalue() + "".join(capsys.readouterr())


def test_foreign_text_makes_no_line_of_its_own(stream):
    structlog.get_logger().info("read_command", command_id="a\nb\x1b[31m")
    assert len(stream.getvalue().splitlines()) == 1
    assert "\x1b[31m" not in stream.getvalue()


def test_levels_are_ours_and_libraries_are_tamed():
    stream = start("json", level="debug")
    structlog.get_logger().debug("told_detail")
    logging.getLogger("aiokafka").debug("fetching")
    logging.getLogger("aiohttp.access").info("GET /")
    assert [json.loads(line)["event"] for line in stream.getvalue().splitlines()] == ["told_detail"]
    stream = start("json", level="error")
    structlog.get_logger().warning("not_told")
    logging.getLogger("aiokafka").warning("not told")
    assert stream.getvalue() == ""


def test_what_aiokafka_calls_an_error_is_a_warning_unless_it_has_a_traceback():
    stream = start("json")
    log = logging.getLogger("aiokafka.consumer.group_coordinator")
    log.error("Group Coordinator Request failed: %s", "[Error 15]")
    log.error("Unexpected error in coordinator routine", exc_info=RuntimeError())
    logging.getLogger("asyncio").error("Task exception was never retrieved")
    structlog.get_logger("gateway").error("refused_keys")
    levels = [json.loads(line)["level"] for line in stream.getvalue().splitlines()]
    assert levels == ["warning", "error", "error", "error"]


def test_auto_is_json_where_no_terminal_is():
    stream = start("auto")
    structlog.get_logger().info("started_process")
    assert json.loads(stream.getvalue())["event"] == "started_process"


def test_setting_up_again_replaces_what_was():
    first, second = start("json"), start("json")
    structlog.get_logger().info("started_process")
    assert first.getvalue() == ""
    assert len(second.getvalue().splitlines()) == 1
