"""Draw docs/figures/report.svg, a sketch of a report's first lines, from docs/results/demo.json.

python scripts/report_sketch.py
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parents[1] / "docs"
# Question, score, factor, unit, digits, what stands beside it.
ROWS = (
    ("Is it forgotten?", "chance_corrected_forgetting", 100, " %", 0, "100 % is guessing"),
    ("Is the rest kept?", "knowledge_preservation", 100, " %", 0, "100 % is as before"),
    ("Does an attack see it?", "mia_score", 1, "", 2, "1 is: it sees nothing"),
    ("Does the worst of five?", "mia_worst", 1, "", 2, "gold, too, is below 1"),
)
LEFT, WIDE, TOP, HIGH = 238, 300, 88, 46
# A scale reaches a little beyond what is best.
REACH = 1.2


def sketch(kept: Mapping[str, Any]) -> str:
    """The picture as SVG."""
    models = kept["metrics"]["models"]
    rows = "".join(part for i, row in enumerate(ROWS) for part in _row(TOP + i * HIGH, row, models))
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 800 290" width="800" height="290" role="img" '
        'aria-labelledby="t" font-family="system-ui, sans-serif" font-size="15">\n'
        f'  <title id="t">A report in brief: {_spoken(models)}</title>\n'
        '  <rect width="800" height="290" rx="10" fill="#ffffff"/>\n'
        f'  <text x="22" y="36" font-size="18" font-weight="600" fill="#111">{kept["command"]}</text>\n'
        '  <text x="22" y="60" font-size="13" fill="#444">orange: unlearned, with its 95 % interval; green: gold, '
        "which never learned it</text>\n"
        f"{rows}</svg>\n"
    )


def _row(y: int, row: tuple[str, str, int, str, int, str], models: Mapping[str, Any]) -> Iterator[str]:
    question, key, factor, unit, digits, note = row
    own, gold = (models[name]["scores"][key] for name in ("unlearned", "gold"))
    low, value, high, best = (LEFT + WIDE * max(0, end) / REACH for end in (own["low"], own["value"], own["high"], 1))
    values = [f"{factor * own[end]:.{digits}f}" for end in ("value", "low", "high")]
    text = f"{values[0]}{unit} [{values[1]}, {values[2]}]"
    yield f'  <text x="22" y="{y + 19}" fill="#111">{question}</text>\n'
    yield f'  <rect x="{LEFT}" y="{y}" width="{WIDE}" height="26" rx="4" fill="#f0f0f0"/>\n'
    yield f'  <rect x="{LEFT}" y="{y}" width="{value - LEFT:.0f}" height="26" rx="4" fill="#e8a76a"/>\n'
    yield f'  <path d="M{low:.0f} {y + 13}H{high:.0f}" stroke="#7a3e00" stroke-width="2.5"/>\n'
    yield f'  <path d="M{best:.0f} {y - 4}V{y + 30}" stroke="#777" stroke-dasharray="3 3"/>\n'
    place = LEFT + WIDE * gold["value"] / REACH
    yield f'  <path d="M{place:.0f} {y - 4}V{y + 30}" stroke="#1c7c3c" stroke-width="4"/>\n'
    yield f'  <text x="{LEFT + WIDE + 14}" y="{y + 12}" fill="#111">{text}</text>\n'
    yield f'  <text x="{LEFT + WIDE + 14}" y="{y + 29}" font-size="12" fill="#444">{note}</text>\n'


def _spoken(models: Mapping[str, Any]) -> str:
    scores = models["unlearned"]["scores"]
    return "; ".join(
        f"{question} {factor * scores[key]['value']:.{digits}f}{unit}"
        for question, key, factor, unit, digits, _ in ROWS
    )


if __name__ == "__main__":
    kept = json.loads((DOCS / "results" / "demo.json").read_text(encoding="utf-8"))
    (DOCS / "figures" / "report.svg").write_text(sketch(kept), encoding="utf-8")
