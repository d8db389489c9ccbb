"""The answers of a study's models to the items of every split."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from duolearn_cli.data.items import Item
from duolearn_cli.data.order import sample
from duolearn_cli.evaluation.scoring import Answer, num_texts, score
from duolearn_cli.model.encoding import Encoded, Encoder
from duolearn_cli.model.language_model import LanguageModel
from duolearn_cli.pipeline import keys
from duolearn_cli.pipeline.loaded_model import LoadedModel
from duolearn_cli.pipeline.study import Study

# These fields change no answer, so the cache key leaves them out. The concepts of an item change the classes of its
# tokens; `keys.concepts` covers them.
IGNORED = {"source": "", "row": 0, "concepts": (), "patient": None}


def as_key(item: Item, ignored: Mapping[str, Any] = IGNORED) -> dict[str, Any]:
    """Return the fields of an item that decide its answer, for the key of a cache."""
    # Fields that items got later count only where they say something, so that the keys of older caches stay valid.
    own = {name: value for name, value in {**asdict(item), **ignored}.items() if name != "date"}
    return own if item.continues else {name: value for name, value in own.items() if name != "continues"}


def without_concepts(items: Iterable[Item]) -> list[dict[str, Any]]:
    """Return items for the key of what a prompt decides. A new vocabulary must not make the cache forget results."""
    return [as_key(item, {"concepts": ()}) for item in items]


def evaluation_splits(study: Study) -> dict[str, tuple[Item, ...]]:
    """Return the items to score, by split.

    Unseen facts are scored on phrasings of the trained kind only: membership attacks compare them with trained ones.
    """
    limit, seed = study.config.evaluation.max_items, study.config.split.seed
    splits = {
        # The seed of the split draws the sample, not that of the run. Runs that differ in their seed ask the same
        # items, so sweeps can pair them.
        name: sample([item for item in items if not (name.endswith("_unseen") and item.heldout)], limit, seed)
        for name, items in study.scored().items()
    }
    return {name: items for name, items in splits.items() if items}


def answers(loaded: LoadedModel) -> dict[str, list[Answer]]:
    """Return the model's answers to every split of `evaluation_splits`.

    Answers of base, target and gold come from the cache once they have been computed.
    """
    splits, study, encoder = evaluation_splits(loaded.study), loaded.study, loaded.encoder
    items = {name: [as_key(item) for item in own] for name, own in splits.items()}

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

    by_split = loaded.keep("answers", [items, keys.concepts(study)], make)
    return {name: [Answer.of(row) for row in rows] for name, rows in by_split.items()}


def score_items(
    model: LanguageModel,
    encoder: Encoder,
    study: Study,
    items: Sequence[Item],
    advance: Callable[[int], None] = lambda n: None,
    *,
    is_forget: bool | None = None,
) -> list[Answer]:
    """Score the answers of `model` with its present weights; nothing is cached.

    Args:
        advance: receives the number of texts scored since its last call.
        is_forget: the side of the items, which the losses of token classes depend on; None: those are not computed.
    """

    def classify(position: int, text: Encoded) -> list[int]:
        return study.label(text, bool(is_forget))[0]

    tokens = study.config.evaluation.batch_tokens
    return score(model, encoder, items, tokens, advance, None if is_forget is None else classify)
