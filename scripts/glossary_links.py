"""Link each term of docs/glossary.md where it first appears in a page: `python scripts/glossary_links.py [--write]`.

Without --write it lists the terms that lack a link. Pages are README, the tutorials and the explanations (sections of
docs/site.toml). Headings, tables, code and links count as no appearance; terms in backticks are looked for in code.
"""

from __future__ import annotations

import os
import re
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
GLOSSARY = ROOT / "docs" / "glossary.md"
SECTIONS = ("Tutorials", "Explanation")
# Not prose, and of no importance to a reader who meets a word for the first time.
SKIPPED = re.compile(
    r"^```.*?^```[^\n]*$|^#[^\n]*$|^\|[^\n]*$|<!--.*?-->|!?\[[^\]]*\]\([^)]*\)|https?://\S+", re.M | re.S
)
CODE = re.compile(r"`+[^`]+`+")


@dataclass(frozen=True)
class Term:
    """A heading of the glossary; `words` are what it is called in pages, longest first."""

    slug: str
    words: tuple[str, ...]
    code: bool

    def written(self, word: str) -> str:
        """A pattern for one word of it; acronyms as they are, of others the first letter may be a capital."""
        if self.code:
            return f"`{re.escape(word)}`"
        first = word[0] if word.isupper() or word == "nll" else f"[{word[0].upper()}{word[0].lower()}]"
        # A hyphen or a file's ending makes another word of it.
        return rf"(?<![\w/.-]){first}{re.escape(word[1:]).replace(chr(92) + ' ', chr(92) + 's')}(?![\w/-]|\.\w)"


def terms() -> list[Term]:
    """The glossary's terms, in its order."""
    found = re.findall(r"^### (.+)\n\n(?:Also: ([^.]+)\.)?", GLOSSARY.read_text(encoding="utf-8"), re.M)
    return [_term(heading, [word.strip() for word in also.split(",") if word.strip()]) for heading, also in found]


def _term(heading: str, also: list[str]) -> Term:
    name = heading.strip("`")
    return Term(slug(heading), tuple(sorted([name, *also], key=len, reverse=True)), name != heading)


def slug(heading: str) -> str:
    """The anchor of a heading, as GitHub and the site make it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")


def pages() -> list[Path]:
    """README, then the pages of the site's sections that explain."""
    sections = tomllib.loads((ROOT / "docs" / "site.toml").read_text(encoding="utf-8"))["sections"]
    return [ROOT / "README.md", *(ROOT / "docs" / path for section in SECTIONS for path in sections[section])]


def linked(text: str, link: str) -> tuple[str, list[str]]:
    """The text with a link at each term's first appearance, and the slugs of terms that had none."""
    missing = []
    # From the end, so that the places before stay as they are.
    for anchor, place in sorted(_first(text).items(), key=lambda one: -one[1].start()):
        if f"({link}#{anchor})" not in text[: place.start()]:
            missing.append(anchor)
            text = f"{text[: place.start()]}[{place[0]}]({link}#{anchor}){text[place.end() :]}"
    return text, missing


def _first(text: str) -> dict[str, re.Match[str]]:
    """Where each term that is in the text appears first, by slug."""
    found: dict[str, re.Match[str]] = {}
    uncoded = _blinded(_blinded(text, SKIPPED), CODE)
    for code, blind in ((True, _blinded(text, SKIPPED)), (False, uncoded)):
        # Longer words first, so that "MIA score" is no appearance of "MIA".
        own = [(word, term) for term in terms() if term.code is code for word in term.words]
        own.sort(key=lambda one: -len(one[0]))
        for match in re.finditer("|".join(f"({term.written(word)})" for word, term in own), blind):
            found.setdefault(own[(match.lastindex or 1) - 1][1].slug, match)
    return found


def _blinded(text: str, what: re.Pattern[str]) -> str:
    """The text with spaces in place of what does not count; all places stay."""
    return what.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), text)


def checked(write: bool) -> Iterator[str]:
    """Yield the terms that lack a link, page by page; add the links where asked."""
    for page in pages():
        link = os.path.relpath(GLOSSARY, page.parent)
        text, missing = linked(page.read_text(encoding="utf-8"), link)
        if write and missing:
            page.write_text(text, encoding="utf-8")
        yield from (f"{page.relative_to(ROOT)}: {one}" for one in missing)


if __name__ == "__main__":
    print("\n".join(checked("--write" in sys.argv[1:])))
