"""What the checks of settings say: where something is wrong, and what would be right."""

from collections.abc import Collection, Mapping

SettingPath = tuple[str, ...]
Finding = tuple[SettingPath, str]
LimitNames = Mapping[str, Collection[str]]
