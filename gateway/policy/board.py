"""What the policy topic says: record after record is taken or refused, the same by every replica.

Tighten alone, loosen together: where the settings name operators, a record that tightens needs one of them, one that
loosens needs two, fresh, and for exactly what it replaces. A refused record changes nothing. Where it is all there is
of its key, so that what held before is not known any more, its scope counts as frozen.
"""

from functools import cached_property
from types import MappingProxyType

from msgspec import Struct

from gateway.policy.file import PolicyFileError, hash_of, read_rulebook
from gateway.policy.freezes import TIGHTNESS, Stop, stop_of
from gateway.policy.index import RuleIndex
from gateway.policy.loosening import loosened
from gateway.policy.rules import Rulebook, Rules
from gateway.policy.signatures import OperatorKeys, signers
from schemas import DecodeError, Freeze, PolicyApplied, Scope
from schemas.policy import CANDIDATE_KEY, POLICY_KEY, PolicyRecord, decode_policy_record

FRESH = 900.0  # seconds between making a record that loosens and writing it
NO_OPERATORS: OperatorKeys = MappingProxyType({})
UNREADABLE = "freeze:unreadable-record"


class PolicyRefusedError(Exception):
    """Raised where every replica would refuse a record; its text says why. It was not written."""


class Ruling(Struct, frozen=True, kw_only=True, dict=True):
    """What holds now.

    Attributes:
        policy: the rules; None: there are none.
        candidate: those in shadow.
        stops: scopes that are frozen or may only lower.
        since: when the rules were applied, in wall seconds.
    """

    policy: RuleIndex | None = None
    candidate: RuleIndex | None = None
    stops: tuple[Stop, ...] = ()
    since: float | None = None

    @cached_property
    def asks_past(self) -> bool:
        """Whether commands may have to be judged by what their lanes have or had, or by how many came."""
        return any(book.asks_past for book in self._books) or any(not stop.is_frozen for stop in self.stops)

    @cached_property
    def horizon(self) -> float:
        """How far back rules ask, in seconds."""
        return max((book.horizon for book in self._books), default=0.0)

    @property
    def _books(self) -> tuple[RuleIndex, ...]:
        return tuple(book for book in (self.policy, self.candidate) if book is not None)


class Board:
    """The last record taken of each key.

    Attributes:
        ruling: what comes of them.
        applied: `policy` and `candidate`.
        freezes: by key, also those that are open again.
    """

    def __init__(self, operators: OperatorKeys = NO_OPERATORS) -> None:
        self._operators = operators
        self._books: dict[str, Rulebook] = {}
        self._unreadable: set[str] = set()
        self._indexes: dict[str, RuleIndex] = {}
        self.applied: dict[str, PolicyApplied] = {}
        self.freezes: dict[str, Freeze] = {}
        self.ruling = Ruling()

    def take(self, key: str, value: bytes | None, written_at: float) -> str | None:
        """Take one record in, `written_at` in the broker's wall seconds; why not, where it is refused."""
        try:
            record = _decode(key, value)
            objection = self.objection(record, written_at)
        except (DecodeError, PolicyFileError) as error:
            objection = f"not readable: {error}"
            record = None
        if objection is None and record is not None:
            self._keep(record)
        elif self.current(key) is None and value is not None and key != CANDIDATE_KEY:
            self._unreadable.add(key)
        self.ruling = self._ruling()
        return objection

    def current(self, key: str) -> PolicyRecord | None:
        """The record of a key that holds."""
        return self.applied.get(key) or self.freezes.get(key)

    def what_loosens(self, record: PolicyRecord) -> list[str]:
        """What a record would take back of what holds now; empty where it only tightens, or needs no second look."""
        match record:
            case PolicyApplied(role="candidate"):
                return []
            case PolicyApplied():
                held = self._books.get(POLICY_KEY)
                ruling: Rules = () if held is None else held.rules
                return loosened(ruling, read_rulebook(record.file).rules)
            case Freeze():
                current = self.freezes.get(record.key)
                is_loose = current is not None and TIGHTNESS[record.state] < TIGHTNESS[current.state]
                return [record.key] if is_loose else []

    def objection(self, record: PolicyRecord, written_at: float) -> str | None:
        """Why a record would not be taken now; PolicyFileError where its rules cannot be read."""
        current = self.current(record.key)
        loose = self.what_loosens(record)
        is_orphan = current is None and record.replaces is not None and not _is_tightest(record)
        if current is not None and loose and record.replaces != current.id:
            return (
                f"it replaces {record.replaces or 'nothing'}, and {current.id} holds now: made before that, or replayed"
            )
        if not self._operators:
            return None
        signed, wrong = signers(record, self._operators)
        needed = 2 if loose or is_orphan else 1
        if len(signed) < needed:
            what = f"loosens {', '.join(loose[:5])}" if loose else "changes what holds"
            told = (
                f"{what} and is signed by {', '.join(sorted(signed)) or 'nobody'}; it needs {needed} of the operators"
            )
            return "; ".join([told, *wrong])
        if needed > 1 and abs(written_at - record.at.timestamp()) > FRESH:
            return f"signed for {record.at} and written more than {FRESH:g} s from then"
        return None

    def _keep(self, record: PolicyRecord) -> None:
        self._unreadable.discard(record.key)
        if isinstance(record, Freeze):
            self.freezes[record.key] = record
            return
        book = read_rulebook(record.file)
        self.applied[record.key] = record
        self._books[record.key] = book
        self._indexes[record.key] = RuleIndex(book)
        if record.role == "policy" and (tried := self.applied.get(CANDIDATE_KEY)) and tried.hash == record.hash:
            del self.applied[CANDIDATE_KEY], self._books[CANDIDATE_KEY], self._indexes[CANDIDATE_KEY]  # promoted

    def _ruling(self) -> Ruling:
        stops = [stop_of(freeze) for freeze in self.freezes.values() if freeze.state != "open"]
        stops += [_stop_of_unreadable(key) for key in sorted(self._unreadable)]
        policy = self.applied.get(POLICY_KEY)
        return Ruling(
            policy=self._indexes.get(POLICY_KEY),
            candidate=self._indexes.get(CANDIDATE_KEY),
            stops=tuple(stops),
            since=None if policy is None else policy.at.timestamp(),
        )


def _decode(key: str, value: bytes | None) -> PolicyRecord:
    if value is None:
        raise DecodeError("a record without a value; take a freeze back with `thaw`, rules with an empty file")
    record = decode_policy_record(value)
    if record.key != key:
        raise DecodeError(f"its key {key[:128]!r} is not {record.key!r}")
    if isinstance(record, PolicyApplied) and hash_of(record.file) != record.hash:
        raise DecodeError("its hash is not that of its file")
    return record


def _is_tightest(record: PolicyRecord) -> bool:
    return isinstance(record, Freeze) and record.state == "frozen"


def _stop_of_unreadable(key: str) -> Stop:
    told = f"the record {key[:128]!r} of the policy topic is not to be trusted, and what held before it is not known"
    return Stop(name=UNREADABLE, scope=Scope(), is_frozen=True, told=told)
