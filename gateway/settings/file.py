"""Reads the settings: defaults < TOML file < environment; every wrong setting is told at once, by file and path.

`checks` then looks at what the types cannot say. Values are never repeated in a message: a secret put in the
wrong place must not show.

An environment variable is `GATEWAY_` and the path in capitals, levels joined by `__`, every other character than
letters, digits and `_` written as `_`: `accounts.desk-1.okx.simulated` is `GATEWAY_ACCOUNTS__DESK_1__OKX__SIMULATED`.
Accounts are named in the file; the environment changes them and adds their venues, but makes no new account.
"""

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from itertools import chain
from math import isfinite
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, NamedTuple, cast, get_args, get_origin

import msgspec
from msgspec import Struct

from gateway.settings.checks import check_settings
from gateway.settings.edge_checks import check_edge
from gateway.settings.findings import LimitNames, SettingPath
from gateway.settings.secret_files import BYTE_ORDER_MARK
from gateway.settings.tree import Settings

PREFIX = "GATEWAY_"
LITERAL_SECRETS = frozenset(
    {
        "access_key",
        "api_key",
        "api_secret",
        "apikey",
        "apisecret",
        "key",
        "passphrase",
        "passwd",
        "password",
        "private_key",
        "sasl_password",
        "sasl_plain_password",
        "secret",
        "secret_key",
        "ssl_password",
        "token",
    }
)
# Kubernetes gives every pod such variables for a Service whose name begins with `gateway`; none is a setting's name.
_SERVICE_LINK = re.compile(r"GATEWAY_(.+_)?(SERVICE_HOST|SERVICE_PORT(_.+)?|PORT(_\d+_(TCP|UDP|SCTP)(_.+)?)?)")
_NO_LIMITS: LimitNames = MappingProxyType({})

MISSING = {
    "api_key_file": "name the file that holds the API key",
    "token_file": "name the file that holds the token",
    "accounts": 'say which, as patterns: ["desk-*"], or ["*"] for all of them',
    "verbs": 'say what for: ["read"], ["read", "send"]',
}

Table = dict[str, Any]


class SettingProblem(Struct, frozen=True, kw_only=True):
    """One wrong setting: the file or variable it stands in, its path, and what would be right."""

    source: str
    path: str
    remedy: str

    def __str__(self) -> str:
        return ": ".join(part for part in (self.source, self.path, self.remedy) if part)


