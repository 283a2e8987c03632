"""What the pipeline is told: which commands wait, which calls may begin, and when nothing may."""

from decimal import Decimal

import pytest

from gateway.policy.board import Board
from gateway.policy.guard import FRESH_FOR, PolicyGuard, Untold
from schemas import BinanceUsdm, LeverageChanged, Okx, Scope, SetLeverage, Timestamp
from tests.kit.clocks import NOON, FakeClock
from tests.policy.desk import after, applied, freeze, put

LANE = ("binance_usdm", "desk-1", "BTCUSDT")


class Counted:
    def __init__(self):
        self.told = []

    def allowed(self, command):
        self.told.append("allowed")

    def denied(self, command, refusal):
        self.told.append("denied")

    def shadow_denied(self, command, refusal):
        self.told.append(f"shadow {refusal.policy_version} {','.join(refusal.policy_rules)}")


class Desk:
    def __init__(self, freeze_after=60.0):
        self.clock = FakeClock()
        self.counted = Counted()
        self.guard = PolicyGuard(self.clock, self.counted, freeze_after=freeze_after)
        self.board = Board()
        self.past = self.guard.past()

    def write(self, record):
        assert put(self.board, after(self.board, record)) is None
        self.guard.rule(self.board.ruling)

    def admit(self, command, *, is_first=True):
        refusal = self.past.admit(command, is_first=is_first)
        return None if refusal is None else refusal.policy_rules


@pytest.fixture
def desk():
    return Desk()


def ask(leverage=5, account="desk-1", symbol="BTCUSDT", issuer=None):
    return SetLeverage(
        command_id="c", account=account, leverage=Decimal(leverage), target=BinanceUsdm(symbol=symbol), issuer=issuer
    )


@pytest.mark.parametrize(
    ("scope", "is_held"),
    [
        (Scope(), True),
        (Scope(venue="binance_usdm"), True),
        (Scope(venue="okx"), False),
        (Scope(account="desk-1"), True),
        (Scope(account="desk-2"), False),
        (Scope(lane="BTC*"), True),
        (Scope(lane="ETH*"), False),
        (Scope(issuer="m"), True),
        (Scope(issuer="n"), False),
        (Scope(venue="binance_usdm", account="desk-1", lane="*USDT", issuer="m"), True),
        (Scope(venue="binance_usdm", account="desk-2", lane="*USDT"), False),
    ],
)
def test_a_freeze_holds_what_is_in_its_scope(desk, scope, is_held):
    desk.write(freeze(scope=scope))
    assert (desk.admit(ask(issuer="m")) == (f"freeze:{scope}",)) is is_held


def test_all_freezes_and_rules_that_hold_are_named_with_the_version(desk):
    desk.write(freeze())
    desk.write(freeze(scope=Scope(account="desk-1")))
    desk.write(applied("[rules.a]\nmaximum = 3\n"))
    refusal = desk.past.admit(ask(5), is_first=True)
    assert refusal.policy_rules == ("freeze:everything", "freeze:account=desk-1", "a.maximum")
    assert refusal.policy_version == desk.board.ruling.policy.book.version
    assert "incident" in refusal.message
    assert refusal.retry_at is None


def test_lower_only_lets_lower_and_refuses_to_raise(desk):
    desk.past.learn(LANE, Decimal(5), 0.0)
    desk.write(freeze("lower_only"))
    assert desk.admit(ask(6)) == ("freeze:everything",)
    assert desk.admit(ask(5)) is None
    assert desk.admit(ask(4)) is None


def test_lower_only_asks_the_venue_where_nobody_told_the_value_and_refuses_where_it_cannot_tell(desk):
    desk.write(freeze("lower_only"))
    assert desk.admit(ask(4)) is None
    untold = desk.past.verdict(ask(4))
    assert isinstance(untold, Untold)
    assert untold.refuse().policy_rules == ("lane-value",)
    assert not desk.past.allows(ask(4))
    untold.told(Decimal(5))
    assert desk.past.verdict(ask(4)) is None
    assert desk.past.allows(ask(4))
    assert desk.past.verdict(ask(6)).policy_rules == ("freeze:everything",)


def test_behind_a_call_under_way_only_what_does_not_hang_on_the_value_is_judged(desk):
    desk.past.learn(LANE, Decimal(5), 0.0)
    desk.write(applied("[rules.a]\nstep_up = 1\n[rules.b]\nmaximum = 50\n"))
    assert desk.admit(ask(20), is_first=False) is None
    assert desk.admit(ask(60), is_first=False) == ("b.maximum",)
    assert desk.past.verdict(ask(20)).policy_rules == ("a.step_up",)


def test_a_command_is_counted_once_an_hour_and_not_again_before_its_call(desk):
    desk.write(applied("[rules.a]\ncommands_per_hour = 2\n"))
    assert [desk.admit(ask()) for _ in range(3)] == [None, None, ("a.commands_per_hour",)]
    assert desk.past.verdict(ask()) is None
    assert desk.admit(ask(account="desk-2")) is None
    desk.clock.advance(3600)
    assert desk.admit(ask()) is None


def test_a_candidate_is_told_and_refuses_nothing(desk):
    desk.write(applied("[rules.a]\nmaximum = 3\n", "candidate"))
    assert desk.admit(ask(5)) is None
    version = desk.board.ruling.candidate.book.version
    assert desk.counted.told == [f"shadow {version} a.maximum", "allowed"]


def test_a_call_begins_only_while_the_policy_is_known_to_be_current(desk):
    assert not desk.guard.may_call
    desk.guard.confirmed(desk.clock.monotonic())
    desk.clock.advance(FRESH_FOR - 0.01)
    assert desk.guard.may_call
    desk.clock.advance(0.02)
    assert not desk.guard.may_call  # whoever slept looks first


