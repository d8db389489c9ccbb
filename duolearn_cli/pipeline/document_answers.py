"""How a study's models predict the documents that the target has learned."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from duolearn_cli.data.document_sides import MarkedDocument, sentences
from duolearn_cli.data.documents import Span
from duolearn_cli.evaluation.document_score import WindowScore, WindowTask, score_windows
from duolearn_cli.model.document_encoding import WindowText, token_spans, window_texts
from duolearn_cli.pipeline.loaded_model import LoadedModel


def document_scores(loaded: LoadedModel) -> list[WindowScore]:
    """Score every window of the target's documents; nothing without documents."""
    tasks = list(_tasks(loaded))
    if not tasks:
        return []

    def make() -> list[dict[str, Any]]:
        loaded.display.stage(f"Read {len(tasks)} windows of documents with {loaded.name}")
        with loaded.display.progress(f"read {loaded.name}", len(tasks)) as advance:
            tokens = loaded.study.config.evaluation.batch_tokens
            scores = score_windows(loaded.model, tasks, tokens, lambda n: advance(n=n))
        return [score.as_dict() for score in scores]

    key = [[task.document, task.text.ids, task.parts, task.values] for task in tasks]
    return [WindowScore.of(row) for row in loaded.keep("documents", key, make)]


def _tasks(loaded: LoadedModel) -> Iterator[WindowTask]:
    study, encoder = loaded.study, loaded.encoder
    for marked in study.documents.learned:
        number = {span: place for place, span in enumerate(marked.spans)}
        near = [
            (start, end)
            for start, end in sentences(marked.document.text)
            if any(start <= span.start < end for span in marked.forgotten)
        ]
        for window in window_texts(encoder, marked.document, study.config.prompt.overlap):
            spans = token_spans(window, marked.spans)
            parts = list(map(partial(_part, window, marked, near, study.kin), range(len(spans)), spans))
            values = [-1 if span is None else number[span] for span in spans]
            yield WindowTask(
                marked.document.id, marked.document.patient, window.window.start, window.text, parts, values
            )


def _part(
    window: WindowText,
    marked: MarkedDocument,
    near: Sequence[tuple[int, int]],
    kin: frozenset[str],
    index: int,
    span: Span | None,
) -> str | None:
    """Return what a token belongs to, one of `nearness.PARTS`; None for context and for the end of the text."""
    first, last = window.text.offsets[index]
    if last == first or not window.text.is_answer[index]:
        return None
    at = first + window.window.start
    if span in marked.forgotten:
        return "forgotten"
    # Nothing around the values of a document that is forgotten as a whole is to be kept.
    if marked.is_whole:
        return "forgotten" if any(start <= at < end for start, end in marked.attacked) else None
    if any(start <= at < end for start, end in near):
        return "same_sentence"
    if marked.forgotten:
        return "same_note"
    return "kin" if span is not None and not kin.isdisjoint(span.concepts) else "rest"
