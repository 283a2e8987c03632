"""Figures as bars in an SVG, without a library for it."""

from collections.abc import Mapping
from xml.sax.saxutils import escape

BAR, GAP, LEFT, WIDTH = 14, 4, 190, 460
COLOURS = ("#8a8f98", "#5b8def", "#e07a3f", "#56a36c", "#b06ab3", "#c9a227")


def bars(figures: Mapping[str, Mapping[str, Mapping[str, float]]]) -> str:
    """A group of bars for each measure and figure, each as long as its share of the group's largest."""
    drawn: list[str] = []
    y = 20
    for title, rows in figures.items():
        for field in next(iter(rows.values())):
            drawn.append(
                f'<text x="8" y="{y}" font-weight="bold">{escape(title)}: {escape(field.replace("_", " "))}</text>'
            )
            y += 8
            largest = max(row[field] for row in rows.values()) or 1.0
            for colour, (name, row) in zip(COLOURS * len(rows), rows.items(), strict=False):
                width = row[field] / largest * WIDTH
                drawn.append(f'<text x="{LEFT - 6}" y="{y + 11}" text-anchor="end">{escape(name)}</text>')
                drawn.append(f'<rect x="{LEFT}" y="{y}" width="{width:.1f}" height="{BAR}" fill="{colour}"/>')
                drawn.append(f'<text x="{LEFT + width + 4:.1f}" y="{y + 11}">{row[field]:.1f}</text>')
                y += BAR + GAP
            y += 18
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="740" height="{y}" font-family="sans-serif" font-size="11">'
    return "\n".join([head, *drawn, "</svg>", ""])
