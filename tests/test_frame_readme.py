"""The README tells the metrics and settings that there are."""

import re
from typing import get_args

from schemas import Reason
from schemas.dead_letter import DEAD_LETTERED
from tests.readme import README, with_tables


def test_the_readmes_tables_are_those_made_from_the_code():
    text = README.read_text("utf-8")
    assert with_tables(text) == text


def test_the_readme_says_what_becomes_a_dead_letter():
    section = README.read_text("utf-8").partition("## What becomes a dead letter")[2].partition("\n## ")[0]
    told = dict(re.findall(r"^\| `(\w+)` \| ([^|]+) \|", section, re.MULTILINE))
    assert told.keys() == {"undecodable", *get_args(Reason)}
    assert {reason for reason, answer in told.items() if answer == "an event and a dead letter"} == DEAD_LETTERED
