"""W3C traceparent: what is passed on."""

import pytest

from schemas.trace_context import trace_headers, valid_traceparent

GOOD = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.mark.parametrize("text", [GOOD, GOOD[:-2] + "00", "01" + GOOD[2:] + "-later-fields", "cc" + GOOD[2:]])
def test_valid_ones_are_trace_headers_unchanged(text):
    assert valid_traceparent(text)
    assert trace_headers([("traceparent", text.encode())]) == (("traceparent", text.encode()),)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        GOOD + "-more",
        GOOD.upper(),
        "ff" + GOOD[2:],
        GOOD + "\n",
        " " + GOOD,
        GOOD.replace("-", "_"),
        "00-" + "0" * 32 + GOOD[35:],
        GOOD[:36] + "0" * 16 + "-01",
        GOOD[:-1],
        "01" + GOOD[2:] + "more",
        "01" + GOOD[2:] + "-" + "x" * 300,
    ],
)
def test_others_are_left_out(text):
    assert not valid_traceparent(text)
    assert trace_headers([("traceparent", text.encode())]) == ()


def test_nothing_comes_of_nothing():
    assert trace_headers([]) == ()
    assert trace_headers([("traceparent", None), ("other", b"x")]) == ()
