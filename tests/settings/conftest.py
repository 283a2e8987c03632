"""The folder that each test of settings writes its file into."""

from pathlib import Path

import pytest

from tests.settings.folder import SECRET


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("key", "secret", "passphrase", "pem", "password", "ca.pem"):
        (tmp_path / name).write_text(SECRET)
        (tmp_path / name).chmod(0o600)
    (tmp_path / "blank").write_text(" \n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe" + SECRET.encode())
    (tmp_path / "lines").write_text(f"{SECRET}\nsecond")
    (tmp_path / "marked").write_bytes(b"\xef\xbb\xbf" + SECRET.encode())
    (tmp_path / "directory").mkdir()
    return tmp_path
