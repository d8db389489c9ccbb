"""What a run will read of documents, estimated without the model's tokenizer."""

from __future__ import annotations

import math

from duolearn_cli.data.document_sides import MarkedDocument
from duolearn_cli.data.document_table import KIN, PRESERVE, UNLEARN, Classed, document_table
from duolearn_cli.data.documents import Span, Window
from duolearn_cli.data.windows import windows
from duolearn_cli.pipeline.planning.memory import TOKENS_PER_CHARACTER
from duolearn_cli.pipeline.study import Study


def document_rows(study: Study) -> list[tuple[str, str]]:
    """Return the rows of the plan about documents, as (title, text); none without documents."""
    learned = study.documents.learned
    if not learned:
        return []
    classed = {one.document.id: [_classed(span, one, study.kin) for span in one.spans] for one in learned}
    cut = estimated_windows(study)
    counts = study.documents.counts()
    return [
        *document_table([one.document for one in learned], len(cut), classed).rows(),
        (
            "documents to forget in",
            f"{counts['to_forget_in']:,} of {counts['learned']:,}, with {counts['forgotten_values']:,} values "
            f"(unlearn.attack={study.config.unlearn.attack}); gold reads {counts['by_gold']:,}",
        ),
        (
            "cut out of documents",
            f"{counts['cut_values']:,} values that no model learns: unseen facts, those beyond split.max_forget and "
            "split.max_retain, and those of earlier requests",
        ),
    ]


def estimated_windows(study: Study) -> list[Window]:
    """Return the windows that the target will read, with tokens estimated from characters.

    Raises:
        DataError: a single word is longer than a window.
    """
    prompt = study.config.prompt
    return [
        window
        for one in study.documents.learned
        for window in windows(one.document, prompt.max_tokens, prompt.overlap, _estimated_tokens)
    ]


def _estimated_tokens(text: str) -> int:
    return math.ceil(TOKENS_PER_CHARACTER * len(text))


def _classed(span: Span, one: MarkedDocument, kin: frozenset[str]) -> Classed:
    if span in one.forgotten:
        return Classed(span.start, span.end, UNLEARN)
    return Classed(span.start, span.end, PRESERVE if kin.isdisjoint(span.concepts) else KIN)
