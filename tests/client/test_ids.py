"""Command ids: UUIDv7 that only go up."""

from uuid import UUID

from gateway.client import CommandIds


def test_an_id_is_a_uuid_of_version_7_with_its_time_in_front():
    made = UUID(CommandIds(lambda: 1_700_000_000.123)())
    assert made.version == 7
    assert made.variant == "specified in RFC 4122"
    assert made.int >> 80 == 1_700_000_000_123


def test_ids_go_up_within_a_millisecond_beyond_the_counter_and_when_the_clock_steps_back():
    times = iter([1.0] * 10_000 + [0.5] * 100 + [2.0] * 100)
    ids = CommandIds(lambda: next(times))
    made = [ids() for _ in range(10_200)]
    assert made == sorted(made)
    assert len(set(made)) == len(made)
    assert all(UUID(one).version == 7 for one in made)


def test_two_makers_in_one_millisecond_differ():
    assert CommandIds(lambda: 1.0)() != CommandIds(lambda: 1.0)()
