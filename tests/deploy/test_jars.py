"""Kafka's jars are those that the repository pins, wherever Maven had them from."""

import pytest

from deploy.kafka.jars import KafkaMissingError, check, sums_of


@pytest.fixture
def folder(tmp_path):
    for name in ("a.jar", "b.jar"):
        (tmp_path / name).write_text(name)
    return tmp_path


def test_the_jars_that_are_pinned_are_taken(folder):
    check(folder, sums_of(folder))


@pytest.mark.parametrize("change", [("a.jar", "other"), ("c.jar", "more"), ("a.jar", None)])
def test_a_jar_that_is_another_one_too_many_or_missing_is_refused_by_name(folder, change):
    sums, (name, text) = sums_of(folder), change
    if text is None:
        (folder / name).unlink()
    else:
        (folder / name).write_text(text)
    with pytest.raises(KafkaMissingError, match=name):
        check(folder, sums)
