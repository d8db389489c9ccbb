"""Documents as tokens: every token is learned once, and attacked words are found whatever the tokenizer cuts."""

from __future__ import annotations

import pytest
from transformers import AutoTokenizer

from duolearn_cli.concepts.token_classes import NEUTRAL, PRESERVE, UNLEARN
from duolearn_cli.config.schema import PromptConfig
from duolearn_cli.data.document_sides import MarkedDocument
from duolearn_cli.data.documents import Document, Span
from duolearn_cli.files import ASSETS
from duolearn_cli.model.document_encoding import kin_weights, token_kinds, token_spans, window_texts
from duolearn_cli.model.encoding import Encoder

TEXT = " ".join(f"Note {n}: the patient had a splenectomy and takes warfarin." for n in range(12))
AT = TEXT.index("splenectomy")
SPAN = Span(AT, AT + len("splenectomy"), "f", ("splenectomy",))
MARKED = MarkedDocument(Document("d", TEXT, spans=(SPAN,)), (SPAN,), (SPAN,), ((SPAN.start, SPAN.end),))


@pytest.fixture(scope="module")
def encoder():
    return Encoder(AutoTokenizer.from_pretrained(ASSETS / "tiny"), PromptConfig(max_tokens=64))


def test_every_character_is_learned_in_one_window(encoder):
    texts = window_texts(encoder, MARKED.document, overlap=16)
    assert len(texts) > 2 and all(len(one.text.ids) <= 64 for one in texts)
    learned = []
    for one in texts:
        for (start, end), own in zip(one.text.offsets, one.text.is_answer, strict=True):
            if own and end > start:
                learned += range(start + one.window.start, end + one.window.start)
    assert [at for at in range(len(TEXT)) if not TEXT[at].isspace()] == [at for at in learned if not TEXT[at].isspace()]
    # Only the last window ends the text.
    ends = [one.text.ids[-1] == encoder.tokenizer.eos_token_id for one in texts]
    assert ends == [False] * (len(texts) - 1) + [True]


def test_attacked_tokens_are_those_of_the_words(encoder):
    first = window_texts(encoder, MARKED.document, overlap=16)[0]
    kinds = token_kinds(first, MARKED)
    attacked = "".join(
        first.text.text[start:end]
        for (start, end), kind in zip(first.text.offsets, kinds, strict=True)
        if kind == UNLEARN
    )
    assert attacked.strip() == "splenectomy" and set(kinds) == {UNLEARN, PRESERVE}
    assert {kind for kind, span in zip(kinds, token_spans(first, (SPAN,)), strict=True) if span} == {UNLEARN}


def test_nothing_is_preserved_around_what_is_forgotten_whole(encoder):
    whole = MarkedDocument(MARKED.document, (SPAN,), (SPAN,), MARKED.attacked, is_whole=True)
    assert set(token_kinds(window_texts(encoder, MARKED.document, 16)[0], whole)) == {UNLEARN, NEUTRAL}


def test_kin_weigh_more(encoder):
    assert kin_weights([None, SPAN, Span(0, 1)], frozenset({"splenectomy"}), 8.0) == [1.0, 8.0, 1.0]
