"""`dead-letters redrive`: a verdict a letter and a plan; with --apply, what still applies is sent again."""

import asyncio
import shlex
import signal
from collections.abc import Generator
from contextlib import aclosing, contextmanager
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from gateway.cli.dead_letters.options import (
    NO_FILTERS,
    FilterOptions,
    LetterArguments,
    OperatorOption,
    Positive,
    check_places,
    make_filters,
    needed_note,
    open_desk,
    operator_name,
    read_content,
)
from gateway.cli.dead_letters.progress import RedriveProgress
from gateway.cli.dead_letters.rows import print_row
from gateway.cli.exits import DONE, UsageError
from gateway.cli.options import ConfigOption, JsonOption, read_settings
from gateway.cli.printing import print_line
from gateway.client.dead_letters import (
    LetterVerdict,
    Plan,
    RedriveOptions,
    StoppedError,
    Verdict,
    chosen_places,
    coverage_of_places,
    parse_place,
    read_plan,
    write_plan,
)
from gateway.kafka.connection import UnreachableError
from gateway.settings.tree import Settings
from schemas.targets import VENUES


async def redrive(
    *letters: LetterArguments,
    filters: FilterOptions = NO_FILTERS,
    plan: Annotated[Path | None, Parameter(help="Where to write the plan; without it none is written.")] = None,
    apply: Annotated[Path | None, Parameter(help="Publish what this plan says would apply.")] = None,
    note: Annotated[str | None, Parameter(help="Why, for whoever looks later; --apply needs it.")] = None,
    operator: OperatorOption = None,
    rate: Annotated[float | None, Parameter(help="At most so many letters a second.", validator=Positive)] = None,
    stop_at: Annotated[
        float | None,
        Parameter(help="Wait for answers, and stop where this share of them failed again.", validator=Positive),
    ] = None,
    expires_in: Annotated[
        float | None, Parameter(help="Seconds until the new commands must not be sent.", validator=Positive)
    ] = None,
    force: Annotated[tuple[Verdict, ...], Parameter(help="Verdicts to override; it is recorded.")] = (),
    config: ConfigOption = None,
    json: JsonOption = False,
) -> int:
    """Judge letters against what their lanes have now; with --apply send again what a plan says would apply.

    Without --apply nothing is published. With it a few letters go first and more as they succeed; it waits while their
    venue does not answer or its brake is on, and ends in order on Ctrl-C. A plan that was stopped or killed is applied
    again as it is: no letter is sent twice.

    ```sh
    leverage-gateway dead-letters redrive --venue okx --plan okx.json
    leverage-gateway dead-letters redrive --apply okx.json --note "OKX is back" --stop-at 0.2
    ```
    """
    settings = read_settings(config, with_accounts=False)
    if apply is None:
        return await _dry_run(settings, config, letters, filters, plan, json=json)
    if letters or filters != NO_FILTERS or plan is not None:
        raise UsageError("--apply takes its letters from its plan: no letters, filters or --plan beside it")
    options = RedriveOptions(
        operator=operator_name(operator),
        note=needed_note(note),
        rate=rate,
        stop_at=stop_at,
        expires_in=expires_in,
        force=frozenset(force),
        max_redrives=settings.dead_letters.max_redrives,
        down_after={venue: getattr(settings.venues, venue).breaker_failures for venue in VENUES},
    )
    pinned = read_plan(await asyncio.to_thread(read_content, "--apply", apply))
    try:
        return await _apply(settings, config, pinned, options, json=json)
    except (StoppedError, UnreachableError) as error:
        again = f"leverage-gateway dead-letters redrive --apply {shlex.quote(str(apply))} --note TEXT"
        raise type(error)(f"{error}; go on with: {again}") from error


async def _dry_run(
    settings: Settings,
    config: Path | None,
    letters: tuple[str, ...],
    filters: FilterOptions,
    path: Path | None,
    *,
    json: bool,
) -> int:
    check_places(letters)
    async with open_desk(settings, config) as desk:
        plan, coverage = await desk.plan(
            make_filters(filters), letters, max_redrives=settings.dead_letters.max_redrives
        )
    for row in plan.letters:
        print_row(LetterVerdict(letter=row.letter, verdict=row.verdict, why=row.why), json=json)
    print_row(coverage, json=json)
    if path is not None:
        await asyncio.to_thread(_write, path, write_plan(plan))
    if not json:
        would = sum(row.verdict == "apply" for row in plan.letters)
        print_line(f"{would} of {len(plan.letters)} would be sent again; nothing was published")
    return DONE


async def _apply(settings: Settings, config: Path | None, plan: Plan, options: RedriveOptions, *, json: bool) -> int:
    chosen, judged = chosen_places(plan, options), list[LetterVerdict]()
    try:
        with RedriveProgress(len(chosen)) as progress, _stop_on_signals() as stop:
            async with (
                open_desk(settings, config) as desk,
                aclosing(desk.apply(plan, options, stop=stop, tell=progress.tell)) as rows,
            ):
                async for row in rows:
                    judged.append(row)
                    print_row(row, json=json)
                    progress.advance()
    finally:
        print_row(coverage_of_places(chosen, [parse_place(row.letter) for row in judged]), json=json)
        if not json:
            sent = sum(row.verdict == "apply" for row in judged)
            print_line(f"{sent} sent again as {plan.batch}, {len(judged)} of {len(chosen)} judged anew")
    return DONE


@contextmanager
def _stop_on_signals() -> Generator[asyncio.Event]:
    """An event that the first SIGINT or SIGTERM sets; a second one ends the process as it would any."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    signals = (signal.SIGINT, signal.SIGTERM)

    def asked() -> None:
        stop.set()
        for one in signals:
            loop.remove_signal_handler(one)

    for one in signals:
        loop.add_signal_handler(one, asked)
    try:
        yield stop
    finally:
        for one in signals:
            loop.remove_signal_handler(one)


def _write(path: Path, content: bytes) -> None:
    try:
        path.write_bytes(content)
    except OSError as error:
        raise UsageError(f"--plan {path}: {error.strerror}") from None
