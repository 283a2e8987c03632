"""One word, one thing: no two classes of the gateway have one name, and the glossary's words stand in the code."""

import ast
import re
from collections import defaultdict
from pathlib import Path

GATEWAY = Path(__file__).parent.parent / "gateway"


def test_no_two_classes_have_one_name():
    """The simulator apart: it is another party, with words of its own."""
    places: defaultdict[str, list[str]] = defaultdict(list)
    for path in GATEWAY.rglob("*.py"):
        where = path.relative_to(GATEWAY)
        if where.parts[0] != "simulator":
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.ClassDef):
                    places[node.name].append(str(where))
    assert {name: found for name, found in places.items() if len(found) > 1} == {}


def test_each_name_in_the_glossary_stands_in_the_code():
    named = re.findall(r"`(\w+)`", (GATEWAY / "GLOSSARY.md").read_text())
    code = "\n".join(path.read_text() for path in GATEWAY.rglob("*.py"))
    assert [name for name in named if not re.search(rf"\b{name}\b", code)] == []


def test_the_glossary_is_in_order():
    words = re.findall(r"^\| ([a-z ]+) \|", (GATEWAY / "GLOSSARY.md").read_text(), re.MULTILINE)[1:]
    assert words == sorted(words)
