"""`dead-letters list`, `groups` and `show`: what was put aside, of which kinds, and all of one."""

from contextlib import aclosing
from typing import Annotated

from cyclopts import Parameter

from gateway.cli.dead_letters.options import (
    NO_FILTERS,
    FilterOptions,
    Positive,
    check_places,
    make_filters,
    open_desk,
)
from gateway.cli.dead_letters.rows import print_detail, print_object, print_row
from gateway.cli.exits import DONE, NO
from gateway.cli.options import ConfigOption, JsonOption, read_settings
from gateway.cli.printing import print_line, print_table
from gateway.client.dead_letters import Brake, GroupBy, LetterGroup


async def list_letters(
    *,
    filters: FilterOptions = NO_FILTERS,
    oldest: Annotated[bool, Parameter(help="Oldest first.", show_default=False)] = False,
    limit: Annotated[int | None, Parameter(help="At most so many.", validator=Positive)] = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> int:
    """Print one line a letter, newest first, and last what was looked at.

    ```sh
    leverage-gateway dead-letters list --venue binance_usdm --since 2026-11-21T08:00:00Z
    ```
    """
    settings = read_settings(config, with_accounts=False)
    chosen = make_filters(filters)
    async with (
        open_desk(settings, config) as desk,
        aclosing(desk.rows(chosen, oldest_first=oldest, limit=limit)) as rows,
    ):
        async for row in rows:
            print_row(row, json=json)
    return DONE


async def groups(
    *,
    filters: FilterOptions = NO_FILTERS,
    by: Annotated[
        tuple[GroupBy, ...],
        Parameter(help="What makes a group; several give a table each. A fingerprint leaves numbers out."),
    ] = ("reason",),
    config: ConfigOption = None,
    json: JsonOption = False,
) -> int:
    """Print how many letters of which kind there are, since when and last when, and which brakes leave letters out.

    ```sh
    leverage-gateway dead-letters groups --by venue --by fingerprint
    ```
    """
    settings = read_settings(config, with_accounts=False)
    chosen = make_filters(filters)
    async with open_desk(settings, config) as desk:
        found, brakes, coverage = await desk.groups(chosen, by)
    if json:
        for row in (*found, *brakes):
            print_object(row)
    else:
        for one in dict.fromkeys(by):
            _print_groups(one, [group for group in found if group.by == one])
        _print_brakes(brakes)
    print_row(coverage, json=json)
    return DONE


async def show(
    letter: Annotated[str, Parameter(help="The letter, as partition:offset.")],
    *,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> int:
    """Print all there is of one letter: its command and errors, its event, what was done, what its lane has now.

    ```sh
    leverage-gateway dead-letters show 3:1042
    ```
    """
    settings = read_settings(config, with_accounts=False)
    check_places([letter])
    async with open_desk(settings, config) as desk:
        detail, coverage = await desk.show(letter)
    if detail is not None and json:
        print_object(detail)
    elif detail is not None:
        print_detail(detail)
    elif not json:
        print_line(f"letter {letter} is not on the topic")
    print_row(coverage, json=json)
    return NO if detail is None else DONE


def _print_groups(by: str, found: list[LetterGroup]) -> None:
    cells = [(group.value or "-", group.count, group.first_at, group.last_at) for group in found]
    print_table((by, "letters", "first", "last"), cells)


def _print_brakes(brakes: list[Brake]) -> None:
    """Those that left anything out lately; an event without its letter is in no list of letters."""
    told = [
        (brake.venue, "on" if brake.on else "off", brake.since, brake.left_out, brake.why)
        for brake in brakes
        if brake.left_out
    ]
    if told:
        print_table(("venue", "brake", "since", "left out", "why"), told)
    else:
        print_line("no brake left a letter out in the last hour of events")
