"""Control tokens (begin and end of text, turns of a chat) and text that happens to spell one: the text stays text."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

Span = tuple[int, int]
# Marks such as <|user|> steer models although some tokenizers do not declare them special.
_BARS = re.compile("<[|\uff5c].+[|\uff5c]>")
_MARKER = re.compile(r"<\S+>|\[\S+\]")
# How bytes of unknown characters are written; some tokenizers declare these special.
_BYTE = re.compile("<0x[0-9A-F]{2}>")
# Private-use characters, which no text holds, around a control token's id: its name while texts are read.
_OPEN, _CLOSE = "\ue0d0", "\ue0d1"


class ControlTokens:
    """The control tokens of one fast tokenizer, and how texts are tokenised that spell them.

    `names` are their texts by id; `met` those that contents have spelled so far.
    """

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self.met: set[str] = set()
        template, named = str(getattr(tokenizer, "chat_template", None) or ""), set(tokenizer.all_special_ids)
        decoder = tokenizer.backend_tokenizer.get_added_tokens_decoder()
        self.names: Mapping[int, str] = {
            number: token.content
            for number, token in decoder.items()
            if (token.special or number in named or _is_marker(token.content, template))
            and not _BYTE.fullmatch(token.content)
        }

    def encode(self, text: str, contents: Sequence[Span], *, add_special_tokens: bool) -> tuple[list[int], list[Span]]:
        """Token ids and their characters ``[start, end)`` in `text`; no control token lies within `contents`.

        `contents` are the parts of the text that come from data; the rest is a chat template's. A text whose contents
        spell no control token is what the tokenizer itself makes of it.

        Raises:
            ValueError: this tokenizer cannot write the contents without a control token.
        """
        found = self.tokenizer(
            text, return_offsets_mapping=True, add_special_tokens=add_special_tokens, split_special_tokens=False
        )
        ids, offsets = list(found["input_ids"]), [(start, end) for start, end in found["offset_mapping"]]
        frame = [place for place, number in enumerate(ids) if number in self.names]
        spelled = [ids[place] for place in frame if self._is_spelled(text, contents, ids[place], offsets[place])]
        if not spelled:
            return ids, offsets
        self.met |= {self.names[number] for number in spelled}
        written = [
            (*_core(text, *offsets[place]), ids[place])
            for place in frame
            if offsets[place][0] < offsets[place][1] and not _touches(_core(text, *offsets[place]), contents)
        ]
        return self._as_text(text, contents, written, add_special_tokens)

    def spelled(self, text: str) -> list[str]:
        """The control tokens that `text` spells, as a tokenizer that knows no better would read it."""
        return sorted({name for name in self.names.values() if name in text})

    def _is_spelled(self, text: str, contents: Sequence[Span], number: int, span: Span) -> bool:
        """Whether this control token was read out of the contents; an unknown character is none."""
        start, end = span
        if start >= end or not _touches(_core(text, start, end), contents):
            return False
        return number != self.tokenizer.unk_token_id or text[start:end].strip() == self.names[number]

    def _as_text(
        self, text: str, contents: Sequence[Span], written: Sequence[tuple[int, int, int]], add_special_tokens: bool
    ) -> tuple[list[int], list[Span]]:
        """Write the template's control tokens by other names, and read with a tokenizer that knows them by those."""
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
                raise ValueError(f"it reads {self.names[number]!r} as a control token whatever it is told")
        return ids, offsets

    @cached_property
    def _renamed(self) -> Any:
        """The same tokenizer, in which control tokens have names that no text holds.

        Added tokens are matched in the text before anything else, and some models find them in their vocabulary too
        (`ignore_merges`, Unigram, whole words): both get the new names, so that ids stay what they are.

        Raises ValueError where the tokenizer cannot be copied.
        """
        from tokenizers import Tokenizer

        try:
            data = json.loads(self.tokenizer.backend_tokenizer.to_str())
            names = {name: _name(number) for number, name in self.names.items()}
            data |= {"truncation": None, "padding": None}
            for token in data["added_tokens"]:
                if token["id"] in self.names:
                    # Normalisers may drop private-use characters: the name is matched before they run.
                    token |= {"content": names[token["content"]], "normalized": False}
            _rename(data["model"], names)
            return Tokenizer.from_str(json.dumps(data))
        except Exception as error:  # custom parts of a tokenizer cannot be written as JSON: a bare Exception
            raise ValueError(f"it cannot be copied without its control tokens ({error})") from error


def _rename(model: dict[str, Any], names: Mapping[str, str]) -> None:
    """Give the tokens `names` in a tokenizers model; merges that would spell them are dropped."""
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
    """Without the white space that some control tokens take with them."""
    while start < end and text[start].isspace():
        start += 1
    while start < end and text[end - 1].isspace():
        end -= 1
    return start, end


def _touches(span: Span, contents: Sequence[Span]) -> bool:
    return any(span[0] < end and start < span[1] for start, end in contents)
