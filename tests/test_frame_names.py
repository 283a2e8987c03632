"""One word, one thing: no two classes of the gateway have one name, and the glossary's words stand in the code."""

import ast
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
