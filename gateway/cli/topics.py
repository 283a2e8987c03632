"""`leverage-gateway topics`: the six topics at the broker."""

import sys

from gateway.cli.exits import DONE, NO
from gateway.cli.options import ConfigOption, JsonOption, read_settings
from gateway.cli.printing import print_json, print_line, print_table
from gateway.kafka.topics import check_topics, create_topics
from gateway.settings.file import base_dir_of


async def create(*, config: ConfigOption = None, json: JsonOption = False) -> int:
    """Make the topics that are not there, as the settings say; what exists is not changed.

    ```sh
    leverage-gateway topics create --config gateway.toml
    ```
    """
    settings = read_settings(config, with_accounts=False)
    made = await create_topics(settings, base_dir=base_dir_of(config))
    for found in await check_topics(settings, base_dir=base_dir_of(config)):
        sys.stderr.write(f"warning: {found.topic} {found.problem}\n")
    if json:
        print_json(made)
    else:
        print_table(("topic", "for", "result"), [(topic.topic, topic.role, topic.result) for topic in made])
    return DONE


async def check(*, config: ConfigOption = None, json: JsonOption = False) -> int:
    """Compare the topics with the settings: partitions, replicas, cleanup; exits 1 where something is wrong.

    ```sh
    leverage-gateway topics check --config gateway.toml
    ```
    """
    settings = read_settings(config, with_accounts=False)
    problems = await check_topics(settings, base_dir=base_dir_of(config))
    if json:
        print_json({"ok": not problems, "problems": problems})
    elif problems:
        print_table(("topic", "for", "problem"), [(found.topic, found.role, found.problem) for found in problems])
    else:
        print_line("All six topics are as the settings say.")
    return NO if problems else DONE
