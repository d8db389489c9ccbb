"""The evaluation of one model: answers to items, answers in its own words, and its loss on plain text."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from duolearn_cli.data.order import sample
from duolearn_cli.evaluation.document_score import WindowScore
from duolearn_cli.evaluation.generation import generate
from duolearn_cli.evaluation.metrics import recall
from duolearn_cli.evaluation.metrics.intervals import Estimate, mean, proportion
from duolearn_cli.evaluation.perplexity import TextLoss, perplexity, perplexity_per_token, plain_texts
from duolearn_cli.evaluation.scoring import Answer
from duolearn_cli.pipeline.answers import answers, evaluation_splits, without_concepts
from duolearn_cli.pipeline.document_answers import document_scores
from duolearn_cli.pipeline.loaded_model import LoadedModel

# Splits with answers in the model's own words. Held-out phrasings come first: a memorised string does not answer them.
WRITTEN_SPLITS = ("forget_heldout", "forget_train", "retain_heldout", "retain_train")


@dataclass(frozen=True, slots=True)
class Written:
    """A model's own words in answer to one item, with ROUGE-L against the right answer (0 to 1).

    ROUGE is None if the right answer has no word. `degenerate`: the text holds no word or repeats itself.
    """

    id: str
    fact: str
    split: str
    text: str
    answer: str
    rouge_l_recall: float | None
    rouge_l_f1: float | None
    degenerate: bool


@dataclass(frozen=True, eq=False, slots=True)
class Assessment:
    """The evaluation of one model.

    Attributes:
        answers: scored answers, by split.
        written: answers in the model's own words.
        plain: losses on plain texts.
        documents: how the words of documents are predicted; nothing without documents.
    """

    answers: Mapping[str, Sequence[Answer]]
    written: Sequence[Written]
    plain: Sequence[TextLoss]
    documents: Sequence[WindowScore] = ()


def assess(loaded: LoadedModel) -> Assessment:
    """Run the whole evaluation of a model. Results of ``base``, ``target`` and ``gold`` are cached."""
    # A fresh adapter adds exact zeros. Without it the base gives the same answers in two thirds of the time.
    with loaded.model.without_adapter() if loaded.name == "base" else nullcontext():
        return Assessment(answers(loaded), _written(loaded), _plain(loaded), document_scores(loaded))


def summarise(assessment: Assessment) -> dict[str, Any]:
    """Return the parts `written` (own words, by side) and `general` (plain text) of a model in metrics.json."""
    written: dict[str, Any] = {}
    for side in ("forget", "retain"):
        rows = [row for row in assessment.written if row.split.startswith(side)]
        facts = [row.fact for row in rows]
        if rows:
            written[side] = {
                **{
                    name: _share([(getattr(row, name), row.fact) for row in rows]).as_dict()
                    for name in ("rouge_l_recall", "rouge_l_f1")
                },
                "degenerate": proportion(
                    [float(row.degenerate) for row in rows], facts, higher_is_better=False
                ).as_dict(),
            }
    plain = assessment.plain
    nll, bytes_ = [np.array([getattr(loss, key) for loss in plain], float) for key in ("nll", "num_bytes")]
    # Each text is a cluster of its own for the interval.
    bits = mean(nll / math.log(2), [str(k) for k in range(len(plain))], bytes_, higher_is_better=False)
    general = {"perplexity": perplexity_per_token(plain), "bits_per_byte": bits.as_dict()}
    return {"written": written, "general": general | {"tokens": sum(loss.num_tokens for loss in plain)}}


def _share(pairs: Sequence[tuple[float | None, str]]) -> Estimate:
    known = [(value, fact) for value, fact in pairs if value is not None]
    if not known:
        return Estimate(math.nan, None, None, 0)
    values, facts = zip(*known, strict=True)
    return proportion(values, facts)


def _written(loaded: LoadedModel) -> list[Written]:
    """Return greedy answers to a seeded sample of items of trained facts; none if ``generate_items`` is 0."""
    settings, splits = loaded.study.config.evaluation, evaluation_splits(loaded.study)
    # One split per side: held-out phrasings if there are any, else trained ones.
    sides = WRITTEN_SPLITS[:2], WRITTEN_SPLITS[2:]
    chosen = [next((name for name in names if splits.get(name)), None) for names in sides]
    sampled = {
        name: sample(splits[name], settings.generate_items, loaded.study.config.split.seed)
        for name in chosen
        if name and settings.generate_items
    }

    def make() -> list[dict[str, Any]]:
        rows = []
        for split, items in sampled.items():
            texts = generate(loaded.model, loaded.encoder, items, settings.new_tokens, settings.batch_tokens)
            for item, text in zip(items, texts, strict=True):
                right = loaded.encoder.answer(item, item.answer).strip()
                written = Written(
                    id=item.id,
                    fact=item.fact_id,
                    split=split,
                    text=text,
                    answer=right,
                    rouge_l_recall=_known(recall.rouge_l_recall(text, right)),
                    rouge_l_f1=_known(recall.rouge_l_f1(text, right)),
                    degenerate=recall.degenerate(text),
                )
                rows.append(asdict(written))
        return rows

    if not sampled:
        return []
    key = [settings.new_tokens, {name: without_concepts(own) for name, own in sampled.items()}]
    return [Written(**row) for row in loaded.keep("written", key, make)]


def _known(score: float) -> float | None:
    """Turn NaN into None, because JSON has no NaN: the cache must return exactly what was stored."""
    return None if math.isnan(score) else score


def _plain(loaded: LoadedModel) -> list[TextLoss]:
    texts, config = plain_texts(), loaded.study.config

    def make() -> list[dict[str, Any]]:
        tokenizer, size = loaded.model.tokenizer, config.prompt.max_tokens
        return [
            asdict(loss) for loss in perplexity(loaded.model, tokenizer, texts, config.evaluation.batch_tokens, size)
        ]

    return [TextLoss(**row) for row in loaded.keep("plain", texts, make)]
