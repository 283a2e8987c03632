"""How long a call may still take effect is the venue's to say, not our patience's."""

import pytest

from gateway.outcomes import Ambiguous
from gateway.settings.tree import VenueSettings
from gateway.venues.catalogue import venues
from tests.kit.bench import Bench, Script, incoming
from tests.kit.world import on_virtual_time


@pytest.mark.parametrize("name", venues())
def test_every_venue_says_how_long_it_works_on_a_call_that_it_has(name):
    assert venues()[name].settles_within >= 10.0  # Binance gives its backend ten seconds


@pytest.mark.parametrize(("setting", "seconds"), [(None, 8.0), (2.5, 7.5), (0.0, 5.0)])
def test_a_call_may_be_on_its_way_for_our_patience_and_then_at_the_venue_for_its_own(setting, seconds):
    async def main(world):
        bench = Bench(world, Script(), capacity=None, call_timeout=5.0, settles_within=setting)
        assert bench.caller.settles_within == seconds

    on_virtual_time(main)


def test_a_call_without_an_answer_counts_for_its_limits_from_when_it_can_have_arrived():
    async def main(world):
        bench = Bench(world, Script(Ambiguous(message="cut off")), capacity=1, reads_back=False)
        bench.admit(incoming(1))
        await bench.all_told()
        (first, _), (second, _) = bench.script.sent
        [window] = {limit.window for limit in bench.venue.limits}
        assert second - first >= bench.caller.settings.call_timeout + window

    on_virtual_time(main)


def test_no_venue_is_held_to_be_faster_than_it_says_by_default():
    assert VenueSettings().settles_within is None
