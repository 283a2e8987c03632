"""`leverage-gateway policy`: caps as a file that is checked, tried over the past, tried in shadow, and applied."""

import re
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, cast

import msgspec
from cyclopts import App, Parameter

from gateway.cli.exits import DONE, UsageError
from gateway.cli.options import ConfigOption, JsonOption, read_settings
from gateway.cli.policy_records import (
    DraftOption,
    Made,
    OperatorOption,
    Signing,
    SignOption,
    common,
    kafka_of,
    publish,
    read_draft,
    read_topic,
    said,
)
from gateway.cli.printing import print_json, print_line, print_table
from gateway.client.reading import open_reader
from gateway.kafka.policy_topic import PolicyEntry
from gateway.policy.board import Board, PolicyRefusedError
from gateway.policy.file import as_fields, hash_of, read_rulebook, warnings_of
from gateway.policy.past import Judged, PastJudge
from gateway.policy.rules import Rules
from schemas import DecodeError, Freeze, PolicyApplied, Timestamp, decode_event
from schemas.headers import content_type
from schemas.policy import CANDIDATE_KEY, POLICY_KEY, PolicyRecord, decode_policy_record, encode_policy_record

FileArgument = Annotated[Path, Parameter(help="The rules: a TOML file.")]
NoteOption = Annotated[str, Parameter(help="Why, for whoever looks later.")]
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def make_policy_app() -> App:
    """The commands on the policy."""
    app = App(name="policy", help="See, try and change the caps on what may be set.")
    app.command(try_over_past, name="test")
    for command in (check, apply, promote, countersign, show, log):
        app.command(command)
    return app


def check(file: FileArgument, /, *, json: JsonOption = False) -> int:
    """Say what is wrong with a policy file, or what its rules are; connects to nothing.

    ```sh
    leverage-gateway policy check caps.toml
    ```
    """
    text = _content(file)
    book = read_rulebook(text, str(file))
    warnings = list(warnings_of(book.rules))
    if json:
        print_json({"ok": True, "version": book.version, "hash": hash_of(text), "warnings": warnings})
        return DONE
    _print_rules(book.rules)
    for warning in warnings:
        print_line(f"warning: {warning}")
    print_line(f"{file} is right: {len(book.rules)} rules, version {book.version}")
    return DONE


async def try_over_past(
    file: FileArgument,
    /,
    *,
    since: Annotated[str, Parameter(help="How far back: 90m, 12h, 7d, or a time (RFC 3339).")] = "7d",
    config: ConfigOption = None,
    json: JsonOption = False,
) -> int:
    """Judge the commands of the past by a policy file, and print what it would have refused; changes nothing.

    Lanes are taken to have had what the events say they had, whatever the file would have refused.

    ```sh
    leverage-gateway policy test caps.toml --since 7d
    ```
    """
    book = read_rulebook(_content(file), str(file))
    settings = read_settings(config, with_accounts=False)
    begin = since_time(since, time.time())
    judge, refused = PastJudge(book, begin), Counter[str]()
    changed = 0
    async with kafka_of(settings, config) as options, open_reader(options) as reader:
        ranges = await reader.ranges(settings.kafka.topics.events)
        async for records in reader.forwards(settings.kafka.topics.events, ranges):
            for one in filter(None, map(judge.judge, _events(records))):
                refused.update(one.broken)
                changed += one.outcome == "changed"
                _print_would(one, json=json)
    if json:
        told = {**msgspec.structs.asdict(judge.counts), "refused_changed": changed}
        print_json({"type": "Tested", "since": str(Timestamp.from_epoch(begin)), **told, "rules": dict(refused)})
    else:
        _print_summary(judge, refused, changed)
    return DONE


