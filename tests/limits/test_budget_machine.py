"""No interleaving of requests, cancellations, ends, freezes and time breaks a window, starves a waiter or loses a token."""

from math import inf

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from gateway.limits.budget import Budget, Key, PermitRequest
from gateway.limits.limit import Cost, Limit, LimitPolicy

LIMITS = (
    Limit(name="slow", scope="ip", capacity=2, window=7.0),
    Limit(name="address", scope="ip", capacity=10, window=5.0),
    Limit(name="own", scope="account", capacity=4, window=2.0),
    Limit(name="told", scope="ip", capacity=12, window=6.0, usage_header="X-USED"),
)
WINDOWS = {limit.name: limit.window for limit in LIMITS}
START = 1000.0
NEVER = inf


class Call:
    """A granted request as the venue may see it: counted at any instant from `began` to `ended`."""

    def __init__(self, request: PermitRequest, began: float) -> None:
        self.request = request
        self.began = began
        self.ended = NEVER

    def weight(self, key: Key) -> int:
        return sum(weight for scope, weight in self.request.needs if scope.key == key)


class BudgetMachine(RuleBasedStateMachine):
    """A budget, and a history of all calls from which every window is checked anew."""

    requests = Bundle("requests")

    def __init__(self) -> None:
        super().__init__()
        self.now = START
        self.overrides = {"slow": LimitPolicy(assume_spent=False)}
        self.budget = Budget(LIMITS, self.overrides, START)
        self.waiting: list[PermitRequest] = []
        self.calls: dict[PermitRequest, Call] = {}
        self.wake = inf
        self.foreign: dict[int, int] = {}
        self.counted: dict[int, int] = {}

    def serve(self) -> list[PermitRequest]:
        granted, self.wake = self.budget.grant(self.now)
        for request in granted:
            self.waiting.remove(request)
            self.calls[request] = Call(request, self.now)
            for scope, _ in request.needs:
                assert scope.bucket.frozen_until <= self.now
                self.check_windows(scope.key, scope.bucket.capacity)
        return granted

    def check_windows(self, key: Key, capacity: int) -> None:
        """Whenever the venue counted the calls: no window that ends now can hold more than the limit."""
        since = self.now - WINDOWS[key.limit]
        assert sum(call.weight(key) for call in self.calls.values() if call.ended >= since) <= capacity

    @rule(
        target=requests,
        account=st.sampled_from("ab"),
        costs=st.dictionaries(st.sampled_from(["address", "own", "told", "slow"]), st.integers(1, 4), min_size=1),
    )
    def ask(self, account: str, costs: dict[str, int]) -> PermitRequest:
        costs["slow"] = min(costs.get("slow", 0), 2)
        request = self.budget.request(account, [Cost(limit, weight) for limit, weight in costs.items()])
        self.waiting.append(request)
        self.serve()
        return request

    @rule(request=consumes(requests))
    def end(self, request: PermitRequest) -> None:
        if request in self.waiting:
            self.waiting.remove(request)
            self.budget.cancel(request)
        else:
            self.finish(request, used=None)
        self.serve()

    @rule(request=consumes(requests))
    def never_send(self, request: PermitRequest) -> None:
        if request in self.waiting:
            self.waiting.remove(request)
        else:
            del self.calls[request]
        self.budget.cancel(request)
        self.serve()

    @rule(request=consumes(requests), others=st.integers(0, 5))
    def answer(self, request: PermitRequest, others: int) -> None:
        if request in self.waiting:
            self.waiting.remove(request)
            self.budget.cancel(request)
        else:
            number = int(self.now // WINDOWS["told"])
            weight = self.calls[request].weight(Key("told", ""))
            self.counted[number] = self.counted.get(number, 0) + weight + others
            self.finish(request, used=self.counted[number])
        self.serve()

    def finish(self, request: PermitRequest, used: int | None) -> None:
        self.calls[request].ended = self.now
        for (scope, _), hold in zip(request.needs, request.holds, strict=True):
            if used is not None and scope.key.limit == "told":
                hold.bucket.answered(hold, used, self.now, self.now)
            else:
                hold.bucket.ended(hold, self.now)

    @rule(seconds=st.floats(0.001, 9.0))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.serve()

    @rule(fraction=st.floats(0.0, 1.0, exclude_max=True))
    def wait_for_the_timer(self, fraction: float) -> None:
        if self.wake == inf:
            return
        early = self.now + (self.wake - self.now) * fraction
        if early < self.wake - 0.01:
            due = self.wake
            self.now = early
            assert self.serve() == [], "could have been served before its timer"
            self.now = due
        self.serve()

    @rule(limit=st.sampled_from(["address", "own"]), account=st.sampled_from("ab"), seconds=st.floats(0.1, 5.0))
    def freeze(self, limit: str, account: str, seconds: float) -> None:
        self.budget.scope(limit, account).bucket.freeze(self.now + seconds)
        self.serve()

    @rule(capacity=st.integers(6, 14))
    def resize(self, capacity: int) -> None:
        for request in self.budget.resize("address", capacity):
            self.waiting.remove(request)
        self.serve()

    @invariant()
    def tokens_are_conserved(self) -> None:
        for scope in self.budget.scopes:
            in_flight = sum(call.weight(scope.key) for call in self.calls.values() if call.ended == NEVER)
            assert scope.bucket.held == in_flight

    @invariant()
    def each_line_is_first_come_first_served(self) -> None:
        for one in self.waiting:
            for call in self.calls.values():
                if {s for s, _ in one.needs} == {s for s, _ in call.request.needs}:
                    assert call.request.number < one.number

    def teardown(self) -> None:
        """When every call ends at once, all who wait are served in bounded time; then all tokens are back."""
        budgeted = self.now + 20.0 + 2 * 7.0 * (len(self.waiting) + 2)
        while True:
            for request in [request for request, call in self.calls.items() if call.ended == NEVER]:
                self.finish(request, used=None)
            self.serve()
            if not self.waiting:
                break
            if all(call.ended < NEVER for call in self.calls.values()):
                assert self.wake > self.now
                assert self.wake < inf, "waits for nothing"
                self.now = self.wake
                assert self.now < budgeted, "starved"
        for request in [request for request, call in self.calls.items() if call.ended == NEVER]:
            self.finish(request, used=None)
        self.now += 30.0
        for scope in self.budget.scopes:
            assert scope.bucket.used(self.now) == 0
            assert scope.waiting == 0


BudgetMachine.TestCase.settings = settings(
    max_examples=150, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestBudget = BudgetMachine.TestCase
