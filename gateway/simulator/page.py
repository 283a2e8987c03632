"""The control page as people read it: what is wrong just now, what may be made to be, and the last calls.

`control` serves it; it shows no keys.
"""

from collections.abc import Iterable
from html import escape

from gateway.simulator.faults import Faults
from gateway.simulator.gate import Gate
from gateway.simulator.journal import Holdings, Journal

LAST_CALLS = 30
_STYLE = "body{font:14px sans-serif;margin:2em}td,th{padding:2px 10px;text-align:left;border-bottom:1px solid #ccc}"
_API = (
    "GET /_control/faults",
    "POST /_control/faults {kind, venue, account?, lane?, calls?, odds?, seconds?, applied?}",
    "DELETE /_control/faults or /_control/faults/<id>",
    "GET /_control/limits",
    "POST /_control/limits {venue, limit, capacity?, window?, others_per_second?, key?}",
    "POST /_control/limits {windows: fixed or sliding} or {venue, ban_seconds, key?}",
    "GET /_control/journal?since=0",
    "GET /_control/state",
    "GET /_control/accounts",
)


def render(gate: Gate, faults: Faults, journal: Journal, holdings: Holdings, now: float) -> str:
    """The page."""
    active = ((f.id, f.kind, f.venue, f.account or "all", f.lane or "all", f.calls or "until off") for f in faults)
    kinds = ((k.name, k.meaning, ", ".join(k.venues)) for k in faults.kinds.values())
    used = ((r.venue, r.limit, r.key, r.used, r.capacity, r.window, r.over) for r in gate.readings(now))
    last = (
        (e.seq, e.venue, e.account, e.lane, e.value, e.status, e.code, e.verdict) for e in journal.entries[-LAST_CALLS:]
    )
    return "".join(
        (
            f"<!doctype html><meta charset=utf-8><title>Simulated venues</title><style>{_STYLE}</style>",
            f"<h1>Simulated venues</h1><p>{'<br>'.join(map(escape, _API))}</p>",
            _table("Faults that are on", ("id", "kind", "venue", "account", "lane", "calls left"), active),
            _table("Faults there are", ("kind", "what happens", "venues"), kinds),
            _table(f"Limits, {gate.windows} windows", ("venue", "limit", "of", "used", "capacity", "s", "over"), used),
            _table("Leverage", ("venue:account:lane", "value"), sorted(holdings.all().items())),
            _table("Last calls", ("seq", "venue", "account", "lane", "value", "status", "code", "verdict"), last),
        )
    )


def _table(title: str, heads: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in heads)
    body = "".join("<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<h2>{escape(title)}</h2><table><tr>{head}</tr>{body}</table>"