async def apply(
    file: FileArgument,
    /,
    *,
    note: NoteOption,
    shadow: Annotated[bool, Parameter(help="Try it beside the one that rules.", show_default=False)] = False,
    operator: OperatorOption = None,
    sign: SignOption = (),
    draft: DraftOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> int:
    """Make a policy file rule from now on, or with --shadow have it counted and logged beside the one that does.

    Where the settings name operators one must sign, and two where the file loosens anything.

    ```sh
    leverage-gateway policy apply caps.toml --note "majors at most 10x" --shadow
    leverage-gateway policy apply caps.toml --note "majors at most 10x"
    ```
    """
    text = _content(file)
    read_rulebook(text, str(file))
    settings = read_settings(config, with_accounts=False)
    role = CANDIDATE_KEY if shadow else POLICY_KEY
    why = said(note, "--note")

    def make(board: Board) -> PolicyRecord:
        return PolicyApplied(**common(board, role, operator), role=role, note=why, hash=hash_of(text), file=text)

    made = await publish(settings, config, make, Signing(sign, draft))
    return _print_made(made, json=json)


async def promote(
    *,
    note: Annotated[str | None, Parameter(help="Why; without it, the candidate's note.")] = None,
    operator: OperatorOption = None,
    sign: SignOption = (),
    draft: DraftOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> int:
    """Make the candidate rule, as it is.

    ```sh
    leverage-gateway policy promote
    ```
    """
    settings = read_settings(config, with_accounts=False)

    def make(board: Board) -> PolicyRecord:
        tried = board.applied.get(CANDIDATE_KEY)
        if tried is None:
            raise PolicyRefusedError("not written: there is no candidate; `policy apply FILE --shadow` makes one")
        fields = common(board, POLICY_KEY, operator)
        return PolicyApplied(**fields, role="policy", note=note or tried.note, hash=tried.hash, file=tried.file)

    made = await publish(settings, config, make, Signing(sign, draft))
    return _print_made(made, json=json)


async def countersign(
    file: Annotated[Path, Parameter(help="What another operator wrote with --draft.")],
    /,
    *,
    sign: SignOption = (),
    config: ConfigOption = None,
    json: JsonOption = False,
) -> int:
    """Sign what another operator drafted, and write it. It must be done within a quarter of an hour of the draft.

    ```sh
    leverage-gateway thaw --reason "venue is back" --sign kim.pem --draft thaw.json      # kim
    leverage-gateway policy countersign thaw.json --sign lee.pem                         # lee
    ```
    """
    record = read_draft(file)
    if not json:
        print_line(_what(record))
    settings = read_settings(config, with_accounts=False)
    made = await publish(settings, config, lambda _board: record, Signing(sign, None))
    return _print_made(made, json=json)


async def show(*, config: ConfigOption = None, json: JsonOption = False) -> int:
    """Print what holds now: the rules, the candidate's, and all that is stopped, since when, by whom and why.

    ```sh
    leverage-gateway policy show
    ```
    """
    board = (await read_topic(read_settings(config, with_accounts=False), config)).board
    stopped = [freeze for freeze in board.freezes.values() if freeze.state != "open"]
    if json:
        applied = {role: msgspec.Raw(encode_policy_record(one)) for role, one in board.applied.items()}
        stops = [msgspec.Raw(encode_policy_record(freeze)) for freeze in stopped]
        print_json({"policy": applied.get(POLICY_KEY), "candidate": applied.get(CANDIDATE_KEY), "stopped": stops})
        return DONE
    print_table(
        ("stopped", "how", "since", "by", "why"),
        [(str(one.scope), one.state, one.at, one.operator, one.reason) for one in stopped],
    )
    if not stopped:
        print_line("Nothing is stopped.")
    for role, applied in board.applied.items():
        print_line(_what(applied))
        _print_rules(read_rulebook(applied.file).rules)
        if role == CANDIDATE_KEY:
            print_line("The candidate is counted and logged only; `policy promote` makes it rule.")
    if POLICY_KEY not in board.applied:
        print_line("No rules are applied.")
    return DONE


async def log(*, config: ConfigOption = None, json: JsonOption = False) -> int:
    """Print every record that the policy topic still has, oldest first, and which of them were refused and why.

    ```sh
    leverage-gateway policy log
    ```
    """
    entries = (await read_topic(read_settings(config, with_accounts=False), config)).entries
    for entry in entries:
        if json:
            print_json(_entry_row(entry))
        else:
            refused = f"  REFUSED: {entry.objection}" if entry.objection else ""
            print_line(f"{Timestamp.from_epoch(entry.at)}  {entry.offset:>6}  {_entry_text(entry)}{refused}")
    if not entries and not json:
        print_line("The topic is empty: no rules, nothing stopped.")
    return DONE


def since_time(text: str, now: float) -> float:
    """The wall seconds that an age or a time means; UsageError where it is neither."""
    if found := re.fullmatch(r"(\d{1,6})([smhd])", text):
        return now - int(found[1]) * _UNITS[found[2]]
    try:
        return Timestamp.parse(text).timestamp()
    except (ValueError, OverflowError):
        raise UsageError("--since expects an age, as in 90m, 12h or 7d, or a time as in 2026-11-21T08:00:00Z") from None


def _events(records: Iterable[Any]) -> Iterator[Any]:
    for record in records:
        try:
            yield decode_event(record.value or b"", content_type(record.headers))
        except DecodeError:
            continue  # not a gateway's


def _print_would(one: Judged, *, json: bool) -> None:
    event = one.event
    row = {
        "at": str(event.occurred_at),
        "venue": one.venue,
        "account": event.account,
        "lane": event.lane,
        "leverage": str(one.leverage),
        "issuer": event.issuer,
        "outcome": one.outcome,
        "rules": one.broken,
    }
    if json:
        print_json({"type": "WouldRefuse", "command_id": event.command_id, **row})
    else:
        shown = ["-" if value is None else str(value) for name, value in row.items() if name != "rules"]
        print_line("  ".join([*shown, ", ".join(one.broken)]))


def _print_summary(judge: PastJudge, refused: Counter[str], changed: int) -> None:
    for rule, count in refused.most_common():
        print_line(f"{count:>8}  {rule}")
    counts = judge.counts
    untold = f"; {counts.untold} could not be judged by what their lane had" if counts.untold else ""
    told = f"{counts.refused} of {counts.commands} commands would be refused, {changed} of them were carried out"
    print_line(told + untold)


def _print_rules(rules: Rules) -> None:
    fields = ("venue", "account", "symbol", "issuer")
    rows = [(rule.name, *(getattr(rule, field) for field in fields), _limits_text(as_fields(rule))) for rule in rules]
    if rows:
        print_table(("rule", *fields, "limits"), rows)


def _limits_text(fields: dict[str, Any]) -> str:
    whom = {"name", "venue", "account", "symbol", "issuer"}
    return ", ".join(f"{name} {_shown(value)}" for name, value in fields.items() if name not in whom)


def _shown(value: Any) -> str:
    return " ".join(map(str, cast("tuple[Any, ...]", value))) if isinstance(value, tuple) else str(value)


def _print_made(made: Made, *, json: bool) -> int:
    if json:
        print_json(msgspec.Raw(encode_policy_record(made.record)))
    elif made.offset is None:
        print_line(f"{_what(made.record)}: not written yet, another operator has to countersign")
    else:
        print_line(f"{_what(made.record)} (record {made.offset})")
    return DONE


def _what(record: PolicyRecord) -> str:
    signed = ", ".join(one.operator for one in record.signatures)
    by = f"by {record.operator}{f', signed by {signed}' if signed else ''}"
    if isinstance(record, Freeze):
        return f"{record.scope}: {record.state} since {record.at} {by}: {record.reason}"
    return f"{record.role} {record.version} applied {record.at} {by}: {record.note}"


def _entry_text(entry: PolicyEntry) -> str:
    try:
        return _what(decode_policy_record(entry.value or b""))
    except DecodeError:
        return entry.key


def _entry_row(entry: PolicyEntry) -> dict[str, Any]:
    try:
        record = msgspec.Raw(encode_policy_record(decode_policy_record(entry.value or b"")))
    except DecodeError:
        record = None
    at = Timestamp.from_epoch(entry.at)
    return {"offset": entry.offset, "at": str(at), "key": entry.key, "record": record, "refused": entry.objection}


def _content(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: not UTF-8 text: byte {error.start}") from None
