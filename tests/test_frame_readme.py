"""The README tells the metrics and settings that there are."""

from tests.readme import README, with_tables


def test_the_readmes_tables_are_those_made_from_the_code():
    text = README.read_text("utf-8")
    assert with_tables(text) == text
