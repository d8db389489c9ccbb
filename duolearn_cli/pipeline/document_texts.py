"""Documents as the texts that models learn, and as the examples that unlearning sees."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from duolearn_cli.concepts.token_classes import NEUTRAL, PRESERVE, UNLEARN
from duolearn_cli.data.document_sides import MarkedDocument
from duolearn_cli.data.documents import Span
from duolearn_cli.methods.base import Method
from duolearn_cli.model.document_encoding import WindowText, kin_weights, token_kinds, token_spans, window_texts
from duolearn_cli.model.encoding import Encoded, Encoder
from duolearn_cli.pipeline.loaded_model import LoadedModel
from duolearn_cli.pipeline.study import Study
from duolearn_cli.training.forward import Example
from duolearn_cli.training.references import references


def learned_texts(study: Study, encoder: Encoder, which: str) -> list[Encoded]:
    """Return all texts that the ``target`` or the ``gold`` model learns: items, then windows of documents."""
    overlap = study.config.prompt.overlap
    items = [encoder.encode(item) for item in study.training_items(which)]
    documents = study.training_documents(which)
    return items + [one.text for document in documents for one in window_texts(encoder, document, overlap)]


def num_forget_texts(study: Study, encoder: Encoder) -> int:
    """Return how many texts the forget side of the loop has: items, and windows with something to forget."""
    return len(study.taught(study.request.forget)) + sum(
        UNLEARN in kinds for _, _, kinds in marked_windows(study, encoder)
    )


def marked_windows(study: Study, encoder: Encoder) -> Iterator[tuple[MarkedDocument, WindowText, list[int]]]:
    """Yield every window of the learned documents with its document and the class of each token."""
    for marked in study.documents.learned:
        for text in window_texts(encoder, marked.document, study.config.prompt.overlap):
            yield marked, text, token_kinds(text, marked)


def window_examples(target: LoadedModel, method: Method) -> tuple[list[Example], list[Example]]:
    """Return the forget and the retain examples of the documents, with references of base and target.

    A window with something to forget is a forget example: its answer, for methods that attack answers, is what is
    attacked. In a retain example the answer is the whole window. Windows of documents that are forgotten as a whole and
    have nothing attacked are in neither. Methods that see answers alone get what surrounds attacked words as a retain
    example too; those that see whole texts find it in the forget example, by its class.
    """
    study = target.study
    rows = list(_around(study, target.encoder, method.labels))
    texts = [_with_answer(text.text, kinds) for _, text, kinds in rows]
    all_kinds = [kinds for _, _, kinds in rows]
    tokens = study.config.evaluation.batch_tokens
    of_texts = references(target.model, texts, method.labels, tokens, method.attention, all_kinds)
    sides: tuple[list[Example], list[Example]] = ([], [])
    for (marked, window, kinds), text, reference in zip(rows, texts, of_texts, strict=True):
        at = text.labels(method.labels)
        spans = token_spans(window, marked.spans)
        weights = _weights(study, spans, kinds)
        is_forget = UNLEARN in kinds
        own_kinds, own_weights = [kinds[i] for i in at], [weights[i] for i in at]
        sides[not is_forget].append(
            Example(text, is_forget, 1.0, own_kinds, own_weights, reference, reference.base_nll, kinds)
        )
    return sides


def _around(study: Study, encoder: Encoder, labels: str) -> Iterator[tuple[MarkedDocument, WindowText, list[int]]]:
    """Yield the windows of `marked_windows`, and for methods that see answers what surrounds attacked words again."""
    rows = list(marked_windows(study, encoder))
    # Where every window has something to forget, what surrounds it is all that there is to retain.
    is_alone = not any(UNLEARN not in kinds and not marked.is_whole for marked, _, kinds in rows)
    for marked, window, kinds in rows:
        if UNLEARN in kinds or not marked.is_whole:
            yield marked, window, kinds
        if (labels == "answer" or is_alone) and UNLEARN in kinds and PRESERVE in kinds:
            kept = tuple(kind == PRESERVE and own for kind, own in zip(kinds, window.text.is_answer, strict=True))
            around = replace(window, text=replace(window.text, is_answer=kept))
            yield marked, around, [NEUTRAL if kind == UNLEARN else kind for kind in kinds]


def _with_answer(text: Encoded, kinds: Sequence[int]) -> Encoded:
    if UNLEARN not in kinds:
        return text
    return replace(text, is_answer=tuple(kind == UNLEARN for kind in kinds))


def _weights(study: Study, spans: Sequence[Span | None], kinds: Sequence[int]) -> list[float]:
    """Return each token's weight: that of its concept's level, and of its kin where it is preserved."""
    kin = kin_weights(spans, study.kin, study.config.unlearn.kin_weight)

    def level(span: Span | None) -> float:
        known = [one for one in (span.concepts if span else ()) if one in study.hierarchy.concepts]
        return study.level_weights[study.hierarchy[known[0]].level - 1] if known else 1.0

    return [
        level(span) * (1.0 if kind == UNLEARN else weight) for span, kind, weight in zip(spans, kinds, kin, strict=True)
    ]
