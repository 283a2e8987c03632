"""Writes the Kustomize bases and the Helm chart from `objects`: `python -m deploy.kubernetes.generate`.

Both have the same objects: in the chart each value that a deployment decides is a lookup of `.Values`, in the base its
default. Nothing written here is edited; overlays and values files are where a deployment says what it wants.
"""

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from deploy.kubernetes import objects
from gateway.version import version

DEPLOY = Path(__file__).parents[1]
HEADER = "# Made by `make schemas` from deploy/kubernetes/objects.py.\n"
PARTS = {"gateway": objects.gateway, "strimzi": objects.strimzi, "monitoring": objects.monitoring}
FOLDERS = {"gateway": "base", "strimzi": "strimzi", "monitoring": "monitoring"}
OPTIONAL = {
    "strimzi": "Whether to make topics and users for Strimzi's operators.",
    "monitoring": "Whether to make a ServiceMonitor and the alert rules for the Prometheus operator.",
}
CONFIG = "gateway.toml, whole; it starts in the folder of the mounted secrets."
TYPES = {str: "string", int: "integer", bool: "boolean", list: "array", dict: "object"}


class ChartValues:
    """Takes note of every value that is asked for, and answers with a mark of where it is looked up."""

    def __init__(self) -> None:
        self.defaults: dict[str, tuple[Any, str]] = {}

    def __call__(self, path: str, default: Any, meaning: str) -> str:
        """A mark in place of the value."""
        self.defaults[path] = default, meaning
        return f"@@{path}@@"


def _default(_path: str, default: Any, _meaning: str) -> Any:
    return default


def files() -> dict[str, str]:
    """Every file that is written, by its path below deploy/."""
    values = ChartValues()
    made: dict[str, str] = {}
    for name, build in PARTS.items():
        made[f"kubernetes/{FOLDERS[name]}/{name}.yaml"] = HEADER + _dump(build(_default))
        if name in OPTIONAL:
            values(f"{name}.enabled", False, OPTIONAL[name])
        made[f"helm/templates/{name}.yaml"] = HEADER + _template(name, list(build(values)))
    made["helm/templates/config.yaml"] = HEADER + _marked(_dump([_config_map(values)]))
    made["helm/Chart.yaml"] = HEADER + _dump([_chart()])
    made["helm/values.yaml"] = HEADER + _values(values.defaults)
    made["helm/values.schema.json"] = json.dumps(_schema(values.defaults), indent=2, ensure_ascii=False) + "\n"
    return made


def _template(name: str, built: list[dict[str, Any]]) -> str:
    if name == "gateway":  # a new ConfigMap is a roll-out, as Kustomize's new name for it is
        built[0]["spec"]["template"]["metadata"] |= {
            "annotations": {"checksum/config": "@@config | sha256sum | quote@@"}
        }
    text = _marked(_dump(built).replace("{{", '{{ "{{" }}'))
    return f"{{{{- if .Values.{name}.enabled }}}}\n{text}{{{{- end }}}}\n" if name in OPTIONAL else text


def _config_map(values: ChartValues) -> dict[str, Any]:
    metadata = {"name": objects.NAME, "labels": objects.LABELS}
    data = {"gateway.toml": values("config", objects.TOML, CONFIG)}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def _chart() -> dict[str, Any]:
    return {
        "apiVersion": "v2",
        "name": objects.NAME,
        "description": "Sets leverage at exchanges: commands in from Kafka, venue calls out, exactly one answer each.",
        "type": "application",
        "version": version(),
        "appVersion": version(),
        "kubeVersion": ">=1.28.0-0",
    }


def _dump(built: Iterable[Mapping[str, Any]]) -> str:
    return yaml.dump_all(built, Dumper=_Plain, sort_keys=False, width=120, allow_unicode=True)


class _Plain(yaml.SafeDumper):
    """Without anchors: a list that stands twice is written twice."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - as the base has it
        return True


def _marked(text: str) -> str:
    """Marks become lookups; JSON is YAML, so it fits in everywhere, whatever the value is."""

    def lookup(mark: re.Match[str]) -> str:
        path, _, through = mark[1].partition(" | ")
        return f"{{{{ .Values.{path} | {through or 'toJson'} }}}}"

    return re.sub("'@@(.*?)@@'", lookup, text)


def _values(defaults: Mapping[str, tuple[Any, str]]) -> str:
    lines: list[str] = []
    for path, (default, meaning) in sorted(defaults.items(), key=lambda item: item[0].split(".")):
        *tables, name = path.split(".")
        for table in tables:
            if f"{table}:" not in lines:
                lines.append(f"{table}:")
        indent = "  " * len(tables)
        text = f"# {meaning}\n{_dump_value(name, default)}"
        lines += [indent + line for line in text.splitlines()]
    return "\n".join(lines) + "\n"


def _dump_value(name: str, value: Any) -> str:
    if isinstance(value, str) and "\n" in value:
        return f"{name}: |\n" + "".join(f"  {line}".rstrip() + "\n" for line in value.splitlines())
    return yaml.dump({name: value}, Dumper=_Plain, sort_keys=False, width=120, allow_unicode=True)


def _schema(defaults: Mapping[str, tuple[Any, str]]) -> dict[str, Any]:
    root = _table()
    for path, (default, meaning) in defaults.items():
        *tables, name = path.split(".")
        place = root
        for table in tables:
            place = place["properties"].setdefault(table, _table())
        kind = TYPES[type(default)]
        bounds = {"string": {"minLength": 1}, "integer": {"minimum": 0}}.get(kind, {})
        place["properties"][name] = {"type": kind, "description": meaning, **bounds}
    root["properties"]["global"] = {"type": "object"}  # Helm's own
    return {"$schema": "http://json-schema.org/draft-07/schema#", **root}


def _table() -> dict[str, Any]:
    return {"type": "object", "additionalProperties": False, "properties": {}}


def main() -> None:
    """Write them."""
    for name, text in files().items():
        path = DEPLOY / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