class SettingsError(Exception):
    """Raised where settings are wrong; its text has one line for each problem."""

    def __init__(self, problems: Iterable[SettingProblem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


class _Override(NamedTuple):
    variable: str
    text: str


def load_settings(
    path: Path | None,
    environ: Mapping[str, str],
    *,
    limit_names: LimitNames = _NO_LIMITS,
    with_accounts: bool = True,
    with_edge: bool = False,
) -> Settings:
    """Read and check all settings; SettingsError tells everything that is wrong.

    Args:
        path: the TOML file; without one, defaults and the environment.
        environ: the process's environment.
        limit_names: the limits that each venue has, by its name; no entry for a venue leaves its names unchecked.
        with_accounts: False for commands that call no venue: accounts' secret files need not be there.
        with_edge: True for commands that let readers in: their tokens' files must be there.
    """
    table = _read_table(path)
    reader = _Reader(str(path) if path else "settings")
    reader.override(table, environ, limit_names)
    settings: Settings = reader.structure(Settings, table, (), Settings())
    base_dir = base_dir_of(path)
    found = check_settings(settings, base_dir, limit_names, with_accounts=with_accounts, with_edge=with_edge)
    if with_edge and (settings.edge.tokens or not with_accounts):
        found = chain(found, check_edge(settings.edge, base_dir))
    for place, remedy in found:
        reader.report(place, remedy)
    if reader.problems:
        raise SettingsError(reader.problems.values())
    return settings


def base_dir_of(path: Path | None) -> Path:
    """Where relative paths of the settings start: the file's directory, or the working directory without a file.

    Symbolic links are not followed: Kubernetes mounts a file as one, out of a directory that holds nothing else.
    """
    return path.absolute().parent if path else Path.cwd()


def _read_table(path: Path | None) -> Table:
    if path is None:
        return {}
    try:
        return tomllib.loads(path.read_text("utf-8").removeprefix(BYTE_ORDER_MARK))  # as Windows' editors begin a file
    except tomllib.TOMLDecodeError as error:
        remedy = f"not TOML: {error}"
    except UnicodeDecodeError as error:
        remedy = f"not UTF-8 text: byte {error.start}; TOML files are UTF-8"
    except OSError as error:
        remedy = f"cannot be read: {error.strerror}; name the settings file with --config"
    raise SettingsError([SettingProblem(source=str(path), path="", remedy=remedy)])


class _Reader:
    """Builds Structs from tables and keeps every problem, the first of each path."""

    def __init__(self, source: str) -> None:
        self.problems: dict[SettingPath, SettingProblem] = {}
        self._source = source
        self._variables: dict[SettingPath, str] = {}

    def report(self, path: SettingPath, remedy: str) -> None:
        """Note a problem unless its path has one already."""
        variable = self._variables.get(path)
        source = f"environment variable {variable}" if variable else self._source
        self.problems.setdefault(path, SettingProblem(source=source, path=".".join(path), remedy=remedy))

    def override(self, table: Table, environ: Mapping[str, str], limit_names: LimitNames) -> None:
        """Put the environment's values into the table, each under the path its name stands for."""
        names = _variable_names(table, limit_names)
        for variable in sorted(environ):
            if not variable.startswith(PREFIX) or _SERVICE_LINK.fullmatch(variable):
                continue
            paths = names.get(variable, [])
            if len(paths) == 1:
                self._variables[paths[0]] = variable
                _put(table, paths[0], _Override(variable, environ[variable]))
            else:
                remedy = _ambiguous(paths) if paths else _unknown_variable(variable, names)
                problem = SettingProblem(source=f"environment variable {variable}", path="", remedy=remedy)
                self.problems[(variable,)] = problem

    def structure(self, kind: type[Struct], table: object, path: SettingPath, default: Struct | None) -> Any:
        """Build a Struct of a table over its defaults; None, with a problem noted, where that cannot be."""
        if not isinstance(table, dict):
            self.report(path, f"expected a table, as in [{'.'.join(path)}]")
            return default
        rest = cast("Table", table).copy()
        values: Table = {}
        missing: list[str] = []
        for field in msgspec.structs.fields(kind):
            if field.name in rest:
                value = self._value(
                    field.type, rest.pop(field.name), (*path, field.name), getattr(default, field.name, None)
                )
                if value is not msgspec.UNSET:
                    values[field.name] = value
            elif field.required and default is None:
                missing.append(field.name)
        for key in rest:
            self.report((*path, key), _unknown_key(key, kind, rest[key]))
        for name in missing:
            self.report((*path, name), f"missing; {MISSING.get(name, 'it has no default')}")
        return self._made(kind, values, default)

    def _made(self, kind: type[Struct], values: Table, default: Struct | None) -> Any:
        if default is not None:
            return msgspec.structs.replace(default, **values)
        required = {field.name for field in msgspec.structs.fields(kind) if field.required}
        return kind(**values) if required <= values.keys() else None

    def _value(self, kind: Any, value: object, path: SettingPath, default: Any) -> Any:
        struct = _struct_of(kind)
        if struct is None:
            return self._scalar(kind, value, path)
        if get_origin(_bare(kind)) is not dict:
            return self.structure(struct, value, path, default)
        if not isinstance(value, dict):
            self.report(path, f"expected tables, as in [{'.'.join(path)}.<name>]")
            return msgspec.UNSET
        tables = cast("Table", value)
        default = None if any(field.required for field in msgspec.structs.fields(struct)) else struct()
        made = {name: self.structure(struct, table, (*path, name), default) for name, table in tables.items()}
        return {name: table for name, table in made.items() if table is not None}

    def _scalar(self, kind: Any, value: object, path: SettingPath) -> Any:
        strict = not isinstance(value, _Override)
        plain: object = value.text if isinstance(value, _Override) else value
        if isinstance(value, _Override) and get_origin(_bare(kind)) is tuple:
            plain = [part.strip() for part in value.text.split(",") if part.strip()]
        if plain == "" and _may_be_none(kind):
            return None  # a pod's environment has empty texts where a value was left out
        try:
            made = msgspec.convert(plain, kind, strict=strict)
        except msgspec.ValidationError as error:
            self.report(path, _expected(kind, str(error)))
            return msgspec.UNSET
        if isinstance(made, float) and not isfinite(made):
            self.report(path, "expected a finite number")
            return msgspec.UNSET
        return made


def _struct_of(kind: Any) -> type[Struct] | None:
    """The Struct in `X`, `X | None` or `dict[str, X]`; None for scalars."""
    for part in (kind, *get_args(kind)):
        if isinstance(part, type) and issubclass(part, Struct):
            return part
    return None


def _may_be_none(kind: Any) -> bool:
    return type(None) in get_args(_bare(kind))


def _bare(kind: Any) -> Any:
    return get_args(kind)[0] if get_origin(kind) is Annotated else kind


def _expected(kind: Any, said: str) -> str:
    """What would be right, in msgspec's words but never with the value."""
    for part in (kind, *get_args(kind)):
        if part is bool:
            return "expected true or false"
        if get_origin(part) is Literal:
            return f"expected one of {', '.join(map(repr, get_args(part)))}"
    return said.split(" - at ", maxsplit=1)[0].replace("Expected", "expected", 1)


def _unknown_key(key: str, kind: type[Struct], value: object) -> str:
    if key.lower().replace("-", "_") in LITERAL_SECRETS and not isinstance(value, dict):
        return _literal_secret(key.lower().replace("-", "_"), kind)
    return f"no such setting; {_nearest(key, [field.name for field in msgspec.structs.fields(kind)])}"


def _literal_secret(key: str, kind: type[Struct]) -> str:
    files = [field.name for field in msgspec.structs.fields(kind) if field.name.endswith("_file")]
    near = [name for name in files if name == f"{key}_file"] or get_close_matches(key, files, n=1, cutoff=0.3)
    setting = f'and name that file: {near[0]} = "secrets/..."' if near else "that a setting names"
    return f"secrets are not settings: put it into a file of its own {setting}; then change it where it was seen"


def _nearest(word: str, words: list[str]) -> str:
    near = get_close_matches(word, words, n=3, cutoff=0.6)
    return f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(words)}"


def _variable_names(table: Table, limit_names: LimitNames) -> dict[str, list[SettingPath]]:
    names: dict[str, list[SettingPath]] = {}
    for path in _scalar_paths(Settings, table, (), limit_names):
        names.setdefault(PREFIX + "__".join(re.sub("[^A-Z0-9_]", "_", part.upper()) for part in path), []).append(path)
    return names


def _scalar_paths(
    kind: type[Struct], table: Table, path: SettingPath, limit_names: LimitNames
) -> Iterator[SettingPath]:
    """Every path that a scalar setting has, given the names of accounts and limits."""
    for field in msgspec.structs.fields(kind):
        struct = _struct_of(field.type)
        here = (*path, field.name)
        if struct is None:
            yield here
        elif get_origin(_bare(field.type)) is dict:
            inner = _subtable(table, field.name)
            for name in dict.fromkeys((*inner, *(limit_names.get(path[-1], ()) if path else ()))):
                yield from _scalar_paths(struct, _subtable(inner, name), (*here, name), limit_names)
        else:
            yield from _scalar_paths(struct, _subtable(table, field.name), here, limit_names)


def _subtable(table: Table, name: str) -> Table:
    inner = table.get(name)
    return cast("Table", inner) if isinstance(inner, dict) else {}


def _put(table: Table, path: SettingPath, value: _Override) -> None:
    for name in path[:-1]:
        inner = table.setdefault(name, {})
        if not isinstance(inner, dict):
            return  # told as a wrong table when it is read
        table = cast("Table", inner)
    table[path[-1]] = value


def _ambiguous(paths: list[SettingPath]) -> str:
    return f"stands for {' and '.join('.'.join(path) for path in paths)}; set them in the file"


def _unknown_variable(variable: str, names: Iterable[str]) -> str:
    last = variable.rpartition("__")[2].lower()
    if last in LITERAL_SECRETS:
        return f"secrets are not read from the environment: put it into a file, and name that file in {variable}_FILE"
    near = get_close_matches(variable, list(names), n=3, cutoff=0.7)
    if near:
        return f"no such setting; did you mean {' or '.join(near)}?"
    return "no such setting; names are GATEWAY_<TABLE>__<SETTING>, and accounts are made in the file only"
