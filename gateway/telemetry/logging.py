"""Structured logs: one JSON object or one console line an event, its name a verb and a noun (`opened_breaker`).

Set up once at the start of `run`; libraries' own loggers (aiokafka, aiohttp, asyncio) come through `logging`, our own
events do not: a record for each costs more than its line. A guard takes the secrets it was given, and every signature,
out of each finished line, whatever it came in by.
"""

import logging
import re
import sys
import time
from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Any, TextIO, cast

import msgspec
import structlog
from msgspec import Struct
from structlog.stdlib import ProcessorFormatter
from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

from gateway.settings.tree import LoggingSettings
from gateway.telemetry.lines import LineWriter
from gateway.telemetry.own_lines import OwnLoggers
from gateway.telemetry.repeated import RepeatFilter
from gateway.telemetry.secrets import REMOVED, Secrets
from schemas import SetLeverage
from schemas.targets import venue_of

# A library at its own debug level tells of every fetch, and aiokafka there prints whole requests.
LIBRARIES = dict.fromkeys(("aiokafka", "aiohttp", "asyncio", "opentelemetry", "urllib3"), logging.WARNING)

_SECRET_NAMES = re.compile(
    r"(ok-access-.+|x-mbx-apikey|.*signature|authorization|cookie|.*(api_?key|secret|passphrase|password|private_key))",
    re.IGNORECASE,
)
# In texts: `…&signature=abc&…`, and `'OK-ACCESS-SIGN': 'abc'` with quotes that a line may have escaped.
_SIGNED_TEXT = re.compile(
    r"((?:signature|sign)=|(?:ok-access-[a-z]+|x-mbx-apikey|signature)[\\\"']*[:,]\s*[\\\"']*)[^&\s\"'\\,)}]+",
    re.IGNORECASE,
)
_SIGNED_MARKS = ("sign", "ok-access-", "x-mbx-apikey")  # one of them is in every text that the pattern above finds
_PLAIN = frozenset({str, int, float, bool, type(None)})


def set_up_logging(
    settings: LoggingSettings, *, secrets: Collection[str] = (), stream: TextIO | LineWriter | None = None
) -> "Guard":
    """Send all logs to one stream (stderr without one) in the settings' format; replaces what was set up before.

    Returns the guard of all lines, for secrets that are known only later.

    Args:
        settings: the format (`auto` is the console's on a terminal) and the level of our own events.
        secrets: texts that no line may hold.
        stream: where lines go.
    """
    out = sys.stderr if stream is None else stream
    console = is_for_people(settings, out)
    level = logging.getLevelNamesMapping()[settings.level.upper()]
    render, before = _rendering(console=console, colours=out.isatty())
    guard = Guard(render, secrets)
    repeats = RepeatFilter(time.monotonic)
    structlog.configure(
        processors=[*_enriching(), repeats.pass_event, *before, guard],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=OwnLoggers(out),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(cast("TextIO", out))
    handler.addFilter(repeats)
    handler.setFormatter(
        ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.PositionalArgumentsFormatter(), *_enriching(), _lower_aiokafka],
            processors=[ProcessorFormatter.remove_processors_meta, *before, guard],
        )
    )
    logging._srcfile = None  # noqa: SLF001 # pyright: ignore[reportAttributeAccessIssue, reportPrivateUsage] - as its documentation has it: no line tells its caller, who is dear to find
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name, least in LIBRARIES.items():
        logging.getLogger(name).setLevel(max(level, least))
    return guard


def is_for_people(settings: LoggingSettings, stream: TextIO | LineWriter) -> bool:
    """Whether lines are the console's, not JSON."""
    return settings.format == "console" or (settings.format == "auto" and stream.isatty())


def command_log(command: SetLeverage) -> FilteringBoundLogger:
    """A logger whose every line carries the command's id, venue, account and lane."""
    target = command.target
    bound = structlog.get_logger("gateway").bind(
        command_id=command.command_id, venue=venue_of(target), account=command.account, lane=target.lane
    )
    return cast("FilteringBoundLogger", bound)


def _enriching() -> list[Processor]:
    return [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        _drop_secret_names,
    ]


def _rendering(*, console: bool, colours: bool) -> tuple[Processor, list[Processor]]:
    """What makes the line of an event, and what must come before it."""
    if console:
        # The console's other tracebacks show local variables, keys among them.
        plain = structlog.dev.plain_traceback
        render = structlog.dev.ConsoleRenderer(
            colors=colours, repr_native_str=True, timestamp_key="time", exception_formatter=plain
        )
        return render, []
    return structlog.processors.JSONRenderer(serializer=_to_json), [structlog.processors.format_exc_info]


def _to_json(event: Mapping[str, Any], **_unused: object) -> str:
    return msgspec.json.encode(event, enc_hook=str).decode()


def _lower_aiokafka(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Call a warning what aiokafka calls an error and tries again, such as a new group's coordinator not yet there.

    What it gives up it raises, and the gateway tells; its tracebacks stay errors.
    """
    if event["level"] == "error" and event["logger"].startswith("aiokafka") and "exc_info" not in event:
        event["level"] = "warning"
    return event


def _drop_secret_names(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Leave out what is named like a signature, key or signed header, at any depth."""
    if _PLAIN.issuperset(map(type, event.values())) and not _has_secret_name(tuple(event)):  # nearly every line
        return event
    return cast("EventDict", _without_secrets(event))


def _without_secrets(value: Any) -> Any:
    if type(value) in _PLAIN:
        return value
    if isinstance(value, Struct):
        return _without_secrets(msgspec.structs.asdict(value))
    if isinstance(value, Mapping):
        tree = cast("Mapping[Any, Any]", value)
        return {key: _without_secrets(inner) for key, inner in tree.items() if not _is_secret_name(str(key))}
    if isinstance(value, list | tuple):
        return [_without_secrets(inner) for inner in cast("list[Any]", value)]
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


@lru_cache(maxsize=1024)
def _is_secret_name(name: str) -> bool:
    return _SECRET_NAMES.fullmatch(name) is not None


@lru_cache(maxsize=1024)
def _has_secret_name(names: tuple[str, ...]) -> bool:
    return any(map(_is_secret_name, names))


class Guard:
    """Renders a line, then takes secrets and signatures out of it: tracebacks and library texts are covered too."""

    def __init__(self, render: Processor, secrets: Collection[str]) -> None:
        self._render = render
        self._secrets = Secrets()
        self.learn(secrets)

    def learn(self, secrets: Collection[str]) -> None:
        """Take these out too from now on; what was known before stays known."""
        self._secrets.add(secrets)

    def __call__(self, logger: WrappedLogger, method: str, event: EventDict) -> str:
        """The event's line, without secrets."""
        try:
            line = str(self._render(logger, method, event))
        except Exception as error:  # noqa: BLE001 - else logging prints the event itself, unguarded
            line = _to_json({"event": "failed_rendering", "level": "error", "error": type(error).__name__})
        line = self._secrets.remove_from(line)
        lowered = line.lower()
        if any(mark in lowered for mark in _SIGNED_MARKS):
            line = _SIGNED_TEXT.sub(rf"\1{REMOVED}", line)
        return line
