"""The texts of a FHIR resource: attachments in base64, and the narrative in XHTML."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from email.message import Message
from html.parser import HTMLParser
from typing import Any

from duolearn_cli.data.readers.raw import RowError

# Elements that end a line, those that end a cell, and those whose content is no text.
_BLOCKS = frozenset(
    ["address", "article", "blockquote", "br", "caption", "dd", "div", "dl", "dt", "h1", "h2", "h3", "h4", "h5", "h6"]
) | {"hr", "li", "ol", "p", "pre", "table", "tr", "ul"}
_CELLS = frozenset(("td", "th"))
_HIDDEN = frozenset(("script", "style", "head", "title"))
_PLAIN, _MARKUP = ("text/plain",), ("text/html", "application/xhtml+xml")


def listed(value: object) -> list[Mapping[str, Any]]:
    """Return the objects of a list; empty for anything else."""
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []


def attached(attachments: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[str]]:
    """Return the texts of attachments in plain text or HTML, and what the others are.

    Raises:
        RowError: the data is not base64, its charset is unknown, or it is not in that charset.
    """
    texts: list[str] = []
    skipped: list[str] = []
    for attachment in attachments:
        kind, charset = _content_type(attachment.get("contentType"))
        data = attachment.get("data")
        if kind not in (*_PLAIN, *_MARKUP) or not data:
            skipped.append(f"a link ({kind})" if attachment.get("url") and not data else kind)
            continue
        text = _decoded(data, charset)
        texts.append(stripped(text) if kind in _MARKUP else text)
    return [text for text in texts if text.strip()], skipped


def narrative(value: object) -> list[str]:
    """Return the text of a Narrative, as a list of one; empty without one."""
    markup = value.get("div") if isinstance(value, Mapping) else None
    text = stripped(markup) if isinstance(markup, str) else ""
    return [text] if text else []


def stripped(markup: str) -> str:
    """Return the text of HTML or XHTML: a line for each block, no markup, and nothing of scripts and styles."""
    parser = _Text()
    parser.feed(markup)
    parser.close()
    lines = (re.sub(r"[^\S\n]+", " ", line).strip() for line in "".join(parser.parts).split("\n"))
    return "\n".join(line for line in lines if line)


class _Text(HTMLParser):
    """Collects text. It resolves no entity of a document type and opens no file, unlike parsers of XML."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._hidden = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._hidden += tag in _HIDDEN
        self._break(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._break(tag)

    def handle_endtag(self, tag: str) -> None:
        self._hidden = max(0, self._hidden - (tag in _HIDDEN))
        self._break(tag)

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.parts.append(re.sub(r"\s+", " ", data))

    def _break(self, tag: str) -> None:
        # Cells of a table would run together without a space.
        self.parts.append("\n" if tag in _BLOCKS else " " if tag in _CELLS else "")


def _content_type(value: object) -> tuple[str, str]:
    """Return the media type and the charset of a content type, text/plain and utf-8 by default."""
    message = Message()
    message["Content-Type"] = value if isinstance(value, str) and value.strip() else "text/plain"
    return message.get_content_type(), message.get_content_charset("utf-8")


def _decoded(data: object, charset: str) -> str:
    try:
        # Strict, because the default skips what is not base64 and decodes the rest.
        raw = base64.b64decode("".join(str(data).split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise RowError("bad_base64", f"an attachment is not base64: {error}") from error
    try:
        return raw.decode("utf-8-sig" if charset.replace("_", "-") in ("utf-8", "utf8") else charset)
    except LookupError as error:
        raise RowError("unknown_encoding", f"an attachment has the unknown charset {charset!r}") from error
    except UnicodeError as error:
        raise RowError("not_decodable", f"an attachment is not {charset}: {error}") from error
