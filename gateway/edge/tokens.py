"""Who may come in: tokens out of files, the accounts they open, and what for.

The files are read again every few seconds. A token that changed, or whose file is gone, lets nobody in any more, and
whoever came in by it is shown out.
"""

import asyncio
import hmac
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from hashlib import blake2b, sha256
from pathlib import Path
from typing import Literal, Protocol

from gateway.settings.secret_files import SecretFileError, read_token
from gateway.settings.tree import EdgeTokenSettings

Verb = Literal["read", "send", "redrive"]
INTERVAL = 4.0  # seconds between two looks at the files
MISSES = 2  # looks that find no token in a file: it may be in the middle of being replaced at one


class Rights:
    """Which accounts somebody may see, as patterns; two of the same patterns are the same rights.

    Attributes:
        digest: the same for the same patterns, whoever has them.
    """

    def __init__(self, patterns: Iterable[str]) -> None:
        self._patterns = tuple(sorted(set(patterns)))
        self._known: dict[str, bool] = {}
        self.digest = blake2b("\0".join(self._patterns).encode(), digest_size=8).digest()

    def allow(self, account: str) -> bool:
        """Whether the account is among them."""
        known = self._known.get(account)
        if known is None:
            known = any(fnmatchcase(account, pattern) for pattern in self._patterns)
            if len(self._known) < MOST_KNOWN:
                self._known[account] = known
        return known


MOST_KNOWN = 100_000  # accounts whose verdict is remembered; strangers may ask for any name


class Token:
    """Somebody known by name, for as long as the token that came in is the one of the file.

    Attributes:
        is_valid: False once the file holds another.
    """

    def __init__(self, name: str, rights: Rights, verbs: Iterable[Verb]) -> None:
        self.name = name
        self.rights = rights
        self.verbs = frozenset(verbs)
        self.is_valid = True


class TokensObserver(Protocol):
    """Who is told of changed tokens."""

    def changed_token(self, name: str) -> None:
        """A file holds another token."""
        ...

    def lost_token(self, name: str, problem: str) -> None:
        """A file holds no token any more."""
        ...


class Tokens:
    """All tokens of the settings."""

    def __init__(self, settings: Mapping[str, EdgeTokenSettings], base_dir: Path, observer: TokensObserver) -> None:
        self._settings = settings
        self._base_dir = base_dir
        self._observer = observer
        self._held: dict[str, tuple[bytes, Token]] = {}
        self._by_digest: dict[bytes, Token] = {}
        self._misses: dict[str, int] = {}
        self._take(self._read())

    def find(self, text: str) -> Token | None:
        """Whose token this is; None where it is nobody's.

        What is compared are hashes, so the time that it takes tells nothing of a token.
        """
        digest = sha256(text.encode("utf-8", "surrogateescape")).digest()
        found = self._by_digest.get(digest)
        return found if found is not None and hmac.compare_digest(self._held[found.name][0], digest) else None

    async def watch(self) -> None:
        """Look at the files for ever."""
        while True:
            await asyncio.sleep(INTERVAL)
            await self.look()

    async def look(self) -> None:
        """Look at the files once."""
        self._take(await asyncio.to_thread(self._read))

    def _read(self) -> dict[str, bytes | str]:
        """By name the digest of what its file holds, or what is wrong with it."""
        found: dict[str, bytes | str] = {}
        for name, token in self._settings.items():
            try:
                text = read_token(f"edge.tokens.{name}.token_file", self._base_dir / token.token_file)
                found[name] = sha256(text.encode()).digest()
            except SecretFileError as error:
                found[name] = error.problem
        return found

    def _take(self, found: Mapping[str, bytes | str]) -> None:
        for name, digest in found.items():
            if isinstance(digest, str):
                self._miss(name, digest)
                continue
            self._misses.pop(name, None)
            held = self._held.get(name)
            if held is None or held[0] != digest:
                self._put(name, digest)
                if held is not None:
                    self._observer.changed_token(name)
        self._by_digest = dict(self._held.values())

    def _miss(self, name: str, problem: str) -> None:
        self._misses[name] = self._misses.get(name, 0) + 1
        if self._misses[name] >= MISSES and name in self._held:
            self._held.pop(name)[1].is_valid = False
            self._observer.lost_token(name, problem)

    def _put(self, name: str, digest: bytes) -> None:
        if name in self._held:
            self._held[name][1].is_valid = False
        settings = self._settings[name]
        self._held[name] = digest, Token(name, Rights(settings.accounts), settings.verbs)
