"""`dead-letters export` and `mend`: undecodable bytes out, a corrected command in."""

import asyncio
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from gateway.cli.dead_letters.options import (
    NoteOption,
    OperatorOption,
    check_places,
    needed_note,
    open_desk,
    operator_name,
    read_content,
)
from gateway.cli.dead_letters.rows import print_object, print_row
from gateway.cli.exits import DONE, UsageError
from gateway.cli.options import ConfigOption, JsonOption, read_settings
from gateway.cli.printing import print_line
from gateway.client.dead_letters import coverage_of_places, parse_place, read_draft, write_draft


async def export(
    letter: Annotated[str, Parameter(help="The letter, as partition:offset.")],
    *,
    out: Annotated[Path, Parameter(help="The file to make; it must not be there yet.")],
    config: ConfigOption = None,
) -> int:
    """Write an undecodable letter into a file, for its command to be corrected there.

    ```sh
    leverage-gateway dead-letters export 3:1042 --out letter.json
    ```
    """
    settings = read_settings(config, with_accounts=False)
    check_places([letter])
    async with open_desk(settings, config) as desk:
        draft = await desk.export(letter)
    await asyncio.to_thread(_write_new, out, write_draft(draft))
    print_line(f"correct `command` in {out}, then: leverage-gateway dead-letters mend {out} --note TEXT")
    return DONE


async def mend(
    file: Annotated[Path, Parameter(help="What export wrote, its command corrected.")],
    *,
    note: NoteOption,
    operator: OperatorOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> int:
    """Publish a corrected command, once; its venue and account stay those that the letter names.

    ```sh
    leverage-gateway dead-letters mend letter.json --note "the engine wrote leverage as a word"
    ```
    """
    settings = read_settings(config, with_accounts=False)
    draft, why, who = read_draft(read_content("FILE", file)), needed_note(note), operator_name(operator)
    check_places([draft.letter])
    async with open_desk(settings, config) as desk:
        disposition = await desk.mend(draft, operator=who, note=why)
    if json:
        print_object(disposition)
    else:
        print_line(f"{disposition.letter} is mended: {disposition.command_id}, as {disposition.batch}")
    place = parse_place(disposition.letter)
    print_row(coverage_of_places([place], [place]), json=json)
    return DONE


def _write_new(path: Path, content: bytes) -> None:
    try:
        with path.open("xb") as file:
            file.write(content)
    except OSError as error:
        raise UsageError(f"--out {path}: {error.strerror}") from None
