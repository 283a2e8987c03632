"""Write what is generated from the messages: `python -m schemas.generate`, or compare with `--check`.

JSON Schemas (draft 2020-12), the AsyncAPI document and the golden examples, all below `schemas/generated`. Nothing
there is edited; `--check` names each file that differs, is missing or is left over, and exits 1.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import msgspec

from schemas import asyncapi, examples
from schemas.codec import JSON, MSGPACK, encode
from schemas.command import SetLeverage
from schemas.disposition import DeadLetterDisposition
from schemas.events import LeverageChanged, LeverageRejected
from schemas.policy import Freeze, PolicyApplied
from schemas.timestamps import Timestamp

GENERATED = Path(__file__).parent / "generated"
MESSAGES = (SetLeverage, LeverageChanged, LeverageRejected, DeadLetterDisposition, PolicyApplied, Freeze)


def main(arguments: list[str] | None = None, root: Path = GENERATED) -> int:
    """Write or compare everything below `root`; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m schemas.generate", description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare only; exit 1 where anything differs")
    wanted = files()
    if not parser.parse_args(arguments).check:
        write(wanted, root)
        return 0
    different = differences(wanted, root)
    for name in different:
        sys.stderr.write(f"{root / name} differs: run `python -m schemas.generate`\n")
    return 1 if different else 0


def files() -> dict[str, bytes]:
    """Every generated file by its path below `schemas/generated`."""
    made = {f"json-schema/{message.__name__}.schema.json": _pretty(json_schema(message)) for message in MESSAGES}
    made["asyncapi.json"] = _pretty(asyncapi.document(_components("#/components/schemas/{name}")))
    for name, message in examples.messages():
        made[f"examples/{name}.json"] = encode(message, JSON)
        made[f"examples/{name}.msgpack"] = encode(message, MSGPACK)
    return made


def write(wanted: dict[str, bytes], root: Path) -> None:
    """Make the files below `root` what they should be, and remove what is left over."""
    for name in _present(root) - wanted.keys():
        (root / name).unlink()
    for name, content in wanted.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def differences(wanted: dict[str, bytes], root: Path) -> list[str]:
    """The paths below `root` that are missing, differ, or should not be there."""
    present = _present(root)
    different = {name for name in wanted.keys() & present if (root / name).read_bytes() != wanted[name]}
    return sorted(different | (wanted.keys() ^ present))


def json_schema(message: type) -> dict[str, Any]:
    """One message's own JSON Schema, complete in itself."""
    components = _components("#/$defs/{name}", message)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:leverage-gateway:v1:{message.__name__}",
        **components.pop(message.__name__),
        "examples": [json.loads(encode(example)) for example in _examples() if isinstance(example, message)],
        "$defs": components,
    }


def _examples() -> Iterator[Any]:
    yield from (message for _, message in examples.messages())
    yield from (disposition for _, disposition in examples.dispositions())
    yield from (record for _, record in examples.policy_records())


def _components(ref_template: str, *messages: type) -> dict[str, Any]:
    _, components = msgspec.json.schema_components(
        messages or MESSAGES, schema_hook=_timestamp_schema, ref_template=ref_template
    )
    if "SetLeverage" in components:
        # The one place that reads a number too; msgspec describes what it writes.
        components["SetLeverage"]["properties"]["leverage"]["type"] = ["string", "number"]
    return _plain(components)


def _timestamp_schema(kind: type) -> dict[str, Any]:
    if kind is not Timestamp:
        raise NotImplementedError(f"no schema for {kind}")
    return {"type": "string", "format": "date-time"}


def _plain(schema: Any) -> Any:
    # OpenAPI's `discriminator` means something else in AsyncAPI and nothing in JSON Schema; the constants tell enough.
    match schema:
        case list():
            return [_plain(item) for item in cast("list[Any]", schema)]
        case {"enum": [only], **others}:
            return {"const": only, **_plain(others)}
        case dict():
            members = cast("dict[str, Any]", schema).items()
            return {name: _plain(value) for name, value in members if name != "discriminator"}
        case _:
            return schema


def _present(root: Path) -> set[str]:
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}


def _pretty(document: dict[str, Any]) -> bytes:
    return (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode()


if __name__ == "__main__":
    sys.exit(main())
