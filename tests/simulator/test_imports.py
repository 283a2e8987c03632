"""The simulator shares no code with what it judges, so that a signing bug cannot confirm itself."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import gateway.simulator

FORBIDDEN = ("gateway.venues", "gateway.transport", "gateway.limits", "gateway.pipeline")
SOURCES = sorted(Path(gateway.simulator.__file__).parent.rglob("*.py"))


def imported(source: Path) -> set[str]:
    """Every module that a file names in an import, wherever it stands."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            found |= {module} | {f"{module}.{alias.name}" for alias in node.names}
    return found


def forbidden(names: set[str]) -> set[str]:
    return {name for name in names if any(name == room or name.startswith(f"{room}.") for room in FORBIDDEN)}


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name)
def test_no_file_imports_what_it_judges(source: Path):
    assert forbidden(imported(source)) == set()


def test_nothing_of_it_is_loaded_on_the_way_either():
    code = "import sys, gateway.simulator; print('\\n'.join(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert forbidden(set(run.stdout.split())) == set()
