"""Answers of a study's models to the items of every split."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from duolearn_cli.data.items import Item
from duolearn_cli.data.order import sample
from duolearn_cli.evaluation.scoring import Answer, num_texts, score
from duolearn_cli.model.encoding import Encoded, Encoder
from duolearn_cli.model.language_model import LanguageModel
from duolearn_cli.pipeline import keys
from duolearn_cli.pipeline.laboratory import LoadedModel
from duolearn_cli.pipeline.study import Study

# These fields change no answer. How an item's tokens are classed does, and is in the key by itself.
IGNORED = {"source": "", "row": 0, "concepts": (), "patient": None}


def evaluation_splits(study: Study) -> dict[str, tuple[Item, ...]]:
    """Items to score, by split. Of unseen facts only phrasings of the trained kind, as members are."""
    limit, seed = study.config.evaluation.max_items, study.config.split.seed
    splits = {
        name: sample([item for item in items if not (name.endswith("_unseen") and item.heldout)], limit, seed)
        for name, items in study.scored().items()
    }
    return {name: items for name, items in splits.items() if items}


def answers(loaded: LoadedModel) -> dict[str, list[Answer]]:
    """Answers to every split of `evaluation_splits`. The cache keeps those of base, target and gold."""
    splits, study, encoder = evaluation_splits(loaded.study), loaded.study, loaded.encoder
    items = {name: [asdict(item) | IGNORED for item in own] for name, own in splits.items()}

    def make() -> dict[str, list[dict[str, Any]]]:
        loaded.display.stage(f"Evaluate {loaded.name} on {sum(map(len, splits.values()))} items")
        total = sum(num_texts(encoder, own) for own in splits.values())
        with loaded.display.progress(f"evaluate {loaded.name}", total) as advance:
            by_split = {
                name: score_items(
                    loaded.model, encoder, study, own, lambda n: advance(n=n), is_forget=name.startswith("forget")
                )
                for name, own in splits.items()
            }
        return {name: [answer.as_dict() for answer in rows] for name, rows in by_split.items()}

    kept = loaded.keep("answers", [items, keys.concepts(study)], make)
    return {name: [Answer.of(row) for row in rows] for name, rows in kept.items()}


def score_items(
    model: LanguageModel,
    encoder: Encoder,
    study: Study,
    items: Sequence[Item],
    advance: Callable[[int], None] = lambda n: None,
    *,
    is_forget: bool | None = None,
) -> list[Answer]:
    """Answers of a model, whatever its weights are now.

    Args:
        advance: receives the number of texts that have been scored since the last call.
        is_forget: which side the items are on, for the losses of token classes; None: those are not computed.
    """

    def classify(place: int, text: Encoded) -> list[int]:
        return study.label(text, bool(is_forget))[0]

    tokens = study.config.evaluation.batch_tokens
    return score(model, encoder, items, tokens, advance, None if is_forget is None else classify)
