"""Bars as an SVG that reads on a light page and on a dark one."""

from collections.abc import Mapping, Sequence
from html import escape

import msgspec

WIDTH, LABELS, BARS, ROW, TITLE = 820, 210, 520, 24, 40
STYLE = """
text { font: 13px system-ui, sans-serif; fill: #1f2328 }
.title { font-weight: 600 }
.ours { fill: #1a7f64 } .disk { fill: #6e7781 } .memory { fill: #b6bec7 }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 }
  .ours { fill: #3fb68b } .disk { fill: #8b949e } .memory { fill: #484f58 }
}
"""


class Bar(msgspec.Struct, frozen=True):
    """One engine: how long its bar is, what stands beside it, and whether it keeps its events on disk."""

    label: str
    value: float
    text: str
    on_disk: bool


def draw(charts: Mapping[str, Sequence[Bar]]) -> str:
    """The charts, one below the other; the first bar of each is ours."""
    y, lines = 8, list[str]()
    for title, bars in charts.items():
        y += TITLE
        lines.append(f'<text class="title" x="8" y="{y - 14}">{escape(title)}</text>')
        longest = max(bar.value for bar in bars)
        for position, bar in enumerate(bars):
            kind = "ours" if position == 0 else "disk" if bar.on_disk else "memory"
            width = max(1, round(BARS * bar.value / longest))
            lines += [
                f'<text x="{LABELS - 8}" y="{y + 14}" text-anchor="end">{escape(bar.label)}</text>',
                f'<rect class="{kind}" x="{LABELS}" y="{y + 2}" width="{width}" height="{ROW - 8}" rx="2"/>',
                f'<text x="{LABELS + width + 6}" y="{y + 14}">{escape(bar.text)}</text>',
            ]
            y += ROW
    y += 30
    lines.append(
        f'<text x="8" y="{y - 10}">Pale bars keep their events in memory alone; the others have each on disk '
        "before anyone acts on it.</text>"
    )
    body = "\n".join(lines)
    title = escape("; ".join(charts))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y}" role="img" aria-label="{title}">\n'
        f"<style>{STYLE}</style>\n{body}\n</svg>\n"
    )
