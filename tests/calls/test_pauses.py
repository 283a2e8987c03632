"""What a venue says of when to come back is believed, and where it says nothing of use a floor grows."""

import pytest

from gateway.calls.pauses import Pauses

ADDRESS, MINE, OTHERS = ("ip_weight", ""), ("uid_calls", "a"), ("uid_calls", "b")


def pause(pauses: Pauses, told: float | None, at: float, *scopes: tuple[str, str], begun: float | None = None) -> float:
    return pauses.seconds(scopes or (ADDRESS,), told, longest=60.0, begun=at if begun is None else begun, now=at)


def test_a_venue_that_says_how_long_is_believed():
    pauses = Pauses()
    assert [pause(pauses, told, at) for at, told in enumerate((1.0, 7.0, 600.0, 7.0))] == [1.0, 7.0, 600.0, 7.0]


def test_one_that_says_nothing_is_given_the_longest_window():
    assert pause(Pauses(), None, 0.0) == 60.0


@pytest.mark.parametrize("told", [0.0, 0.5])
def test_for_now_in_a_row_the_floor_doubles_up_to_the_window(told):
    pauses, at, seen = Pauses(), 0.0, []
    for _ in range(8):
        seen.append(pause(pauses, told, at))
        at += seen[-1]
    assert seen == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]


def test_a_call_that_is_let_through_ends_the_row():
    pauses = Pauses()
    assert [pause(pauses, 0.0, at) for at in (0.0, 1.0, 3.0)] == [1.0, 2.0, 4.0]
    pauses.succeeded([ADDRESS])
    assert pause(pauses, 0.0, 7.0) == 1.0


def test_calls_that_were_under_way_together_count_as_one():
    pauses = Pauses()
    assert [pause(pauses, 0.0, 1.0 + n / 100, begun=0.9) for n in range(20)] == [1.0] * 20
    assert pause(pauses, 0.0, 3.0) == 2.0


def test_each_limit_has_its_own_row():
    pauses = Pauses()
    assert [pause(pauses, 0.0, at, MINE) for at in (0.0, 1.0)] == [1.0, 2.0]
    assert pause(pauses, 0.0, 3.0, OTHERS) == 1.0
    assert pause(pauses, 0.0, 3.0, MINE, ADDRESS) == 4.0


def test_a_call_that_no_limit_counts_is_not_made_again_at_once():
    assert Pauses().seconds((), 0.0, longest=60.0, begun=0.0, now=0.0) == 1.0
