"""A venue: what the gateway knows of it (`PaperVenue`), and what it really does (`RealVenue`); `network` is between.

What arrives is applied even where nobody waits for it any more. The journal is in the form that `tests.chaos.checker`
judges.
"""

from collections import deque
from decimal import Decimal
from math import ceil
from typing import Any, NamedTuple, Protocol
from urllib.parse import parse_qsl

from gateway.limits.limit import Cost, Limit, Usage
from gateway.outcomes import (
    Ambiguous,
    Applied,
    ClockSkewed,
    KeyRejection,
    Outcome,
    Rejection,
    Throttled,
    Unavailable,
)
from gateway.transport.messages import LIMITED, HttpReply, HttpRequest
from gateway.venues.credentials import Credentials
from gateway.venues.venue import Call
from schemas import SetLeverage, VenueName
from tests.chaos import history
from tests.kit.clocks import NOON
from tests.kit.world import World

RECEIVE_WINDOW = 1.0  # seconds; the gateway's call timeout too
SETTLES_WITHIN = 3.0  # seconds; what the venue works on for longer, it gives up
SLOW = 0.05  # share of legs
WINDOW = 3.0  # seconds of a limit: longer than a quarantine, so that not this alone keeps the budget
LONGEST_WORK = 0.25  # seconds; of a call that is not late
BAD_VALUE = Decimal(999)
BANNED = 418
TIME = "/time"


class PaperVenue:
    """The gateway's side: build, sign, classify; as small as it can be."""

    base_url = "http://paper"

    def __init__(
        self,
        name: VenueName,
        capacity: int | None,
        *,
        reads_back: bool,
        address_capacity: int | None = None,
        window: float = 1.0,
    ) -> None:
        """`capacity`: calls a window and account, `address_capacity`: of an address; None: as many as anybody likes."""
        self.name: VenueName = name
        self.settles_within = SETTLES_WITHIN
        of_address = Limit(name="ip_calls", scope="ip", capacity=address_capacity or 1, window=window)
        of_account = Limit(name="uid_calls", scope="account", capacity=capacity or 1, window=window)
        counted = ((of_address, address_capacity), (of_account, capacity))
        self.limits = tuple(limit for limit, most in counted if most is not None)
        self._costs = tuple(Cost(limit.name, 1) for limit in self.limits)
        self._public_costs = tuple(cost for cost in self._costs if cost.limit == of_address.name)
        self._reads_back = reads_back

    def broken_rule(self, command: SetLeverage) -> str | None:
        return "999 is nobody's leverage" if command.leverage == BAD_VALUE else None

    def set_leverage(self, command: SetLeverage) -> Call:
        query = f"lane={command.target.lane}&leverage={command.leverage}"
        return Call(purpose="set_leverage", method="POST", path="/", query=query, costs=self._costs)

    def read_back(self, command: SetLeverage) -> Call | None:
        if not self._reads_back:
            return None
        query = f"lane={command.target.lane}"
        return Call(purpose="read_back", method="GET", path="/", query=query, costs=self._costs)

    def server_time(self) -> Call:
        return Call(purpose="server_time", method="GET", path=TIME, costs=self._public_costs)

    def sign(self, call: Call, credentials: Credentials, timestamp_ms: int) -> HttpRequest:
        target = f"{call.query}&account={credentials.api_key}&timestamp={timestamp_ms}"
        return HttpRequest(method=call.method, target=target, headers={})

    def classify(self, command: SetLeverage, answer: HttpReply) -> Outcome:
        text = answer.body.decode()
        match answer.status:
            case 200:
                return Applied(leverage=Decimal(text))
            case 418 | 429:
                wait = float(answer.headers["Retry-After"])
                return Throttled(retry_after=wait, http_status=answer.status, banned=answer.status == BANNED)
            case 401:
                return KeyRejection(message=text, http_status=401)
            case 503:
                kind = Ambiguous if text == "unknown" else Unavailable
                return kind(message=text, http_status=503)
            case _:
                kind = ClockSkewed if text == "timestamp" else Rejection
                return kind(message=text, http_status=answer.status)

    def classify_read_back(self, command: SetLeverage, answer: HttpReply) -> Outcome:
        if answer.status != 200:
            return self.classify(command, answer)
        return Applied(leverage=Decimal(answer.body.decode()), certainty="read_back")

    def server_time_ms(self, answer: HttpReply) -> int | None:
        return int(answer.body) if answer.status == 200 else None

    publishing = None

    def usage(self, answer: HttpReply) -> tuple[Usage, ...]:
        return ()


class VenueFaults:
    """How badly it goes; shares of all calls. `slow_connect` is of connections, `banned_until` in virtual seconds."""

    def __init__(self) -> None:
        self.down = False
        self.banned_until = 0.0
        self.slow_connect = 0.0
        self.unavailable = 0.0
        self.unknown = 0.0
        self.cut_off = 0.0
        self.throttled = 0.0
        self.refused = 0.0
        self.slow = SLOW
        self.late = 0.0


class WayBack(Protocol):
    """Where an answer goes."""

    def answer(self, status: int, text: str, headers: dict[str, str] | None = None) -> None:
        """Send it."""
        ...

    def cut_off(self) -> None:
        """Close the connection."""
        ...


class Origin(NamedTuple):
    """Which process sent a request, and when."""

    instance: str
    sent_at: float


Refused = tuple[str, int, str]  # the verdict, the status, and the body


