"""What one command costs in each pure part, at 10, 1,000 and 100,000 entries: flat. `make bench`, or pytest on this file."""

from itertools import count

import pytest

from gateway.limits.budget import Budget
from gateway.limits.limit import Cost, Limit
from gateway.outcomes import Applied
from gateway.ownership.ledger import Checkpoint, Ledger, LogPosition
from gateway.ownership.repeats import Repeats, RepeatWindow
from gateway.pipeline.lane import Lane, LanePolicy
from gateway.venues.binance.signing import sign
from gateway.venues.credentials import Credentials
from gateway.venues.keys import HmacKey
from gateway.venues.venue import Call
from schemas import decode_command, encode
from tests.kit.bench import command, incoming
from tests.pipeline.lane_world import AgainOnce

ROUNDS, ITERATIONS = 20, 200
NOWHERE = LogPosition(0, 0)
pytestmark = pytest.mark.parametrize("entries", [10, 1_000, 100_000])


@pytest.fixture
def repeated(benchmark):
    """Runs a function often enough for a figure, and no longer."""
    return lambda function: benchmark.pedantic(function, rounds=ROUNDS, iterations=ITERATIONS, warmup_rounds=2)


def test_lane_machine(repeated, entries):
    policy = LanePolicy(False, 10.0, AgainOnce())
    lanes = [Lane(("binance_usdm", "a", f"S{number}"), policy) for number in range(entries)]
    numbers, applied, one = count(), Applied(leverage=None), incoming(0, deadline=1e9)

    def carry_out():
        lane = lanes[next(numbers) % entries]
        lane.admit(one)
        lane.next(0.0, may_call=True)
        lane.obtained(0.0)
        lane.next(0.0, may_call=True)
        lane.sent(applied, begun=0.0, now=0.0, is_expired=False)
        lane.next(0.0, may_call=True)
        lane.committed(one.offset)

    repeated(carry_out)


def test_permits(repeated, entries):
    limit = Limit(name="calls", capacity=1_000_000, window=1.0, scope="account")
    budget, now = Budget([limit], {}, -10.0), count()
    costs = (Cost("calls", 1),)
    for number in range(entries):
        budget.scope("calls", f"a{number}")

    def take_and_end():
        at = float(next(now))
        request = budget.request(f"a{int(at) % entries}", costs)
        budget.grant(at)
        for hold in request.holds:
            hold.bucket.ended(hold, at)

    repeated(take_and_end)


def test_ledger(repeated, entries):
    ledger, offsets = Ledger(Checkpoint(0, NOWHERE, clean=True), NOWHERE), count(entries)
    for offset in range(entries):
        ledger.fetch(offset)

    def read_and_answer():
        offset = next(offsets)
        ledger.fetch(offset)
        ledger.answer(offset - entries)

    repeated(read_and_answer)  # a checkpoint is asked for once a second, not for each


def test_repeats(repeated, entries):
    repeats, numbers = Repeats(RepeatWindow(entries, 1e9)), count()
    for number in range(entries):
        repeats.answered("k", f"before-{number}", 0.0)

    def see_and_answer():
        name = f"c{next(numbers)}"
        repeats.is_repeat("k", name, 0.0)
        repeats.open("k", name)
        repeats.answered("k", name, 0.0)

    repeated(see_and_answer)


def test_codec(repeated, entries):
    values, numbers = [encode(command(number)) for number in range(entries)], count()
    repeated(lambda: encode(decode_command(values[next(numbers) % entries])))


def test_signing(repeated, entries):
    keys = [Credentials(api_key=f"k{number}", signing_key=HmacKey(f"s{number}")) for number in range(entries)]
    call = Call(method="POST", path="/fapi/v1/leverage", query="symbol=BTCUSDT&leverage=5", purpose="set_leverage")
    numbers = count()
    repeated(lambda: sign(call, keys[next(numbers) % entries], 1_700_000_000_000))
