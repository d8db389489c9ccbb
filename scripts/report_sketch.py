"""Draw docs/figures/report.svg, a sketch of a report's first lines, from docs/results/demo.json.

python scripts/report_sketch.py
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from duolearn_cli.report.lights import Scale, Shown, lights_of

DOCS = Path(__file__).parents[1] / "docs"
WIDTH, LEFT, WIDE, TOP, HIGH = 800, 222, 280, 122, 50
STATES = {"green": "#1c7c3c", "amber": "#8a5a00", "red": "#b42318", "off": "#555"}
MARKS = {"target": "#3b6fb6", "gold": "#1c7c3c", "chance": "#777", "limit": "#777"}
LEGEND = (
    "orange: now, with its 95 % interval; green: gold; blue: before (target); dashed: chance, or an attack that sees "
    "nothing"
)


def sketch(kept: Mapping[str, Any]) -> str:
    """The picture as SVG."""
    sentence, lights = lights_of(kept["metrics"], {})
    lines = textwrap.wrap(sentence, 84)
    high = TOP + HIGH * len(lights)
    head = [_text(22, 58 + 20 * i, line, 'font-weight="600" fill="#111"') for i, line in enumerate(lines)]
    rows = [part for i, one in enumerate(lights) for part in _row(TOP + i * HIGH, one)]
    drawn = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {high}" width="{WIDTH}" height="{high}" '
        'role="img" aria-labelledby="t" font-family="system-ui, sans-serif" font-size="15">\n',
        f'  <title id="t">{escape(_spoken(sentence, lights))}</title>\n',
        f'  <rect width="{WIDTH}" height="{high}" rx="10" fill="#ffffff"/>\n',
        _text(22, 34, kept["command"], 'font-size="13" fill="#444"'),
        *head,
        _text(22, 104, LEGEND, 'font-size="12" fill="#444"'),
        *rows,
        "</svg>\n",
    ]
    return "".join(drawn)


def _row(y: int, one: Shown) -> Iterator[str]:
    color = STATES[one.state]
    yield _text(22, y + 18, f"{one.sign} {one.name}", f'font-weight="600" fill="{color}"')
    yield _text(38, y + 35, one.word, 'font-size="12" fill="#444"')
    if one.scale:
        yield from _scale(y + 8, one.scale)
        yield _text(LEFT + WIDE + 16, y + 18, one.number, 'fill="#111"')
        yield _text(LEFT + WIDE + 16, y + 35, one.scale.label, 'font-size="12" fill="#444"')


def _scale(y: int, scale: Scale) -> Iterator[str]:
    """A line from 0 to the scale's end, with the interval and a stroke for each mark."""
    yield f'  <rect x="{LEFT}" y="{y}" width="{WIDE}" height="20" rx="4" fill="#f0f0f0"/>\n'
    for mark in scale.marks:
        if mark.kind != "now":
            dash = ' stroke-dasharray="3 3"' if mark.kind == "chance" else ""
            stroke = f'stroke="{MARKS[mark.kind]}" stroke-width="3"{dash}'
            yield f'  <path d="M{_place(mark.place)} {y - 3}V{y + 23}" {stroke}/>\n'
    if scale.interval:
        low, high = map(_place, scale.interval)
        yield f'  <path d="M{low} {y + 10}H{high}" stroke="#e8a76a" stroke-width="5"/>\n'
    for mark in scale.marks:
        if mark.kind == "now":
            yield f'  <circle cx="{_place(mark.place)}" cy="{y + 10}" r="6" fill="#c05a00"/>\n'


def _place(percent: float) -> str:
    return f"{LEFT + WIDE * percent / 100:.0f}"


def _text(x: int, y: int, text: str, style: str) -> str:
    return f'  <text x="{x}" y="{y}" {style}>{escape(text)}</text>\n'


def _spoken(sentence: str, lights: Sequence[Shown]) -> str:
    """The picture in words, for readers who do not see it."""
    said = (f"{one.name}: {one.word}{f' ({one.scale.sentence})' if one.scale else ''}" for one in lights)
    return f"A report in brief: {sentence} {'; '.join(said)}"


if __name__ == "__main__":
    kept = json.loads((DOCS / "results" / "demo.json").read_text(encoding="utf-8"))
    (DOCS / "figures" / "report.svg").write_text(sketch(kept), encoding="utf-8")
