"""A linear probe of hidden states: whether the model still represents which option is right, whatever it answers."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from duolearn_cli.audits.robustness.attack import COMPARED, Attack, Scorer, Skipped, Verdict
from duolearn_cli.audits.robustness.material import Material, facts_of
from duolearn_cli.audits.robustness.prompts import replaced
from duolearn_cli.data.items import Item
from duolearn_cli.data.option_references import if_alone
from duolearn_cli.evaluation.answer import shares_of_highest
from duolearn_cli.model.encoding import Encoder, collate
from duolearn_cli.model.language_model import LanguageModel
from duolearn_cli.model.packing import batches_by_length
from duolearn_cli.pipeline.loaded_model import LoadedModel

NAME = "probe"
FOLDS = 5
MAX_ITERATIONS = 2000


def attacks(material: Material, strength: float, seed: int) -> Iterator[Attack | Skipped]:
    """The probing attack: a probe trained on the retain side of `material`.

    Args:
        material: the items to ask.
        strength: the logistic regression's inverse regularisation strength C.
        seed: of the folds.

    Yields:
        One attack, or the reason why there are too few facts for it.
    """
    # The probe asks each option in a cloze prompt, which does not show the others that an option may refer to.
    retain = tuple(item for item in material.retain if if_alone(item))
    if len(facts_of(retain)) < FOLDS:
        yield Skipped(NAME, "linear", f"fewer than {FOLDS} retain facts to train on")
        return

    @contextmanager
    def apply(loaded: LoadedModel) -> Iterator[Scorer]:
        encoder = Encoder(loaded.model.tokenizer, replaced(loaded.study.config.prompt, "cloze"))
        batch_tokens = loaded.study.config.evaluation.batch_tokens
        probes = CrossFitted.fit(retain, states(loaded.model, encoder, retain, batch_tokens), strength, seed)
        yield lambda items: probes.answer(items, states(loaded.model, encoder, items, batch_tokens))

    details = {"C": strength, "folds": FOLDS, "trained_on": "retain"}
    yield Attack(NAME, "linear", apply, models=("base", *COMPARED), details=details, vary=if_alone)


def states(model: LanguageModel, encoder: Encoder, items: Sequence[Item], batch_tokens: int) -> list[np.ndarray]:
    """The probe's features: for each option of each item, the mean last hidden state over the option's tokens.

    The end-of-text token after an option does not count. `encoder` must write cloze prompts.

    Returns:
        One float64 array for each item. Shape: [options, width].
    """
    texts = [encoder.encode(item, option) for item in items for option in range(len(item.options))]
    means: list[Any] = [None] * len(texts)
    with torch.no_grad():
        for indices in batches_by_length([len(text.ids) for text in texts], batch_tokens):
            batch = collate([texts[i] for i in indices], "answer").to(model.device)
            # `position` is that of the token before a label, whose state predicts it. The probe reads the label's own.
            hidden = model.hidden(replace(batch, position=batch.position + 1)).float().cpu()
            for row, index in enumerate(indices):
                own = hidden[(batch.sequence == row).cpu()]
                # An end-of-text token covers no characters: its offsets are equal.
                has_end = texts[index].offsets[-1][0] == texts[index].offsets[-1][1]
                means[index] = own[: len(own) - has_end].mean(0).double().numpy()
    rows = iter(means)
    return [np.stack([next(rows) for _ in item.options]) for item in items]


@dataclass(frozen=True, eq=False, slots=True)
class Probe:
    """A linear score of hidden states. Only differences between the options of one item are meaningful.

    Attributes:
        scale: standard deviation of each dimension, 1 where it is zero. Shape: [width].
        weights: the regression's coefficients. Shape: [width].
    """

    scale: np.ndarray
    weights: np.ndarray

    @classmethod
    def fit(cls, items: Sequence[Item], features: Sequence[np.ndarray], strength: float) -> Probe:
        """Fit a logistic regression of "is the right option" on standardised states.

        The mean over an item's options is subtracted first: what all options share does not tell which one is right.
        The two classes are weighted equally, although most options are wrong.

        Args:
            items: the items to fit on.
            features: their states, each [options, width].
            strength: inverse regularisation strength C.
        """
        from sklearn.linear_model import LogisticRegression

        rows = np.concatenate([centred(feature) for feature in features])
        right = np.concatenate([np.arange(len(item.options)) == item.answer for item in items])
        # A constant dimension has a deviation of 0, and must not be divided by it.
        scale = rows.std(0)
        scale = np.where(scale > 0, scale, 1.0)
        regression = LogisticRegression(C=strength, class_weight="balanced", max_iter=MAX_ITERATIONS, random_state=0)
        return cls(scale, regression.fit(rows / scale, right).coef_[0])

    def scores(self, features: np.ndarray) -> np.ndarray:
        """The score of each option of one item. Shapes: [options, width] -> [options]."""
        return centred(features) / self.scale @ self.weights


def centred(features: np.ndarray) -> np.ndarray:
    """Subtract the mean over the options. Shapes: [options, width] -> the same."""
    return features - features.mean(0)


@dataclass(frozen=True, eq=False, slots=True)
class CrossFitted:
    """Cross-fitted probes: no item is judged by a probe that was fitted on its fact.

    Attributes:
        whole: fitted on all training items; judges items about other facts.
        folds: probe k is fitted without the facts of fold k, and judges them.
        fold_of: the fold of each training fact.
    """

    whole: Probe
    folds: tuple[Probe, ...]
    fold_of: dict[str, int]

    @classmethod
    def fit(cls, items: Sequence[Item], features: Sequence[np.ndarray], strength: float, seed: int) -> CrossFitted:
        """Fit one probe on all items, and one for each of `FOLDS` folds of facts on the items outside the fold."""
        facts = facts_of(items)
        random.Random(f"{seed}:probe").shuffle(facts)
        fold_of = {fact: index % FOLDS for index, fact in enumerate(facts)}
        folds = []
        for fold in range(FOLDS):
            chosen = [i for i, item in enumerate(items) if fold_of[item.fact_id] != fold]
            folds.append(Probe.fit([items[i] for i in chosen], [features[i] for i in chosen], strength))
        return cls(Probe.fit(items, features, strength), tuple(folds), fold_of)

    def answer(self, items: Sequence[Item], features: Sequence[np.ndarray]) -> list[Verdict]:
        """Answer each item with the option of the highest score. `features` are the items' states."""
        verdicts = []
        for item, own in zip(items, features, strict=True):
            fold = self.fold_of.get(item.fact_id)
            probe = self.whole if fold is None else self.folds[fold]
            correct = shares_of_highest(probe.scores(own).tolist())[item.answer]
            verdicts.append(Verdict(correct, 1 / len(item.options), None))
        return verdicts