def test_a_lost_topic_is_gone_on_without_for_a_time_and_then_everything_is_frozen(desk):
    desk.guard.confirmed(desk.clock.monotonic())
    desk.guard.is_lost = True
    desk.clock.advance(60)
    assert desk.guard.may_call
    assert desk.admit(ask()) is None
    desk.clock.advance(0.1)
    assert desk.admit(ask()) == ("freeze:policy-unreadable",)
    desk.guard.confirmed(desk.clock.monotonic())
    assert desk.admit(ask()) is None


def test_a_gateway_that_never_read_the_policy_is_frozen_where_it_goes_on_without(desk):
    desk.guard.is_lost = True
    assert desk.admit(ask()) == ("freeze:policy-unreadable",)


def test_whoever_watches_is_told_of_every_ruling_until_it_stops(desk):
    told = []
    stop = desk.guard.watch(lambda: told.append(len(desk.guard.stops)))
    desk.write(freeze())
    desk.write(freeze("open"))
    stop()
    desk.write(freeze())
    assert told == [1, 0]


def changed(number, value, symbol="BTCUSDT", issuer=None):
    return LeverageChanged(
        event_id=f"t/0/{number}",
        command_id=f"c{number}",
        account="desk-1",
        target=BinanceUsdm(symbol=symbol),
        lane=symbol,
        issuer=issuer,
        redrive_of=None,
        attempts=1,
        issued_at=None,
        occurred_at=Timestamp.from_epoch(NOON + number),
        leverage=Decimal(value),
        requested_leverage=Decimal(value),
        certainty="confirmed",
    )


def learn(desk, events, last=()):
    desk.past.begin_learning()
    for event in events:
        desk.past.replay(event, False)
    for event in last:
        desk.past.replay(event, True)
    desk.past.end_learning()


def test_no_call_begins_before_the_past_is_told_that_the_policy_asks_about(desk):
    desk.guard.confirmed(desk.clock.monotonic())
    assert desk.past.may_call
    desk.write(freeze("lower_only"))
    assert not desk.past.may_call
    learn(desk, [], last=[changed(-90_000, 7)])
    assert desk.past.may_call
    assert desk.admit(ask(8)) == ("freeze:everything",)
    assert desk.admit(ask(6)) is None
    desk.write(applied("[rules.a]\ncool_down = 60\n"))
    assert not desk.past.may_call  # it asks about more than was told
    learn(desk, [], last=[changed(-90_000, 7)])
    assert desk.past.may_call


def test_who_takes_over_judges_by_the_events_as_who_was_there(desk):
    desk.write(applied("[rules.a]\ncool_down = 60\n[rules.b]\ncommands_per_hour = 2\n[rules.c]\nstep_up = 3\n"))
    learn(desk, [changed(-50, 4), changed(-30, 5)], last=[changed(-30, 5)])
    refusal = desk.past.admit(ask(9), is_first=True)
    assert set(refusal.policy_rules) == {"a.cool_down", "b.commands_per_hour", "c.step_up"}
    desk.clock.advance(3600)
    assert desk.admit(ask(8)) is None


def test_what_a_lane_had_before_the_window_counts_as_nothing_until_the_window_has_passed(desk):
    desk.write(applied("[rules.a]\nstep_up_in_window = 5\nwindow = 100\n"))
    learn(desk, [changed(-30, 10)], last=[changed(-30, 10), changed(-90_000, 10, symbol="ETHUSDT")])
    refusal = desk.past.admit(ask(12), is_first=True)
    assert refusal.policy_rules == ("a.step_up_in_window",)
    assert refusal.retry_at == NOON + 70
    assert desk.admit(ask(12, symbol="ETHUSDT")) is None


def test_what_was_learned_while_the_past_was_told_is_not_forgotten(desk):
    desk.write(freeze("lower_only"))
    desk.past.begin_learning()
    desk.past.replay(changed(-30, 10), True)
    desk.past.learn(LANE, Decimal(3), NOON)
    desk.past.end_learning()
    assert desk.admit(ask(4)) == ("freeze:everything",)


def test_a_clock_that_is_set_back_holds_nobody_up_and_hides_no_change(desk):
    desk.guard.confirmed(desk.clock.monotonic())
    desk.write(applied("[rules.a]\nstep_up = 2\ncool_down = 60\n"))
    learn(desk, [], last=[changed(-90_000, 7)])
    desk.past.learn(LANE, Decimal(9), NOON)
    desk.clock.set_wall(-3600.0)
    assert desk.past.may_call
    desk.past.learn(LANE, Decimal(3), NOON - 3600)
    assert "a.step_up" in desk.admit(ask(6))
    assert desk.admit(ask(3)) is None


def test_who_waits_is_judged_again_when_something_else_holds(desk):
    desk.past.learn(LANE, Decimal(5), 0.0)
    assert desk.past.again(ask(7), is_first=True) is None
    desk.write(freeze("lower_only"))
    assert desk.past.again(ask(7), is_first=False) is None  # what it will be judged by is not there yet
    assert desk.past.again(ask(7), is_first=True).policy_rules == ("freeze:everything",)
    desk.write(freeze())
    assert desk.past.again(ask(7), is_first=False).policy_rules == ("freeze:everything",)


def test_two_contracts_that_share_a_lane_cannot_go_around_a_rule_of_their_underlying(desk):
    desk.write(applied('[rules.a]\nsymbol = "BTC-USD"\nmaximum = 3\n'))
    for contract in ("BTC-USD-200802", "BTC-USD-200903"):
        target = Okx(margin_mode="cross", instrument=contract)
        command = SetLeverage(command_id="c", account="a", leverage=Decimal(5), target=target)
        assert desk.admit(command) == ("a.maximum",)
