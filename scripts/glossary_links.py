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

    @property
    def pattern(self) -> re.Pattern[str]:
        """Finds the term; acronyms as they are written, other words with either case of their first letter."""
        return re.compile("|".join(map(self._written, self.words)))

    def _written(self, word: str) -> str:
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
    # Longer terms first, so that "MIA score" is no appearance of "MIA".
    for term in sorted(terms(), key=lambda term: -max(map(len, term.words))):
        place = _first(text, term)
        if f"({link}#{term.slug})" in (text[: place.start()] if place else text):
            continue
        if place:
            missing.append(term.slug)
            text = f"{text[: place.start()]}[{place[0]}]({link}#{term.slug}){text[place.end() :]}"
    return text, missing


def _first(text: str, term: Term) -> re.Match[str] | None:
    blind = _blinded(text, SKIPPED) if term.code else _blinded(_blinded(text, SKIPPED), CODE)
    found = term.pattern.search(blind)
    return re.compile(re.escape(found[0])).search(text, found.start()) if found else None


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
