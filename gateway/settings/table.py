"""Every setting with its default and meaning, as the README lists them; made from the tree itself."""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Annotated, Any, NamedTuple, get_args, get_origin

import msgspec
from msgspec import Meta, Struct

from gateway.settings.tree import AccountSettings, Settings, VenuesSettings

# Of tables that are alike one stands for all; names that a user chooses stand in angle brackets.
_ALIKE: Mapping[type[Struct], str] = MappingProxyType({VenuesSettings: "<venue>", AccountSettings: "<venue>"})
_CHOSEN: Mapping[str, str] = MappingProxyType(
    {"accounts": "<account>", "limits": "<limit>", "operators": "<operator>", "tokens": "<name>"}
)


class SettingRow(NamedTuple):
    """One setting as the README lists it."""

    path: str
    default: str
    meaning: str


def settings_rows() -> list[SettingRow]:
    """All settings in the order of the tree; ValueError names one without a description."""
    return list(_rows(Settings, ()))


def markdown_table() -> str:
    """The README's table of settings."""
    lines = ["| setting | default | meaning |", "| --- | --- | --- |"]
    lines += [f"| `{row.path}` | {row.default} | {row.meaning} |" for row in settings_rows()]
    return "\n".join(lines) + "\n"


def _rows(table: type[Struct], path: tuple[str, ...]) -> Iterator[SettingRow]:
    fields = msgspec.structs.fields(table)
    for field in fields[:1] if table in _ALIKE else fields:
        here = (*path, _ALIKE.get(table, field.name))
        inner = _table_of(field.type)
        if inner is None:
            yield _row(field, here)
        else:
            chosen = _CHOSEN.get(field.name)
            yield from _rows(inner, here if chosen is None else (*here, chosen))


def _row(field: msgspec.structs.FieldInfo, path: tuple[str, ...]) -> SettingRow:
    meaning = " ".join(meta.description for meta in _metas(field.type) if meta.description)
    if not meaning:
        raise ValueError(f"{'.'.join(path)} has no description")
    return SettingRow(".".join(path), _shown(field.default), meaning)


def _shown(default: Any) -> str:
    if default is msgspec.NODEFAULT:
        return "must be given"
    return "none" if default is None else f"`{msgspec.json.encode(default).decode()}`"


def _table_of(kind: Any) -> type[Struct] | None:
    for part in (kind, *get_args(kind)):
        if isinstance(part, type) and issubclass(part, Struct):
            return part
    return None


def _metas(kind: Any) -> list[Meta]:
    own = [part for part in get_args(kind) if isinstance(part, Meta)] if get_origin(kind) is Annotated else []
    return own + [meta for part in get_args(kind) for meta in _metas(part)]
