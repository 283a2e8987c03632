"""The tables of the README that are made from the code: `python -m tests.readme` writes them, a test compares them."""

from pathlib import Path

from gateway.settings import table
from gateway.telemetry import metrics

README = Path(__file__).parents[1] / "README.md"


def tables() -> dict[str, str]:
    """Each table, by the name that its marks in the README have."""
    return {"metrics": metrics.markdown_table(metrics.Metrics()), "settings": table.markdown_table()}


def with_tables(text: str) -> str:
    """The README's text with each table between its marks."""
    for name, made in tables().items():
        before, mark, rest = text.partition(f"<!-- {name}: made by `make schemas` -->\n")
        _, end, after = rest.partition(f"<!-- /{name} -->")
        if not (mark and end):
            raise ValueError(f"the README has no marks for {name}")
        text = before + mark + made + end + after
    return text


if __name__ == "__main__":
    README.write_text(with_tables(README.read_text("utf-8")), "utf-8")
