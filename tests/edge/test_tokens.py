"""Tokens come from files, and whoever's file changed or went is let in no more."""

import pytest

from gateway.edge.tokens import Rights, Tokens
from gateway.settings.tree import EdgeTokenSettings


class Told:
    def __init__(self):
        self.said = []

    def changed_token(self, name):
        self.said.append(("changed", name))

    def lost_token(self, name, problem):
        self.said.append(("lost", name))


@pytest.fixture
def file(tmp_path):
    (tmp_path / "ops").write_text("first\n")
    return tmp_path / "ops"


@pytest.fixture
def told():
    return Told()


@pytest.fixture
def tokens(file, told):
    settings = {"ops": EdgeTokenSettings(token_file="ops", accounts=("desk-*",), verbs=("read",))}
    return Tokens(settings, file.parent, told)


def test_a_token_is_known_by_its_text(tokens):
    assert tokens.find("first").name == "ops"
    assert tokens.find("second") is None
    assert tokens.find("") is None
    assert tokens.find("f\udcffrst") is None


async def test_a_changed_file_lets_the_new_token_in_and_the_old_one_out(tokens, file, told):
    old = tokens.find("first")
    file.write_text("second")
    await tokens.look()
    assert tokens.find("first") is None
    assert not old.is_valid
    assert tokens.find("second").is_valid
    assert told.said == [("changed", "ops")]


async def test_a_file_that_is_gone_twice_lets_nobody_in(tokens, file, told):
    file.unlink()
    await tokens.look()
    assert tokens.find("first").is_valid  # it may be in the middle of being replaced
    await tokens.look()
    assert tokens.find("first") is None
    assert told.said == [("lost", "ops")]
    file.write_text("second")
    await tokens.look()
    assert tokens.find("second").is_valid


def test_rights_are_patterns_and_the_same_for_the_same_patterns():
    rights = Rights(["desk-?", "ops"])
    assert [rights.allow(account) for account in ("desk-1", "desk-10", "ops", "Ops")] == [True, False, True, False]
    assert rights.digest == Rights(["ops", "desk-?"]).digest
    assert rights.digest != Rights(["ops"]).digest
