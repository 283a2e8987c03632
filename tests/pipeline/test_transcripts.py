"""Conversations with a lane, read as a specification: what it wants is what stands there."""

import pytest

from tests.pipeline.transcript import FACTS, TEXTS, written

PATHS = sorted(TEXTS.glob("*.txt"))


@pytest.mark.parametrize("path", PATHS, ids=[path.stem for path in PATHS])
def test_the_lane_wants_what_the_transcript_says(path):
    """Where it is to want something else: `python -m tests.pipeline.transcript`, and read what changed."""
    assert written(path.read_text()) == path.read_text()


def test_every_fact_is_told_in_some_conversation():
    told = {line.split()[0] for path in PATHS for line in path.read_text().splitlines() if line and line[0].isalpha()}
    assert set(FACTS) <= told
