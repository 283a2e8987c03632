"""Refused keys are probed, rotations are said once, and a refusal belongs to the keys that were refused."""

from pathlib import Path
from typing import Any

import pytest

from gateway.outcomes import Refusal
from gateway.settings.tree import AccountSettings, CredentialSettings
from gateway.venues.accounts import LONGEST_PAUSE, Accounts, accounts_of_one_user
from gateway.venues.credentials import Credentials


class Told:
    """What was said of keys, in order."""

    def __init__(self) -> None:
        self.lines: list[tuple[Any, ...]] = []

    def __getattr__(self, name: str) -> Any:
        return lambda *told: self.lines.append((name, *told))


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def write(tmp_path: Path):
    def files(account: str, key: str) -> AccountSettings:
        (tmp_path / f"{account}.key").write_text(key)
        (tmp_path / f"{account}.secret").write_text("its-secret")
        return AccountSettings(
            okx=CredentialSettings(api_key_file=f"{account}.key", api_secret_file=f"{account}.secret")
        )

    return files


@pytest.fixture
def desk(write, tmp_path, clock, told) -> Accounts:
    return Accounts({"desk": write("desk", "old")}, tmp_path, clock=clock, observer=told)


def keys(accounts: Accounts, account: str = "desk") -> Credentials:
    held = accounts.credentials("okx", account)
    assert isinstance(held, Credentials)
    return held


def test_refused_keys_are_tried_by_one_call_after_each_pause_and_the_pauses_grow(desk, clock):
    seen: list[float] = []
    begun = clock.monotonic()
    desk.refused("okx", "desk", keys(desk), "no")
    while len(seen) < 9:
        clock.advance(1.0)
        held = desk.credentials("okx", "desk")
        if isinstance(held, Credentials):
            seen.append(clock.monotonic() - begun)
            assert isinstance(desk.credentials("okx", "desk"), Refusal), "one call finds out, the others wait"
            desk.refused("okx", "desk", held, "no")
    assert seen[:5] == [5.0, 15.0, 35.0, 75.0, 155.0]
    assert seen[-1] - seen[-2] == LONGEST_PAUSE


def test_a_refusal_says_when_the_keys_are_tried_again(desk, clock):
    desk.refused("okx", "desk", keys(desk), "no such key")
    refusal = desk.credentials("okx", "desk")
    assert isinstance(refusal, Refusal)
    assert (refusal.reason, refusal.retry_at) == ("unauthorised", clock.wall() + 5.0)
    assert "no such key" in refusal.message


def test_keys_that_are_taken_again_start_the_account(desk, clock, told):
    held = keys(desk)
    desk.refused("okx", "desk", held, "no")
    clock.advance(5.0)
    assert keys(desk) is held
    desk.accepted("okx", "desk", held)
    assert keys(desk) is keys(desk) is held
    assert desk.stopped == {}
    assert told.lines == [("stopped_account", "okx", "desk", "no", 5.0), ("started_account", "okx", "desk")]


def test_calls_that_were_under_way_together_stop_an_account_once(desk, told):
    held = keys(desk)
    for _ in range(10):
        desk.refused("okx", "desk", held, "no")
    assert len(told.lines) == 1


def test_a_refusal_of_old_keys_does_not_stop_the_new_ones(desk, write):
    old = keys(desk)
    write("desk", "newer")
    assert desk.reload() == [("okx", "desk")]
    desk.refused("okx", "desk", old, "no")
    assert desk.stopped == {}
    assert keys(desk).api_key == "newer"


def test_new_keys_that_the_venue_refuses_give_way_to_the_old_ones_and_stop_nothing(desk, write, told):
    old = keys(desk)
    write("desk", "newer")
    desk.reload()
    desk.refused("okx", "desk", keys(desk), "no such key")
    assert keys(desk) is old
    assert desk.stopped == {}
    assert told.lines[1:] == [("returned_to_old_keys", "okx", "desk", "no such key")]
    assert desk.reload() == []  # the files did not change
    write("desk", "right")
    desk.reload()
    assert keys(desk).api_key == "right"
    desk.accepted("okx", "desk", keys(desk))
    desk.refused("okx", "desk", keys(desk), "revoked")
    assert desk.stopped == {("okx", "desk"): "revoked"}, "once the venue took them, the keys before are gone"


def test_old_keys_that_are_refused_too_stop_the_account_and_from_then_on_both_are_tried_in_turn(desk, write, clock):
    write("desk", "newer")
    desk.reload()
    desk.refused("okx", "desk", keys(desk), "no")
    desk.refused("okx", "desk", keys(desk), "expired")
    assert desk.stopped == {("okx", "desk"): "expired"}
    tried = []
    for pause in (5.0, 10.0, 20.0):
        clock.advance(pause)
        tried.append(keys(desk))
        desk.refused("okx", "desk", tried[-1], "no")
    assert [one.api_key for one in tried] == ["newer", "old", "newer"]


def test_new_keys_that_the_venue_did_not_know_yet_are_used_once_it_refuses_the_old_ones(desk, write, told):
    write("desk", "newer")
    desk.reload()
    desk.refused("okx", "desk", keys(desk), "no such key")
    old = keys(desk)
    desk.accepted("okx", "desk", old)
    desk.refused("okx", "desk", old, "revoked")
    assert keys(desk).api_key == "newer"
    assert desk.stopped == {}
    assert told.lines[-1] == ("reloaded_keys", "okx", "desk")


def test_an_answer_to_old_keys_says_nothing_of_the_new_ones(desk, write):
    old = keys(desk)
    write("desk", "newer")
    desk.reload()
    desk.accepted("okx", "desk", old)
    desk.refused("okx", "desk", keys(desk), "no such key")
    assert keys(desk) is old


def test_an_account_that_was_stopped_does_not_return_to_the_keys_that_were_refused(desk, write):
    desk.refused("okx", "desk", keys(desk), "revoked")
    write("desk", "newer")
    desk.reload()
    desk.refused("okx", "desk", keys(desk), "no")
    assert desk.stopped == {("okx", "desk"): "no"}


def test_new_files_start_a_stopped_account_at_once(desk, write):
    desk.refused("okx", "desk", keys(desk), "no")
    write("desk", "newer")
    desk.reload()
    assert keys(desk).api_key == "newer"


def test_a_rotation_is_said_once_a_good_one_and_a_broken_one(desk, write, told):
    write("desk", "two\nlines")
    for _ in range(3):
        assert desk.reload() == []
    assert keys(desk).api_key == "old"
    write("desk", "newer")
    for _ in range(3):
        desk.reload()
    problem = "the file must hold one line of printable ASCII, without white space, and nothing else"
    assert told.lines == [("kept_old_keys", "okx", "desk", "api_key_file", problem), ("reloaded_keys", "okx", "desk")]


def test_accounts_with_one_key_are_one_user_and_stay_it_when_they_rotate_one_after_the_other(
    write, tmp_path, clock, told
):
    tables = {name: write(name, key) for name, key in {"b": "same", "a": "same", "c": "other"}.items()}
    accounts = Accounts(tables, tmp_path, clock=clock, observer=told)
    assert [accounts.user("okx", name) for name in "abc"] == ["a", "a", "c"]
    write("b", "rotated")
    accounts.reload()
    assert [accounts.user("okx", name) for name in "abc"] == ["a", "a", "c"]
    write("c", "rotated")
    accounts.reload()
    assert len({accounts.user("okx", name) for name in "abc"}) == 1
    assert accounts_of_one_user(tables, tmp_path) == [("okx", ["b", "c"])]