class RealVenue:
    """The venue's side: strict, with a journal.

    Attributes:
        api_keys: those that it takes; an account's keys are `<account>.<number>`.
    """

    def __init__(self, world: World, name: VenueName, capacity: int | None, accounts: tuple[str, ...]) -> None:
        self.faults = VenueFaults()
        self.api_keys = {f"{account}.1" for account in accounts}
        self.calls: list[dict[str, Any]] = []
        self.values: dict[tuple[str, str], Decimal] = {}
        self._world = world
        self._name = name
        self._capacity = capacity
        self._received: dict[str, deque[float]] = {}

    def receive(self, request: HttpRequest, reply: WayBack, origin: Origin) -> None:
        """A request arrives."""
        call: dict[str, Any] = {"verdict": "fault", "status": None}
        if request.target == TIME:
            self._answer_time(call, reply)
            return
        fields = dict(parse_qsl(request.target))
        api_key, lane = fields["account"], fields["lane"]
        account = api_key.partition(".")[0]
        if request.method == "POST":
            call |= {"instance": origin.instance, "sent_at": NOON + origin.sent_at}
            call |= {"venue": self._name, "account": account, "lane": lane, "value": Decimal(fields["leverage"])}
            call["received_at"] = NOON + self._world.now
            call["seq"] = len(self.calls) + 1
            self.calls.append(call)
        refusal = self._ban() or self._key(api_key) or self._refusal(account, int(fields["timestamp"]), fields)
        if refusal is not None:
            call["verdict"], status, text = refusal
            self._finish(call, reply, status, text)
            return
        self._work(call, account, lane, fields, reply)

    def _answer_time(self, call: dict[str, Any], reply: WayBack) -> None:
        status, text = (self._ban() or ("", 200, str(int((NOON + self._world.now) * 1000))))[1:]
        self._finish(call, reply, status, text)

    def _ban(self) -> Refused | None:
        left = self.faults.banned_until - self._world.now
        return ("fault", BANNED, str(ceil(left))) if left > 0 else None

    def _work(self, call: dict[str, Any], account: str, lane: str, fields: dict[str, str], reply: WayBack) -> None:
        random, faults = self._world.random, self.faults
        takes = random.uniform(0.05, LONGEST_WORK) if random.random() < faults.slow else random.uniform(0.001, 0.02)
        if "leverage" not in fields:
            self._world.after(takes, self._tell, account, lane, call, reply)
            return
        if faults.late and random.random() < faults.late:
            takes = random.uniform(RECEIVE_WINDOW, SETTLES_WITHIN - 0.1)
        said = "unknown" if random.random() < faults.unknown else ""
        if random.random() < faults.cut_off:
            reply.cut_off()
        if said and random.random() < 0.5:
            self._world.after(takes, self._finish, call, reply, 503, said)
            return
        if said:
            self._world.after(takes * random.random(), reply.answer, 503, said)
        self._world.after(takes, self._apply, call, account, lane, Decimal(fields["leverage"]), reply)

    def _key(self, api_key: str) -> Refused | None:
        return None if api_key in self.api_keys else ("refused", 401, "no such key")

    def _refusal(self, account: str, timestamp_ms: int, fields: dict[str, str]) -> Refused | None:
        random, faults, now = self._world.random, self.faults, self._world.now
        if not NOON + now - RECEIVE_WINDOW <= timestamp_ms / 1000 <= NOON + now + 0.5:
            return "clock", 400, "timestamp"
        if not self._counts(account, now):
            return "throttled", 429, "0.5"
        if random.random() < faults.throttled:
            return "fault", 429, f"{random.uniform(0.1, 0.5):.3f}"
        if random.random() < faults.unavailable:
            return "fault", 503, "unavailable"
        if "leverage" in fields and random.random() < faults.refused:
            return "refused", 400, "too high"
        return None

    def _counts(self, account: str, now: float) -> bool:
        received = self._received.setdefault(account, deque())
        while received and received[0] <= now - WINDOW:
            received.popleft()
        received.append(now)
        return self._capacity is None or len(received) <= self._capacity

    def _apply(self, call: dict[str, Any], account: str, lane: str, value: Decimal, reply: WayBack) -> None:
        self.values[account, lane] = value
        call["verdict"], call["applied_at"] = "applied", NOON + self._world.now
        self._finish(call, reply, 200, str(value))

    def _tell(self, account: str, lane: str, call: dict[str, Any], reply: WayBack) -> None:
        self._finish(call, reply, 200, str(self.values.get((account, lane), Decimal(0))))

    def _finish(self, call: dict[str, Any], reply: WayBack, status: int, text: str) -> None:
        call["status"], call["finished_at"] = status, NOON + self._world.now
        reply.answer(status, text, {"Retry-After": text} if status in LIMITED else {})

    def journal(self) -> list[history.Call]:
        """What the checker reads."""
        return [history.Call(**call) for call in self.calls]

    def send_of(self, request: HttpRequest, origin: Origin, *, is_on_the_wire: bool) -> history.Send:
        """What a call wants that somebody tries."""
        fields = dict(parse_qsl(request.target))
        account = fields["account"].partition(".")[0]
        return history.Send(
            instance=origin.instance,
            is_on_the_wire=is_on_the_wire,
            at=NOON + origin.sent_at,
            lane_key=f"{self._name}:{account}:{fields['lane']}",
            value=Decimal(fields["leverage"]),
        )

    def final(self) -> dict[str, Decimal]:
        """What it has at the end."""
        return {f"{self._name}:{account}:{lane}": value for (account, lane), value in self.values.items()}
