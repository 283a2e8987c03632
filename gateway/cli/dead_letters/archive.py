"""`dead-letters archive` and `restore`: letters put aside, or back."""

from contextlib import aclosing
from pathlib import Path
from typing import Literal

from gateway.cli.dead_letters.options import (
    NO_FILTERS,
    FilterOptions,
    LetterArguments,
    NoteOption,
    OperatorOption,
    check_places,
    make_filters,
    needed_note,
    open_desk,
    operator_name,
)
from gateway.cli.dead_letters.rows import print_object, print_row
from gateway.cli.exits import DONE, NO
from gateway.cli.options import ConfigOption, JsonOption, read_settings
from gateway.cli.printing import print_line
from gateway.client.dead_letters import LetterRow, coverage_of_places, parse_place


async def archive(
    *letters: LetterArguments,
    note: NoteOption,
    filters: FilterOptions = NO_FILTERS,
    operator: OperatorOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> int:
    """Put letters aside: they stay on the topic, and no list of open ones has them.

    ```sh
    leverage-gateway dead-letters archive 3:1042 --note "account is closed"
    ```
    """
    return await _put("archived", letters, filters, (note, operator_name(operator)), config, json=json)


async def restore(
    *letters: LetterArguments,
    note: NoteOption,
    filters: FilterOptions = NO_FILTERS,
    operator: OperatorOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> int:
    """Make archived letters open again.

    ```sh
    leverage-gateway dead-letters restore 3:1042 --note "account is back"
    ```
    """
    return await _put("open", letters, filters, (note, operator_name(operator)), config, json=json)


async def _put(
    state: Literal["archived", "open"],
    letters: tuple[str, ...],
    filters: FilterOptions,
    why_and_who: tuple[str, str],
    config: Path | None,
    *,
    json: bool,
) -> int:
    check_places(letters)
    settings = read_settings(config, with_accounts=False)
    note, operator = needed_note(why_and_who[0]), why_and_who[1]
    count = 0
    async with open_desk(settings, config) as desk:
        places = list(letters)
        named = [parse_place(letter) for letter in letters]
        coverage = coverage_of_places(named, named)
        if not places:
            chosen = make_filters(filters, state="open" if state == "archived" else "archived")
            *rows, coverage = [row async for row in desk.rows(chosen)]
            places = [row.letter for row in rows if isinstance(row, LetterRow)]
        async with aclosing(desk.put(places, state=state, operator=operator, note=note)) as dispositions:
            async for disposition in dispositions:
                count += 1
                if json:
                    print_object(disposition)
    print_row(coverage, json=json)
    if not json:
        print_line(f"{count} of {len(places)} are {state} now")
    return DONE if count or not letters else NO
