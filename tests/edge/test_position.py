"""A position proves itself: what was changed, of another log or of other rights is none."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.edge.position import Positions
from gateway.edge.tokens import Rights

ALL = Rights(["*"]).digest
ONE = Rights(["desk-1"]).digest
HERE = Positions(b"topic", 4)
offsets = st.tuples(*[st.integers(0, 2**62)] * 4)


@given(offsets)
def test_a_position_is_read_as_it_was_written(there):
    assert HERE.read(HERE.write(there, ALL), ALL) == there


@given(offsets, st.data())
def test_a_position_with_any_character_changed_is_none(there, data):
    text = HERE.write(there, ALL)
    index = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.sampled_from("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_=. \n"))
    changed = text[:index] + other + text[index + 1 :]
    assert changed == text or HERE.read(changed, ALL) is None
    assert HERE.read(text[:index], ALL) is None


@given(st.text())
def test_no_text_makes_it_fail(text):
    assert HERE.read(text, ALL) is None


def test_a_position_of_another_log_of_other_partitions_or_of_other_rights_is_none():
    text = HERE.write((1, 2, 3, 4), ALL)
    assert Positions(b"other topic", 4).read(text, ALL) is None
    assert Positions(b"topic", 5).read(text, ALL) is None
    assert HERE.read(text, ONE) is None


def test_a_position_of_twelve_partitions_fits_the_reason_of_a_close_frame():
    assert len(Positions(b"topic", 12).write((2**34,) * 12, ALL)) <= 123
