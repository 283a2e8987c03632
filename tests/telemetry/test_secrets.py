"""The guard of the log lines: whatever is secret is found, in a time that does not grow with how many there are."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.telemetry.secrets import REMOVED, SHORTEST_SECRET, Secrets

ALPHABET = "ab\\'\"é=/"  # nothing of the mark that takes a secret's place
secret_texts = st.text(ALPHABET, min_size=1, max_size=40)


def naively(line: str, secrets: list[str]) -> str:
    """The guard as anybody would write it: each secret in turn, the longest first."""
    for secret in sorted(secrets, key=len, reverse=True):
        line = line.replace(secret, REMOVED)
    return line


@given(secrets=st.lists(secret_texts, max_size=8), data=st.data())
def test_no_secret_is_left_wherever_it_stands_and_whatever_it_is_glued_to(secrets, data):
    known = Secrets()
    known.add(secrets)
    piece = st.one_of(st.sampled_from(secrets), secret_texts) if secrets else secret_texts
    line = "".join(data.draw(st.lists(piece, max_size=8)))
    guarded = known.remove_from(line)
    long = [secret for secret in secrets if len(secret) >= SHORTEST_SECRET]
    assert not any(secret in guarded for secret in long)
    assert len(guarded.replace(REMOVED, "")) <= len(naively(line, long).replace(REMOVED, ""))


@given(secrets=st.lists(secret_texts.filter(lambda text: len(text) >= SHORTEST_SECRET), min_size=1, max_size=3))
def test_one_secret_alone_in_a_line_goes_as_the_naive_guard_takes_it(secrets):
    known = Secrets()
    known.add(secrets)
    line = f"<{secrets[0]}>"
    assert known.remove_from(line) == naively(line, [secrets[0]])


@given(line=st.text(ALPHABET), secret=secret_texts)
def test_what_is_no_secret_stays_as_it_is(line, secret):
    known = Secrets()
    known.add([secret])
    if REMOVED not in (guarded := known.remove_from(line)):
        assert guarded == line


def test_the_work_for_a_line_does_not_grow_with_the_secrets():
    few, many = Secrets(), Secrets()
    few.add([f"common-prefix-{number:032x}" for number in range(5)])
    many.add([f"common-prefix-{number:032x}" for number in range(5_500)])
    line = Counted('{"event": "changed_leverage", "note": "common-prefix-00000000000000000000-not-one"}')
    few.remove_from(line)
    for_few, line.cuts = line.cuts, 0
    many.remove_from(line)
    assert line.cuts <= for_few


class Counted(str):
    """A line that counts how often a piece of it is looked at."""

    __slots__ = ("cuts",)
    cuts: int

    def __getitem__(self, index):
        self.cuts = getattr(self, "cuts", 0) + 1
        return super().__getitem__(index)
