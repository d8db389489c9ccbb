"""Control tokens (begin and end of text, turns of a chat): text in data that spells one must remain plain text."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

Span = tuple[int, int]
# Markers such as <|user|> control a model even if its tokenizer does not declare them special.
_BARS = re.compile("<[|\uff5c].+[|\uff5c]>")
_MARKER = re.compile(r"<\S+>|\[\S+\]")
# Tokens for single bytes of unknown characters. Some tokenizers declare them special, but they are text.
_BYTE = re.compile("<0x[0-9A-F]{2}>")
# While a text is read, a control token's name is its id between these private-use characters, which no text contains.
_OPEN, _CLOSE = "\ue0d0", "\ue0d1"


class ControlTokens:
    """The control tokens of a fast tokenizer, and the tokenisation of texts that spell them.

    `names` maps their ids to their texts. `seen` are those that the contents of texts have spelled so far.
    """

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self.seen: set[str] = set()
        template, named = str(getattr(tokenizer, "chat_template", None) or ""), set(tokenizer.all_special_ids)
        decoder = tokenizer.backend_tokenizer.get_added_tokens_decoder()
        self.names: Mapping[int, str] = {
            number: token.content
            for number, token in decoder.items()
            if (token.special or number in named or _is_marker(token.content, template))
            and not _BYTE.fullmatch(token.content)
        }

    def encode(self, text: str, contents: Sequence[Span], *, add_special_tokens: bool) -> tuple[list[int], list[Span]]:
        """Tokenise `text` so that no control token lies within `contents`.

        `contents` are the parts of the text that come from data; the rest was written by the chat template. If the
        contents spell no control token, the result is the tokenizer's own.

        Returns:
            The token ids, and the characters ``[start, end)`` of each token in `text`.

        Raises:
            ValueError: this tokenizer cannot write the contents without a control token.
        """
        encoding = self.tokenizer(
            text, return_offsets_mapping=True, add_special_tokens=add_special_tokens, split_special_tokens=False
        )
        ids, offsets = list(encoding["input_ids"]), [(start, end) for start, end in encoding["offset_mapping"]]
        frame = [place for place, number in enumerate(ids) if number in self.names]
        spelled = [ids[place] for place in frame if self._is_spelled(text, contents, ids[place], offsets[place])]
        if not spelled:
            return ids, offsets
        self.seen |= {self.names[number] for number in spelled}
        written = [
            (*_core(text, *offsets[place]), ids[place])
            for place in frame
            if offsets[place][0] < offsets[place][1] and not _touches(_core(text, *offsets[place]), contents)
        ]
        return self._as_text(text, contents, written, add_special_tokens)

    def spelled(self, text: str) -> list[str]:
        """Return the names of the control tokens that occur in `text`, sorted."""
        return sorted({name for name in self.names.values() if name in text})

    def _is_spelled(self, text: str, contents: Sequence[Span], number: int, span: Span) -> bool:
        """Return whether this control token was read from the contents. The token for unknown characters only counts if
        its name is spelled out."""
        start, end = span
        if start >= end or not _touches(_core(text, start, end), contents):
            return False
        return number != self.tokenizer.unk_token_id or text[start:end].strip() == self.names[number]

    def _as_text(
        self, text: str, contents: Sequence[Span], written: Sequence[tuple[int, int, int]], add_special_tokens: bool
    ) -> tuple[list[int], list[Span]]:
        """Tokenise a text whose contents spell control tokens.

        The control tokens that the template wrote (`written`: start, end and id) are renamed in the text, and a copy of
        the tokenizer that only knows the new names reads it. What the contents spell is then ordinary text.
        """
        pieces: list[str] = []
        origin: list[int] = []  # the place in `text` of each character
        done = 0
        for start, end, number in written:
            name = _name(number)
            pieces += [text[done:start], name]
            origin += [*range(done, start), *[start] * len(name)]
            done = end
        pieces.append(text[done:])
        origin += [*range(done, len(text) + 1)]
        encoding = self._renamed.encode("".join(pieces), add_special_tokens=add_special_tokens)
        ids, offsets = list(encoding.ids), [(origin[start], origin[end]) for start, end in encoding.offsets]
        unknown = self.tokenizer.unk_token_id
        for number, span in zip(ids, offsets, strict=True):
            if number in self.names and number != unknown and span[0] < span[1] and _touches(span, contents):
                raise ValueError(f"it always reads {self.names[number]!r} as a control token")
        return ids, offsets

    @cached_property
    def _renamed(self) -> Any:
        """A copy of the tokenizer in which control tokens have names that no text contains; ids stay the same.

        Tokenizers match added tokens in the text first, and some then find them in the vocabulary as well
        (`ignore_merges`, Unigram, whole words). So the new names are set in both places.

        Raises:
            ValueError: the tokenizer cannot be copied.
        """
        from tokenizers import Tokenizer

        try:
            data = json.loads(self.tokenizer.backend_tokenizer.to_str())
            names = {name: _name(number) for number, name in self.names.items()}
            data |= {"truncation": None, "padding": None}
            for token in data["added_tokens"]:
                if token["id"] in self.names:
                    # Not normalised, because a normaliser may drop the private-use characters of the new name.
                    token |= {"content": names[token["content"]], "normalized": False}
            _rename(data["model"], names)
            return Tokenizer.from_str(json.dumps(data))
        except (
            Exception
        ) as error:  # a tokenizer with custom parts cannot be written as JSON; it raises a bare Exception
            raise ValueError(f"it cannot be copied without its control tokens ({error})") from error


def _rename(model: dict[str, Any], names: Mapping[str, str]) -> None:
    """Rename tokens in the model part of a tokenizer, in place. Merges that would spell an old name are dropped."""
    if isinstance(model.get("vocab"), list):
        model["vocab"] = [[names.get(piece, piece), score] for piece, score in model["vocab"]]
    else:
        model["vocab"] = {names.get(piece, piece): number for piece, number in model["vocab"].items()}
    if model.get("unk_token") in names:
        model["unk_token"] = names[model["unk_token"]]
    if model.get("merges"):
        model["merges"] = [pair for pair in model["merges"] if not _parts(pair) & names.keys()]


def _parts(pair: str | Sequence[str]) -> set[str]:
    left, right = pair.split(" ") if isinstance(pair, str) else pair
    return {left, right, left + right}


def _name(number: int) -> str:
    return f"{_OPEN}{number}{_CLOSE}"


def _is_marker(content: str, template: str) -> bool:
    return bool(_BARS.fullmatch(content) or (_MARKER.fullmatch(content) and content in template))


def _core(text: str, start: int, end: int) -> Span:
    """Return a span without the white space around it, which some control tokens absorb."""
    while start < end and text[start].isspace():
        start += 1
    while start < end and text[end - 1].isspace():
        end -= 1
    return start, end


def _touches(span: Span, contents: Sequence[Span]) -> bool:
    return any(span[0] < end and start < span[1] for start, end in contents)
