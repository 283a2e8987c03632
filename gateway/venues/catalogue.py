"""All venues by name: the one list that knows every room."""

from gateway.venues.binance.futures import portfolio, usdm
from gateway.venues.binance.margin import BinanceMarginVenue
from gateway.venues.okx.requests import OkxVenue
from gateway.venues.venue import Venue
from gateway.venues.ztdx.requests import ZtdxVenue
from schemas import VenueName


def venues() -> dict[VenueName, Venue]:
    """The five venues, in the order of the contract."""
    every: tuple[Venue, ...] = (BinanceMarginVenue(), usdm(), portfolio(), OkxVenue(), ZtdxVenue())
    return {venue.name: venue for venue in every}
