"""A settings file in a folder of secrets, loaded."""

from pathlib import Path

import pytest

from gateway.settings.file import SettingsError, load_settings
from gateway.settings.tree import Settings

SECRET = "PLEASE-never-show-7f3c9d"
LIMITS = {"okx": ("set_leverage",), "binance_margin": ("uid_weight", "ip_calls")}
ACCOUNT = """
[accounts.desk-1.binance_usdm]
api_key_file = "key"
api_secret_file = "secret"
"""
OKX = """
[accounts.desk-1.okx]
api_key_file = "key"
api_secret_file = "secret"
passphrase_file = "passphrase"
"""


def load(folder: Path, text: str, **environ: str) -> Settings:
    path = folder / "gateway.toml"
    path.write_text(text)
    return load_settings(path, environ, limit_names=LIMITS)


def refusal(folder: Path, text: str, **environ: str) -> str:
    with pytest.raises(SettingsError) as refused:
        load(folder, text, **environ)
    return str(refused.value)
