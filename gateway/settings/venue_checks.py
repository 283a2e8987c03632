"""What the settings' types cannot say of a venue: where it is, how it is reached, and which limits it has."""

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

import msgspec

from gateway.settings.addresses import is_clear, urlsplit_or_none, wrong_base_url
from gateway.settings.findings import Finding, LimitNames
from gateway.settings.tree import Settings, VenueSettings


def check_venue(name: str, venue: VenueSettings, limit_names: LimitNames) -> Iterator[Finding]:
    """Everything wrong with one venue's settings."""
    place = ("venues", name)
    if venue.base_url is not None and (remedy := wrong_base_url(venue.base_url, allow_http=venue.allow_http)):
        yield (*place, "base_url"), remedy
    if venue.proxy is not None:
        yield from (((*place, "proxy"), remedy) for remedy in _wrong_proxy(venue.proxy, venue.base_url or "https:"))
    if venue.backoff_base > venue.backoff_cap:
        yield (*place, "backoff_base"), "must not be more than backoff_cap"
    known = limit_names.get(name)
    for limit in venue.limits if known is not None else ():
        if limit not in (known or ()):
            yield (*place, "limits", limit), f"no such limit of {name}; there are {', '.join(known or ()) or 'none'}"


def _wrong_proxy(url: str, base_url: str) -> Iterator[str]:
    split = urlsplit_or_none(url)
    if split is None or split[0] != "http" or re.search(r"[@?#\s]", url) or urlsplit(url).path.strip("/"):
        yield 'expected "http://host:port", without a user name: a proxy that asks for a login cannot be used'
    elif not base_url.startswith("https:"):
        yield "has no effect where base_url is plain http: only the tunnel of a TLS connection goes through it"


def clear_venues(settings: Settings) -> list[str]:
    """The paths of settings by which calls leave this machine without TLS."""
    venues: dict[str, VenueSettings] = {
        name: getattr(settings.venues, name) for name in msgspec.structs.asdict(settings.venues)
    }
    return [f"venues.{name}.base_url" for name, venue in venues.items() if is_clear(venue.base_url or "")]
