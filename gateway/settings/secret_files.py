"""Reads the files that hold one secret each, and says what is wrong with one that cannot be meant.

The settings' checks try every file here; whoever uses a secret reads it here too. Neither its text nor the file's name
is ever told: whoever pastes a secret where a name belongs must not read it in a log.
"""

from pathlib import Path

BYTE_ORDER_MARK = "\ufeff"


class SecretFileError(Exception):
    """Raised where a file holds no secret that could be meant; `problem` says what would be right."""

    def __init__(self, setting: str, problem: str) -> None:
        super().__init__(f"{setting}: {problem}")
        self.setting = setting
        self.problem = problem


def read_text(setting: str, path: Path) -> str:
    """The text of a file, without the white space around it; SecretFileError where there is none."""
    try:
        text = path.read_text("utf-8").strip()
    except UnicodeDecodeError:
        raise SecretFileError(setting, "the file is not text (UTF-8)") from None
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "no such name"
        raise SecretFileError(setting, f"the file cannot be read: {why}") from None
    if text.startswith(BYTE_ORDER_MARK):
        raise SecretFileError(setting, "the file begins with a byte-order mark; store it as UTF-8 without one")
    if not text:
        raise SecretFileError(setting, "the file is empty")
    return text


def read_password(setting: str, path: Path) -> str:
    """A password: one line, which may have spaces inside; SecretFileError for anything else."""
    text = read_text(setting, path)
    if not text.isprintable():
        raise SecretFileError(setting, "the file must hold one line of printable text and nothing else")
    return text


def read_token(setting: str, path: Path) -> str:
    """A bearer token: visible ASCII characters without spaces, as a header takes them; SecretFileError else."""
    text = read_text(setting, path)
    if not (text.isascii() and text.isprintable()) or " " in text:
        raise SecretFileError(setting, "the file must hold one token of visible ASCII characters and nothing else")
    return text
