"""The chart of the documentation: what a login costs, as an SVG of plain shapes and text."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from html import escape
from typing import Any

WIDTH, LABEL, BAR, GAP, TOP = 720, 150, 20, 10, 68
LONGEST = WIDTH - LABEL - 90  # of a bar; its value stands behind it

STYLE = """
text { font: 13px system-ui, sans-serif; fill: #1f2328 }
.title { font-weight: 600; font-size: 15px }
.quiet { fill: #59636e }
.ours { fill: #0b7a75 }
.floor { fill: #8c959f }
.other { fill: #c77d0a }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 } .quiet { fill: #9198a1 }
  .ours { fill: #2fb5ae } .floor { fill: #6e7681 } .other { fill: #e0a030 }
}
"""


def draw(results: Mapping[str, Any]) -> str:
    """Draw the CPU time of a login, over http and, where it was measured, over https."""
    shapes: list[str] = []
    top = TOP
    for scheme, samples in logins(results).items():
        shapes.append(f'<text class="quiet" x="0" y="{top + 2}">provider on {scheme}</text>')
        top += GAP + 4
        medians = {name: statistics.median(values) / 1000 for name, values in samples.items()}
        for name, value in sorted(medians.items(), key=lambda item: item[1]):
            width = max(2, value / max(medians.values()) * LONGEST)
            kind = "ours" if name.startswith("Reliant") else "floor" if name == "floor" else "other"
            middle = top + BAR - 5
            shapes += [
                f'<text x="{LABEL - 8}" y="{middle}" text-anchor="end">{escape(name)}</text>',
                f'<rect class="{kind}" x="{LABEL}" y="{top}" width="{width:.0f}" height="{BAR}"/>',
                f'<text x="{LABEL + width + 8:.0f}" y="{middle}">{value:.2f} ms</text>',
            ]
            top += BAR + GAP
        top += 2 * GAP
    title = "CPU time of the application for one login"
    how = f"median of {results['runs']} runs, Python {results['python']}; " \
          "the floor is a login by hand without any check"  # fmt: skip
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{top}" '
            f'viewBox="0 0 {WIDTH} {top}" role="img" aria-label="{title}">',
            f"<title>{title}</title>",
            f"<style>{STYLE}</style>",
            f'<text class="title" x="0" y="16">{title}</text>',
            f'<text class="quiet" x="0" y="36">{escape(how)}</text>',
            *shapes,
            "</svg>\n",
        ]
    )


def logins(results: Mapping[str, Any]) -> dict[str, Mapping[str, list[float]]]:
    """The samples of the logins, in microseconds, by scheme and contender."""
    return {
        figure["name"].rpartition(", ")[2]: figure["samples"]
        for figure in results["figures"]
        if figure["name"].startswith("CPU per login, session")
    }
