"""Build the documentation site with Sphinx and Furo: `python scripts/build_site.py [FOLDER]` (default: build/site).

docs/ is written for readers of plain Markdown, so the site is built from a copy: pages from elsewhere join it, links
that lead out of docs/ are turned to them, and the sidebar is made of docs/site.toml. Any warning fails. The site
fetches nothing.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
LINK = re.compile(r"\]\((?!https?:|#)([^)#\s]+)(#[^)\s]*)?\)")
CONF = """
import sys

sys.path.insert(0, {scripts!r})
project = "DuoLearn"
html_title = "DuoLearn"
author = copyright = "DuoLearn contributors"
extensions = ["myst_parser"]
root_doc = "contents"
html_theme = "furo"
html_copy_source = html_show_sourcelink = False
# Plain GitHub Markdown: a line that begins with a per cent sign is text.
myst_gfm_only = True
myst_heading_anchors = 4
myst_heading_slug_func = "glossary_links.slug"
"""


def navigation() -> dict[str, list[str]]:
    """The site's pages by section."""
    return _settings()["sections"]


def outside() -> dict[str, str]:
    """Pages that lie outside docs/, by path from the project's root: their place in the site."""
    return _settings()["outside"]


def _settings() -> Mapping[str, Any]:
    return tomllib.loads((DOCS / "site.toml").read_text(encoding="utf-8"))


def assemble(folder: Path) -> None:
    """Write the sources of the site into an empty folder."""
    shutil.copytree(DOCS, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.toml"))
    sources = {ROOT / path: page for path, page in outside().items()}
    sources |= {path: path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")}
    for source, page in sources.items():
        text = relinked(source.read_text(encoding="utf-8"), source, page)
        (folder / page).write_text(text, encoding="utf-8")
    (folder / "contents.rst").write_text(contents(), encoding="utf-8")
    (folder / "conf.py").write_text(CONF.format(scripts=str(Path(__file__).parent)), encoding="utf-8")


def relinked(text: str, source: Path, page: str) -> str:
    """The text of `source` with its links as seen from `page` of the site."""

    def led(match: re.Match[str]) -> str:
        target = Path(os.path.normpath(source.parent / match[1]))
        inside = outside().get(target.relative_to(ROOT).as_posix())
        if inside is None and target.is_relative_to(DOCS):
            inside = target.relative_to(DOCS).as_posix()
        # README is the project's page, the start page the site's.
        place = os.path.relpath(inside or "index.md", Path(page).parent)
        return f"]({place}{match[2] or ''})"

    return LINK.sub(led, text)


def contents() -> str:
    """The page behind the sidebar."""
    parts = ["Contents\n========\n"]
    for section, pages in navigation().items():
        rows = "\n".join(f"   {page.removesuffix('.md')}" for page in pages)
        parts.append(f".. toctree::\n   :caption: {section}\n\n{rows}\n")
    return "\n".join(parts)


def main(arguments: Sequence[str]) -> int:
    """Build the site; return Sphinx's status."""
    out = Path(arguments[0]) if arguments else ROOT / "build" / "site"
    with tempfile.TemporaryDirectory() as name:
        assemble(Path(name))
        command = [sys.executable, "-m", "sphinx", "--quiet", "--fail-on-warning", "--keep-going", "-b", "html", name]
        return subprocess.run([*command, str(out)], check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
