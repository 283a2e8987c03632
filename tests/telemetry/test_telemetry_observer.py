"""What is told, as metrics: by the command's venue and outcome, and by what its call was."""

from prometheus_client import generate_latest

from gateway.calls.observer import Called, CallTimes
from gateway.outcomes import Applied
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.observer import Telemetry
from gateway.venues.venue import Call
from tests.pipeline.paper import incoming


def test_what_a_call_waited_for_its_permit_is_told_with_the_call():
    metrics = Metrics()
    Telemetry(metrics).called(
        Called(
            venue="binance_usdm",
            account="a",
            call=Call(purpose="set_leverage", method="POST", path="/leverage"),
            about=incoming(),
            times=CallTimes(wanted=3.0, granted=5.5, begun=6.0, signed=6.0),
            status=200,
            outcome=Applied(),
            seconds=0.25,
        )
    )
    text = generate_latest(metrics.registry).decode()
    assert 'gateway_limit_wait_seconds_sum{venue="binance_usdm"} 2.5' in text
    assert 'gateway_venue_request_duration_seconds_sum{endpoint="set_leverage",venue="binance_usdm"} 0.25' in text
