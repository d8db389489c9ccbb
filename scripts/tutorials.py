"""Follow the tutorials' commands: `python scripts/tutorials.py [--write] [PAGE ...]` compares or writes their outputs.

Pages run in the order of the site, in one folder, for each goes on where the one before it ended. A page holds files (a
line with the path in backticks, then a fenced block) and commands (a `bash` block). A `text` block right after a
command is its output. Above it `<!-- prints: REGEX -->` keeps the lines that match; without it the block is the whole
output. Numbers may differ between machines, so only the words are compared.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "tutorials"
BLOCK = re.compile(
    r"^(?:`(?P<path>[^`\n]+)`\n\n```\w+\n(?P<file>.*?)^```$"
    r"|```bash\n(?P<command>.*?)^```$(?:\n\n(?:<!-- prints: (?P<filter>.*?) -->\n\n)?```text\n(?P<output>.*?)^```$)?)",
    re.M | re.S,
)
WIDTH = "100"


@dataclass(frozen=True)
class Step:
    """A file to write or a command to run; `output` is what the page shows of it, at `span` of the page's text."""

    path: str | None
    file: str | None
    command: str | None
    filter: str | None
    output: str | None
    span: tuple[int, int]


def steps(page: str) -> list[Step]:
    """The files and commands of a page, in order."""
    return [Step(**match.groupdict(), span=match.span("output")) for match in BLOCK.finditer(page)]


def pages() -> list[Path]:
    """The tutorials in the order of the site."""
    sections = tomllib.loads((ROOT / "docs" / "site.toml").read_text(encoding="utf-8"))["sections"]
    return [ROOT / "docs" / path for path in sections["Tutorials"]]


def run(step: Step, folder: Path) -> str:
    """What a command prints, cut to the lines that the page shows. Raises RuntimeError with its output if it fails."""
    assert step.command
    # The package of this checkout, whatever `duolearn` is on the path.
    own = f'duolearn() {{ "{sys.executable}" -m duolearn_cli "$@"; }}\n'
    surroundings = {**os.environ, "COLUMNS": WIDTH, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        ["bash", "-c", own + step.command], cwd=folder, env=surroundings, capture_output=True, text=True, timeout=1200
    )
    # A page may show a refusal: its command ends with a message on the other stream.
    refused = done.returncode == 2 and step.output and "error:" in step.output
    if done.returncode and not refused:
        raise RuntimeError(f"{step.command}\n{done.stdout}{done.stderr}")
    printed = (done.stderr if refused else done.stdout).replace(f"{folder.resolve()}/", "")
    # Tables of a piped command are as wide as their longest row.
    lines = [re.sub(r" +│$", " │", line.rstrip()) for line in printed.splitlines()]
    wanted = re.compile(step.filter or "")
    return "".join(f"{line}\n" for line in lines if wanted.search(line))


def follow(page: str, folder: Path) -> tuple[str, list[str]]:
    """The page with its outputs as they are now, and the commands whose output has other words."""
    changed, now, end = [], "", 0
    for step in steps(page):
        if step.path and step.file is not None:
            (folder / step.path).parent.mkdir(parents=True, exist_ok=True)
            (folder / step.path).write_text(step.file, encoding="utf-8")
        if step.command is None:
            continue
        printed = run(step, folder)
        if step.output is None:
            continue
        now += page[end : step.span[0]] + printed
        end = step.span[1]
        if words(printed) != words(step.output):
            changed.append(f"{step.command}shown:\n{step.output}printed:\n{printed}")
    return now + page[end:], changed


def words(output: str) -> list[str]:
    """The lines of an output without what differs between machines: numbers, hashes, marks at them, widths."""
    masks = ((r"\b[0-9a-f]{12,}\b", "#"), (r"[\d.,:]*\d|—", "#"), (r" \(!\)", ""), (r"[━─┅\s]+", " "))
    lines = output.splitlines()
    for pattern, mask in masks:
        lines = [re.sub(pattern, mask, line) for line in lines]
    return [line.strip() for line in lines]


def main(arguments: Sequence[str]) -> int:
    """Follow the pages; print what differs, or write it. Returns the exit status."""
    named = [Path(one).resolve() for one in arguments if one != "--write"]
    found = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder)
        for page in named or pages():
            text, changed = follow(page.read_text(encoding="utf-8"), folder)
            found += changed
            if "--write" in arguments:
                page.write_text(text, encoding="utf-8")
    print("\n".join(found))
    return 1 if found and "--write" not in arguments else 0


def prepare(folder: Path) -> None:
    """Put the files that the tutorials offer for download into the folder."""
    for path in FOLDER.glob("*.csv"):
        shutil.copy(path, folder)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
