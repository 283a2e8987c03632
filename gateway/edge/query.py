"""Query parameters: those that a route has, once or several times; another one is an error and never passed over."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from aiohttp import web

from gateway.edge.door import DoorError
from gateway.edge.filters import Filter, ForbiddenAccountError
from gateway.edge.tokens import Rights
from schemas.targets import VENUES


class Query(NamedTuple):
    """Parameters by name."""

    several: Mapping[str, Sequence[str]]
    single: Mapping[str, str]


def query_of(request: web.BaseRequest, *, several: Sequence[str] = (), single: Sequence[str] = ()) -> Query:
    """The parameters of a request; DoorError for one that the route does not have, or has once."""
    for name in request.query:
        if name not in several and name not in single:
            known = ", ".join((*several, *single)) or "none"
            raise DoorError(400, "unknown_parameter", f"no such parameter: {name[:64]!r}; there are: {known}")
    values = {name: request.query.getall(name) for name in request.query}
    for name in single:
        if len(values.get(name, ())) > 1:
            raise DoorError(400, "malformed", f"{name} may be given once")
    return Query(
        {name: values[name] for name in several if name in values},
        {name: values[name][0] for name in single if name in values},
    )


def filter_of(query: Query, rights: Rights) -> Filter:
    """The filter of `venue`, `account` and `lane`; DoorError where it asks for what is not open, or nobody has."""
    for venue in query.several.get("venue", ()):
        if venue not in VENUES:
            raise DoorError(400, "malformed", f"no such venue: {venue[:64]!r}; there are {', '.join(VENUES)}")
    try:
        return Filter.of(
            rights,
            venues=query.several.get("venue"),
            accounts=query.several.get("account"),
            lanes=query.several.get("lane"),
        )
    except ForbiddenAccountError as error:
        raise DoorError(403, "forbidden", str(error)) from None
