"""`leverage-gateway watch`: events as they come."""

import asyncio
import signal
import sys
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Annotated

import uvloop
from cyclopts import Parameter

from gateway.cli.exits import DONE
from gateway.cli.options import ConfigOption, JsonOption, connected, read_settings
from gateway.cli.printing import console, event_line, print_encoded
from gateway.settings.tree import Settings
from schemas import encode


def watch(
    *,
    config: ConfigOption = None,
    json: JsonOption = False,
    from_beginning: Annotated[
        bool, Parameter(help="All events that the topic still has, too.", show_default=False)
    ] = False,
) -> int:
    """Print events as they come, until Ctrl-C or SIGTERM; with --json one event a line, as the topic has it.

    ```sh
    leverage-gateway watch
    leverage-gateway watch --json --from-beginning | jq 'select(.type == "LeverageRejected")'
    ```
    """
    settings = read_settings(config, with_accounts=False)
    with suppress(KeyboardInterrupt, asyncio.CancelledError):
        uvloop.run(_follow(settings, config, json=json, from_beginning=from_beginning))
    return DONE


async def _follow(settings: Settings, config: Path | None, *, json: bool, from_beginning: bool) -> None:
    if (following := asyncio.current_task()) is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, following.cancel)
    async with (
        connected(settings, config) as client,
        aclosing(client.events(from_beginning=from_beginning)) as events,
    ):
        if not json:
            topic = settings.kafka.topics.events
            sys.stderr.write(f"Watching {topic} at {settings.kafka.bootstrap_servers}; Ctrl-C ends it.\n")
        async for event in events:
            if json:
                print_encoded(encode(event))
            else:
                console().print(event_line(event), soft_wrap=True)
