"""What the settings' types cannot say of a venue: where it is, how it is reached, and which limits it has."""

from collections.abc import Iterator

import msgspec

from gateway.settings.addresses import is_clear, wrong_base_url
from gateway.settings.findings import Finding, LimitNames
from gateway.settings.tree import Settings, VenueSettings


def check_venue(name: str, venue: VenueSettings, limit_names: LimitNames) -> Iterator[Finding]:
    """Everything wrong with one venue's settings."""
    place = ("venues", name)
    if venue.base_url is not None and (remedy := wrong_base_url(venue.base_url, allow_http=venue.allow_http)):
        yield (*place, "base_url"), remedy
    if venue.backoff_base > venue.backoff_cap:
        yield (*place, "backoff_base"), "must not be more than backoff_cap"
    known = limit_names.get(name)
    for limit in venue.limits if known is not None else ():
        if limit not in (known or ()):
            yield (*place, "limits", limit), f"no such limit of {name}; there are {', '.join(known or ()) or 'none'}"


def clear_venues(settings: Settings) -> list[str]:
    """The paths of settings by which calls leave this machine without TLS."""
    venues: dict[str, VenueSettings] = {
        name: getattr(settings.venues, name) for name in msgspec.structs.asdict(settings.venues)
    }
    return [f"venues.{name}.base_url" for name, venue in venues.items() if is_clear(venue.base_url or "")]
