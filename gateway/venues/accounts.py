"""Whose keys sign: the credentials of every account, re-read when their files change, and who is stopped.

`pipeline.intake` asks whether an account is known, `pipeline.execute` for its keys; `app` runs the watch.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import get_args

from gateway.outcomes import Refusal
from gateway.settings.tree import AccountSettings, CredentialSettings
from gateway.venues.credentials import Credentials
from gateway.venues.keys import CredentialError, fingerprint, load_credentials
from schemas import VenueName

LOOK_INTERVAL = 5.0  # seconds between two looks at the files
VENUES: tuple[VenueName, ...] = get_args(VenueName)
AccountKey = tuple[VenueName, str]


class Accounts:
    """The credentials of all accounts, by venue and account."""

    def __init__(
        self, accounts: dict[str, AccountSettings], base_dir: Path, *, keys_changed: Callable[[], None] = lambda: None
    ) -> None:
        """Read every credential; CredentialError where one cannot be used.

        `keys_changed` is called before keys are used that were read anew.
        """
        self._keys_changed = keys_changed
        self._base_dir = base_dir
        self._settings = _by_venue(accounts)
        self._seen = {key: fingerprint(one, base_dir) for key, one in self._settings.items()}
        self._credentials = {key: load_credentials(one, base_dir) for key, one in self._settings.items()}
        self._stopped: dict[AccountKey, str] = {}

    @property
    def stopped(self) -> dict[AccountKey, str]:
        """Accounts whose keys a venue refused, with what it said."""
        return dict(self._stopped)

    def knows(self, venue: VenueName, account: str) -> bool:
        """Whether the settings name credentials for it."""
        return (venue, account) in self._settings

    def credentials(self, venue: VenueName, account: str) -> Credentials | Refusal:
        """The keys to sign with, or why none may be used now."""
        why = self._stopped.get((venue, account))
        if why is None:
            return self._credentials[venue, account]
        message = f"{venue} refused the keys of {account}, and no call is made until their files change: {why}"
        return Refusal(reason="unauthorised", message=message)

    def stop(self, venue: VenueName, account: str, message: str) -> None:
        """Make no more calls with these keys."""
        self._stopped[venue, account] = message

    async def watch(self) -> None:
        """Look for changed files for ever; keys that changed are read anew and start again."""
        while True:
            await asyncio.sleep(LOOK_INTERVAL)
            self.reload()

    def reload(self) -> list[AccountKey]:
        """Read the credentials whose files changed; half-written files are left for the next look."""
        changed: list[AccountKey] = []
        for key, settings in self._settings.items():
            seen = fingerprint(settings, self._base_dir)
            if seen == self._seen[key]:
                continue
            try:
                credentials = load_credentials(settings, self._base_dir)
            except CredentialError:
                continue
            self._keys_changed()
            self._credentials[key] = credentials
            self._seen[key] = seen
            self._stopped.pop(key, None)
            changed.append(key)
        return changed


def _by_venue(accounts: dict[str, AccountSettings]) -> dict[AccountKey, CredentialSettings]:
    return {
        (venue, name): credentials
        for name, account in accounts.items()
        for venue in VENUES
        if (credentials := getattr(account, venue)) is not None
    }
