"""`dead-letters batches`: redrives so far; of one, each letter and what its command came to."""

from collections import Counter
from contextlib import aclosing
from typing import Annotated

from cyclopts import Parameter

from gateway.cli.dead_letters.options import open_desk
from gateway.cli.dead_letters.rows import print_object, print_row
from gateway.cli.exits import DONE, NO
from gateway.cli.options import ConfigOption, JsonOption, read_settings
from gateway.cli.printing import print_line, print_table
from gateway.client.dead_letters import BatchLetter, DeadLetters


async def batches(
    batch: Annotated[str | None, Parameter(help="One of them, each letter.")] = None,
    *,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> int:
    """Print redrives so far, newest first; or of one each letter: `changed`, why it failed again, or `open`.

    ```sh
    leverage-gateway dead-letters batches
    leverage-gateway dead-letters batches rd-0193a5c0-6e00-7000-8000-000000000001
    ```
    """
    settings = read_settings(config, with_accounts=False)
    async with open_desk(settings, config) as desk:
        return await (_print_all(desk, json=json) if batch is None else _print_one(desk, batch, json=json))


async def _print_all(desk: DeadLetters, *, json: bool) -> int:
    found, coverage = await desk.batches()
    if json:
        for one in found:
            print_object(one)
    else:
        cells = [(one.batch, one.at, one.operator, one.letters, one.note) for one in found]
        print_table(("batch", "at", "operator", "letters", "note"), cells)
    print_row(coverage, json=json)
    return DONE


async def _print_one(desk: DeadLetters, batch: str, *, json: bool) -> int:
    counts: Counter[str] = Counter()
    async with aclosing(desk.batch(batch)) as rows:
        async for row in rows:
            if isinstance(row, BatchLetter):
                counts[row.outcome] += 1
            print_row(row, json=json)
    if not json:
        _print_sum(batch, counts)
    return DONE if counts else NO


def _print_sum(batch: str, counts: Counter[str]) -> None:
    """What became of all, and how to get at those that failed: they are letters again, and say where they were."""
    print_line(", ".join(f"{count} {outcome}" for outcome, count in counts.most_common()) or f"no redrive {batch}")
    if counts.keys() - {"changed", "open", "superseded"}:
        print_line(f"what is a letter again: leverage-gateway dead-letters redrive --batch {batch}")
