"""Run the matrix and write what came of it: ``python -m tests.architectures.table [ARCHITECTURE ...]``.

Outcomes go to outcomes.json, with which the tests compare, and from there to docs/architectures.md.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from tests.architectures.zoo import ARCHITECTURES, FAMILIES, make_folder

# What the page says before its tables.
HEAD = Path(__file__).with_name("head.md")
OUTCOMES = Path(__file__).with_name("outcomes.json")
PAGE = Path(__file__).parents[2] / "docs" / "architectures.md"
WORKS = "works"


def page(found: Mapping[str, Mapping[str, str]]) -> str:
    """The documentation page that shows these outcomes, by architecture and check."""
    checks = list(next(iter(found.values())))
    messages = sorted({text for row in found.values() for text in row.values() if text != WORKS})
    number = {text: str(i) for i, text in enumerate(messages, start=1)} | {WORKS: "+"}
    lines = [HEAD.read_text(encoding="utf-8")]
    for family, members in FAMILIES.items():
        lines += [f"## {family[0].upper()}{family[1:]}", ""]
        lines += [f"| | {' | '.join(checks)} |", "|---|" + ":---:|" * len(checks)]
        for name in members:
            lines.append(f"| {name} | {' | '.join(number[found[name][check]] for check in checks)} |")
        lines.append("")
    lines += ["## Messages", "", *(f"{number[text]}. {text}" for text in messages)]
    return "\n".join(lines) + "\n"


def read() -> dict[str, dict[str, str]]:
    """The outcomes that the tests compare with."""
    return json.loads(OUTCOMES.read_text(encoding="utf-8"))


def main(names: list[str]) -> None:
    from tests.architectures.checks import outcomes

    found = read() if OUTCOMES.is_file() else {}
    for name in names or ARCHITECTURES:
        with tempfile.TemporaryDirectory() as folder:
            found[name] = outcomes(make_folder(ARCHITECTURES[name], Path(folder) / "model"), Path(folder))
        OUTCOMES.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(page({name: found[name] for name in ARCHITECTURES}), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
