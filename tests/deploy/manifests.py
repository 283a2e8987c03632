"""Manifests without a cluster: the chart rendered as Helm does it with what its templates use, and objects judged.

`python -m tests.deploy.render` does the same with the real `helm` and `kustomize`.
"""

import hashlib
import json
import re
from functools import cache
from pathlib import Path

import kubernetes_validate
import yaml
from jsonschema import Draft202012Validator

DEPLOY = Path(__file__).parents[2] / "deploy"
CRDS = Path(__file__).parent / "crds"
KUBERNETES = ("1.28.0", "1.37.0")  # the oldest that the chart says it takes, and the newest that is known
WITHOUT_SCHEMA = {"ExternalSecret"}  # of which none is published where this can have it
KEPT = {"Kustomization", "Component"}


def objects(text):
    return [document for document in yaml.safe_load_all(text) if document is not None]


def default_values():
    return yaml.safe_load((DEPLOY / "helm" / "values.yaml").read_text())


def rendered(values):
    """Every object of the chart with these values."""
    templates = sorted((DEPLOY / "helm" / "templates").glob("*.yaml"))
    return [found for template in templates for found in objects(_render(template.read_text(), values))]


def _render(text, values):
    enabled = re.search(r"\{\{- if \.Values\.(\S+) \}\}\n", text)
    if enabled:
        if not _look_up(values, enabled[1]):
            return ""
        text = text.replace(enabled[0], "").replace("{{- end }}", "")

    def lookup(found):
        value = _look_up(values, found[1])
        return {
            "toJson": lambda: json.dumps(value),
            "sha256sum | quote": lambda: f'"{hashlib.sha256(value.encode()).hexdigest()}"',
        }[found[2]]()

    text = re.sub(r"\{\{ \.Values\.(\S+) \| (.*?) \}\}", lookup, text)
    return text.replace('{{ "{{" }}', "{{")


def _look_up(values, path):
    for name in path.split("."):
        values = values[name]
    return values


@cache
def _schema(kind):
    return Draft202012Validator(json.loads((CRDS / f"{kind}.json").read_text()))


def judge(document):
    """Raise where an object is not what the published schemas want."""
    kind = document["kind"]
    if "." not in document["apiVersion"].split("/")[0] or document["apiVersion"].split("/")[0].endswith(".k8s.io"):
        for version in KUBERNETES:
            kubernetes_validate.validate(document, version, strict=True)
    elif kind not in WITHOUT_SCHEMA:
        _schema(kind).validate(document)
