"""Everything that one model is asked in an evaluation: answers to items, answers in its own words, plain text."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from duolearn_cli.data.order import sample
from duolearn_cli.evaluation.generation import generate
from duolearn_cli.evaluation.metrics import recall
from duolearn_cli.evaluation.metrics.intervals import Estimate, mean, proportion
from duolearn_cli.evaluation.perplexity import TextLoss, perplexity, perplexity_per_token, plain_texts
from duolearn_cli.evaluation.scoring import Answer
from duolearn_cli.pipeline.answers import answers, evaluation_splits
from duolearn_cli.pipeline.laboratory import LoadedModel

# Where a model is asked to answer in its own words: held-out phrasings, which no string learned by heart will do for.
ASKED = ("forget_heldout", "forget_train", "retain_heldout", "retain_train")


@dataclass(frozen=True, slots=True)
class Written:
    """What a model wrote in answer to one item, and its ROUGE against the right answer, None where that has no word."""

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
    """One model's `answers` by split, what it `written` in its own words, its losses on the `plain` texts."""

    answers: Mapping[str, Sequence[Answer]]
    written: Sequence[Written]
    plain: Sequence[TextLoss]


def assess(loaded: LoadedModel) -> Assessment:
    """Ask a model everything. The cache keeps what ``base``, ``target`` and ``gold`` say."""
    # A fresh adapter adds exact zeros: the base model says the same without it, in two thirds of the time.
    with loaded.model.without_adapter() if loaded.name == "base" else nullcontext():
        return Assessment(answers(loaded), _written(loaded), _plain(loaded))


def summarise(assessment: Assessment) -> dict[str, Any]:
    """What metrics.json tells of a model's own words, by side, and of plain text: `written` and `general`."""
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
    # Every text stands for itself.
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
    """Greedy answers to a seeded choice of items, of trained facts only; to none where `generate_items` is 0."""
    settings, splits = loaded.study.config.evaluation, evaluation_splits(loaded.study)
    # One phrasing kind a side: the held-out one where there is any.
    chosen = [next((name for name in names if splits.get(name)), None) for names in (ASKED[:2], ASKED[2:])]
    asked = {
        name: sample(splits[name], settings.generate_items, loaded.study.config.split.seed)
        for name in chosen
        if name and settings.generate_items
    }

    def make() -> list[dict[str, Any]]:
        rows = []
        for split, items in asked.items():
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

    if not asked:
        return []
    key = [
        settings.new_tokens,
        {name: [asdict(item) | {"concepts": ()} for item in own] for name, own in asked.items()},
    ]
    return [Written(**row) for row in loaded.keep("written", key, make)]


def _known(score: float) -> float | None:
    """JSON has no NaN: what has no score is None from the start, so that the cache gives back what was put in."""
    return None if math.isnan(score) else score


def _plain(loaded: LoadedModel) -> list[TextLoss]:
    texts, config = plain_texts(), loaded.study.config

    def make() -> list[dict[str, Any]]:
        tokenizer, size = loaded.model.tokenizer, config.prompt.max_tokens
        return [
            asdict(loss) for loss in perplexity(loaded.model, tokenizer, texts, config.evaluation.batch_tokens, size)
        ]

    return [TextLoss(**row) for row in loaded.keep("plain", texts, make)]
