"""Whose keys sign: the credentials of every account, re-read when their files change, and who is stopped.

`pipeline.intake` asks whether an account is known, `pipeline.serve` for its keys, `calls.venue_caller` tells what the
venue thinks of them; `app` runs the watch. An account whose keys are refused:

```
started ──refused──▶ stopped ──pause is over──▶ one call finds out ──accepted──▶ started
                       ▲                              │
                       └───refused: a longer pause────┘            new files: started at once
```

From a rotation until the venue has taken the new keys, both are tried: who refuses the one is asked with the other, and
an account is stopped where both are refused. So files that are written before the venue knows the keys, or after it has
revoked the old ones, stop no account for long.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, Protocol

from gateway.clock import Clock
from gateway.outcomes import Refusal
from gateway.settings.tree import AccountSettings, CredentialSettings
from gateway.venues.credentials import Credentials
from gateway.venues.keys import CredentialError, fingerprint, load_credentials
from schemas import VenueName
from schemas.targets import VENUES

LOOK_INTERVAL = 5.0  # seconds between two looks at the files
FIRST_PAUSE, LONGEST_PAUSE = 5.0, 600.0  # seconds until refused keys are tried again
AccountKey = tuple[VenueName, str]


class KeyObserver(Protocol):
    """Is told what happens to keys; never the keys."""

    def reloaded_keys(self, venue: VenueName, account: str) -> None:
        """New files are used from now on."""
        ...

    def kept_old_keys(self, venue: VenueName, account: str, setting: str, problem: str) -> None:
        """New files cannot be used, so the keys read before stay in use."""
        ...

    def returned_to_old_keys(self, venue: VenueName, account: str, message: str) -> None:
        """The venue refused the new keys, so the ones before them are used again."""
        ...

    def stopped_account(self, venue: VenueName, account: str, message: str, pause: float) -> None:
        """The venue refused the keys; they are tried again after the pause."""
        ...

    def started_account(self, venue: VenueName, account: str) -> None:
        """The venue takes the keys again."""
        ...


class _Other(NamedTuple):
    """The keys of an account that are not in use now; `is_refused` since the venue took any of them last."""

    credentials: Credentials
    is_newest: bool
    is_refused: bool


class _Stop:
    """Why an account is stopped, and when its keys are tried again (monotonic)."""

    __slots__ = ("is_probed", "message", "pause", "probe_at")

    def __init__(self, message: str, pause: float, now: float) -> None:
        self.message = message
        self.pause = pause
        self.probe_at = now + pause
        self.is_probed = False


class Accounts:
    """The credentials of all accounts, by venue and account."""

    def __init__(
        self,
        accounts: dict[str, AccountSettings],
        base_dir: Path,
        *,
        clock: Clock,
        observer: KeyObserver,
        keys_changed: Callable[[], None] = lambda: None,
    ) -> None:
        """Read every credential; CredentialError where one cannot be used.

        `keys_changed` is called before keys are used that were read anew.
        """
        self._keys_changed = keys_changed
        self._base_dir = base_dir
        self._clock = clock
        self._observer = observer
        self._settings = _by_venue(accounts)
        self._seen = {key: fingerprint(one, base_dir) for key, one in self._settings.items()}
        self._unusable: dict[AccountKey, object] = {}
        self._credentials = {key: load_credentials(one, base_dir) for key, one in self._settings.items()}
        self._others: dict[AccountKey, _Other] = {}  # until the venue has taken the newest
        self._users: dict[AccountKey, str] = {}
        self._user_of_key: dict[tuple[VenueName, str], str] = {}
        for key in sorted(self._settings):
            self._join_users(key)
        self._stopped: dict[AccountKey, _Stop] = {}

    @property
    def stopped(self) -> dict[AccountKey, str]:
        """Accounts whose keys a venue refused, with what it said."""
        return {key: stop.message for key, stop in self._stopped.items()}

    def knows(self, venue: VenueName, account: str) -> bool:
        """Whether the settings name credentials for it."""
        return (venue, account) in self._settings

    def user(self, venue: VenueName, account: str) -> str:
        """The name under which the venue's limits count this account: accounts with one key are one user.

        Accounts that had one key once stay one user: too few calls are no harm, too many are.
        """
        return self._users.get((venue, account), account)

    def credentials(self, venue: VenueName, account: str) -> Credentials | Refusal:
        """The keys to sign with, or why none may be used now."""
        stop = self._stopped.get((venue, account))
        now = self._clock.monotonic()
        if stop is None or stop.probe_at <= now:
            if stop is not None:
                # Whoever asked finds out; should it not, the next one does after a pause.
                stop.is_probed, stop.probe_at = True, now + stop.pause
            return self._credentials[venue, account]
        message = f"{venue} refused the keys of {account}, and they are tried again later: {stop.message}"
        retry_at = self._clock.wall() + stop.probe_at - now
        return Refusal(reason="unauthorised", message=message, retry_at=retry_at)

    def refused(self, venue: VenueName, account: str, credentials: Credentials, message: str) -> None:
        """Try the account's other keys, if there are any; stop it, where those were refused as well.

        Keys that are not in use any more are not looked at.
        """
        key = (venue, account)
        if self._credentials[key] is not credentials:
            return
        other = self._others.get(key)
        if other is not None:
            self._credentials[key] = other.credentials
            self._others[key] = _Other(credentials, is_newest=not other.is_newest, is_refused=True)
            if not other.is_refused:
                self._tell_of_other_keys(key, message, is_newest=other.is_newest)
                return
        before = self._stopped.get(key)
        if before is not None and not before.is_probed:
            return  # it was under way when another one stopped the account
        pause = FIRST_PAUSE if before is None else min(LONGEST_PAUSE, 2 * before.pause)
        self._stopped[key] = _Stop(message, pause, self._clock.monotonic())
        self._observer.stopped_account(venue, account, message, pause)

    def accepted(self, venue: VenueName, account: str, credentials: Credentials) -> None:
        """Start the account again, if it is stopped; once its newest keys are taken, those before are of no use.

        Keys that are not in use any more are not looked at.
        """
        if self._credentials[venue, account] is not credentials:
            return
        other = self._others.get((venue, account))
        if other is not None and not other.is_newest:
            del self._others[venue, account]
        elif other is not None:
            self._others[venue, account] = other._replace(is_refused=False)
        if self._stopped.pop((venue, account), None) is not None:
            self._observer.started_account(venue, account)

    async def watch(self) -> None:
        """Look for changed files for ever; keys that changed are read anew and start again."""
        while True:
            await asyncio.sleep(LOOK_INTERVAL)
            self.reload()

    def reload(self) -> list[AccountKey]:
        """Read the credentials whose files changed; while those cannot be used, the old ones stay."""
        changed: list[AccountKey] = []
        for key, settings in self._settings.items():
            seen = fingerprint(settings, self._base_dir)
            if seen != self._seen[key] and seen != self._unusable.get(key) and self._read(key, settings, seen):
                changed.append(key)
        return changed

    def _read(self, key: AccountKey, settings: CredentialSettings, seen: tuple[tuple[int, int, int], ...]) -> bool:
        try:
            credentials = load_credentials(settings, self._base_dir)
        except CredentialError as error:
            self._unusable[key] = seen
            self._observer.kept_old_keys(*key, error.setting, error.problem)
            return False
        self._keys_changed()
        other = _Other(self._credentials[key], is_newest=False, is_refused=key in self._stopped)
        self._others[key] = other
        self._credentials[key] = credentials
        self._seen[key] = seen
        self._unusable.pop(key, None)
        self._stopped.pop(key, None)
        self._join_users(key)
        self._observer.reloaded_keys(*key)
        return True

    def _tell_of_other_keys(self, key: AccountKey, message: str, *, is_newest: bool) -> None:
        if is_newest:
            self._observer.reloaded_keys(*key)
        else:
            self._observer.returned_to_old_keys(*key, message)

    def _join_users(self, key: AccountKey) -> None:
        venue, account = key
        mine = self._users.setdefault(key, account)
        first = self._user_of_key.setdefault((venue, self._credentials[key].api_key), mine)
        if first != mine:
            joining = [other for other, user in self._users.items() if other[0] == venue and user == mine]
            self._users |= dict.fromkeys(joining, first)


def accounts_of_one_user(accounts: dict[str, AccountSettings], base_dir: Path) -> list[tuple[VenueName, list[str]]]:
    """Accounts of one venue that have one API key, and so one budget; files that cannot be read are left out."""
    found: dict[tuple[VenueName, str], list[str]] = {}
    for (venue, account), settings in _by_venue(accounts).items():
        try:
            api_key = load_credentials(settings, base_dir).api_key
        except CredentialError:
            continue
        found.setdefault((venue, api_key), []).append(account)
    return [(venue, names) for (venue, _), names in found.items() if len(names) > 1]


def _by_venue(accounts: dict[str, AccountSettings]) -> dict[AccountKey, CredentialSettings]:
    return {
        (venue, name): credentials
        for name, account in accounts.items()
        for venue in VENUES
        if (credentials := getattr(account, venue)) is not None
    }
