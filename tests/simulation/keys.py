"""The key files of one run, and how they are rotated: at the venue, in the files, and in whichever order."""

import shutil
from pathlib import Path
from tempfile import mkdtemp

from gateway.settings.tree import AccountSettings, CredentialSettings
from schemas import VenueName


class KeyFiles:
    """Written in a folder of its own; each account has keys of its own at each venue."""

    def __init__(self, accounts: tuple[str, ...], venues: tuple[VenueName, ...]) -> None:
        self.folder = Path(mkdtemp(prefix="keys-"))
        self.settings = {
            account: AccountSettings(**{venue: self._credentials(venue, account) for venue in venues})
            for account in accounts
        }
        for account in accounts:
            for venue in venues:
                self.write(venue, account, 1)

    def write(self, venue: VenueName, account: str, number: int) -> None:
        """Let an account have its keys of a number."""
        names = self._credentials(venue, account)
        (self.folder / names.api_key_file).write_text(f"{account}.{number}")
        (self.folder / (names.api_secret_file or "")).write_text(f"secret-{number}" + "\n" * (number - 1))

    def remove(self) -> None:
        """Leave nothing behind."""
        shutil.rmtree(self.folder)

    def _credentials(self, venue: VenueName, account: str) -> CredentialSettings:
        return CredentialSettings(api_key_file=f"{venue}-{account}", api_secret_file=f"{venue}-{account}-secret")
