"""Hooks of MkDocs: pages that lie outside docs/ become pages of the site, and links to them lead there.

CONTRIBUTING.md, CHANGELOG.md and outputs/README.md are read in the repository too, so they stay where they are.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
# Path from the project's root: its page in the site.
OUTSIDE = {
    "CONTRIBUTING.md": "CONTRIBUTING.md",
    "CHANGELOG.md": "CHANGELOG.md",
    "outputs/README.md": "outputs.md",
    "README.md": "index.md",
}
LINK = re.compile(r"\]\((?!https?:|#)([^)#\s]+)(#[^)\s]*)?\)")


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that lie outside the folder of the documentation."""
    for source, page in OUTSIDE.items():
        if page not in files.src_uris:
            files.append(File.generated(config, page, content=_as_page(ROOT / source)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Turn links that leave docs/ into links to pages of the site."""
    own = page.file.src_uri
    return markdown if own in OUTSIDE.values() and own != "index.md" else _relinked(markdown, ROOT / "docs" / own)


def _as_page(path: Path) -> str:
    return _relinked(path.read_text(encoding="utf-8"), path, ROOT / "docs" / OUTSIDE[str(path.relative_to(ROOT))])


def _relinked(markdown: str, source: Path, page: Path | None = None) -> str:
    """Links of a file that becomes `page` (default: stays where it is), relative to that page."""
    start = (page or source).parent

    def led(match: re.Match[str]) -> str:
        target = (source.parent / match[1]).resolve()
        if not target.is_relative_to(ROOT):
            return match[0]
        inside = OUTSIDE.get(str(target.relative_to(ROOT)))
        if inside is None and not target.is_relative_to(ROOT / "docs"):
            return match[0]
        to = ROOT / "docs" / inside if inside else target
        return f"]({os.path.relpath(to, start)}{match[2] or ''})"

    return LINK.sub(led, markdown)
