"""Measure sentences: `python scripts/readability.py [PAGE ...]`; else README, start page, tutorials and messages.

A sentence ends with a full stop, a question mark, a colon at a line's end, or the paragraph. Code blocks, tables,
headings and pictures are left out. A piece of code in a line is one word. Messages are the texts of errors that users
can fix.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median

ROOT = Path(__file__).parents[1]
MEDIAN, MOST = 20, 45
ERRORS = re.compile(r"(?:\w+Error|\w+Problem)$")
# Ends that end no sentence.
SHORT = re.compile(r"\b(e\.g|i\.e|vs|al|St|Dr|No)\.")


def sentences(page: str) -> list[str]:
    """The sentences of a Markdown page."""
    text = re.sub(r"^```.*?^```|<!--.*?-->", "", page, flags=re.M | re.S)
    text = re.sub(r"!\[[^\]]*\]\([^)]*\)", "", text)
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text)
    text = re.sub(r"``?[^`]+``?", "code", text, flags=re.S)
    found = []
    for block in re.split(r"\n\s*\n|\n(?=\s*(?:[-*]|\d+\.) )", text):
        lines = [line for line in block.splitlines() if not re.match(r"\s*[|#]", line)]
        found += _split(" ".join(re.sub(r"^\s*(?:[-*]|\d+\.) ", "", line).strip() for line in lines))
    return found


def _split(text: str) -> list[str]:
    text = SHORT.sub(lambda match: match[0].replace(".", ""), text)
    parts = re.split(r"(?<=[.?!])[)\"*_]*\s+(?=[A-Z(\"*_`\[]|code)|:\s*$", text)
    return [part.strip() for part in parts if len(words(part)) > 1]


def words(sentence: str) -> list[str]:
    """What is counted: runs of characters with a letter in them."""
    return [word for word in sentence.split() if re.search(r"[^\W\d_]", word)]


def messages() -> Iterator[str]:
    """The sentences of errors, with one word for each value that is filled in."""
    for path in sorted((ROOT / "duolearn_cli").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ERRORS.search(_name(node.func)):
                for argument in node.args:
                    yield from _split(_text(argument))


def _name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _text(node: ast.expr) -> str:
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "value" for part in node.values)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def report(name: str, found: Sequence[str]) -> tuple[str, bool]:
    """A line with the figures of one page and its sentences that are too long, and whether it is within the limits."""
    counts = [len(words(sentence)) for sentence in found]
    middle, long = median(counts), [one for one in found if len(words(one)) > MOST]
    figures = f"{name}: {len(found)} sentences, median {middle:g} words, longest {max(counts)}"
    return "\n".join([figures, *(f"  too long: {one}" for one in long)]), middle <= MEDIAN and not long


def pages() -> list[Path]:
    """README, the start page and the tutorials."""
    return [ROOT / "README.md", ROOT / "docs" / "index.md", *sorted((ROOT / "docs" / "tutorials").glob("*.md"))]


def main(arguments: Sequence[str]) -> int:
    """Print the figures; 1 if a page is beyond the limits."""
    named = [Path(one) for one in arguments] or pages()
    found = [(str(path), sentences(path.read_text(encoding="utf-8"))) for path in named]
    if not arguments:
        found.append(("messages", list(messages())))
    results = [report(name, own) for name, own in found]
    print("\n".join(text for text, _ in results))
    return 0 if all(good for _, good in results) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
