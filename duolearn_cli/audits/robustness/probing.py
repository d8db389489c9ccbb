"""A linear probe of hidden states: does the model still tell right options from wrong ones, whatever it says?"""

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
from duolearn_cli.evaluation.scoring import shares_of_highest
from duolearn_cli.model.encoding import Encoder, collate
from duolearn_cli.model.language_model import LanguageModel
from duolearn_cli.model.packing import batches_by_length
from duolearn_cli.pipeline.laboratory import LoadedModel

NAME = "probe"
FOLDS = 5
MAX_ITERATIONS = 2000


def attacks(material: Material, strength: float, seed: int) -> Iterator[Attack | Skipped]:
    """The probe, trained on the retain side of `material`; `strength` is C of the logistic regression."""
    retain = tuple(item for item in material.retain if if_alone(item))  # the probe's prompt shows no other options
    if len(facts_of(retain)) < FOLDS:
        yield Skipped(NAME, "linear", f"fewer than {FOLDS} retain facts to train on")
        return

    @contextmanager
    def during(loaded: LoadedModel) -> Iterator[Scorer]:
        encoder = Encoder(loaded.model.tokenizer, replaced(loaded.study.config.prompt, "cloze"))
        batch_tokens = loaded.study.config.evaluation.batch_tokens
        probes = CrossFitted.fit(retain, states(loaded.model, encoder, retain, batch_tokens), strength, seed)
        yield lambda items: probes.answer(items, states(loaded.model, encoder, items, batch_tokens))

    details = {"C": strength, "folds": FOLDS, "trained_on": "retain"}
    yield Attack(NAME, "linear", during, models=("base", *COMPARED), details=details, vary=if_alone)


def states(model: LanguageModel, encoder: Encoder, items: Sequence[Item], batch_tokens: int) -> list[np.ndarray]:
    """Of each item the mean last hidden state over the tokens of each option, asked with a cloze prompt.

    The end-of-text token after an option is not one of its tokens. Shape of each: [options, width], float64.
    """
    texts = [encoder.encode(item, option) for item in items for option in range(len(item.options))]
    means: list[Any] = [None] * len(texts)
    with torch.no_grad():
        for indices in batches_by_length([len(text.ids) for text in texts], batch_tokens):
            batch = collate([texts[i] for i in indices], "answer").to(model.device)
            # A label's position is that of the token before it, which predicts it: here the token's own is asked.
            hidden = model.hidden(replace(batch, position=batch.position + 1)).float().cpu()
            for place, index in enumerate(indices):
                own = hidden[(batch.sequence == place).cpu()]
                ends = texts[index].offsets[-1][0] == texts[index].offsets[-1][1]
                means[index] = own[: len(own) - ends].mean(0).double().numpy()
    rows = iter(means)
    return [np.stack([next(rows) for _ in item.options]) for item in items]


@dataclass(frozen=True, eq=False, slots=True)
class Probe:
    """A linear score of hidden states; only differences between the options of one item mean something."""

    scale: np.ndarray
    weights: np.ndarray

    @classmethod
    def fit(cls, items: Sequence[Item], features: Sequence[np.ndarray], strength: float) -> Probe:
        """Logistic regression of "is the right option" on standardised states.

        States are taken relative to the mean over the item's options first: what all options share says nothing of
        which one is right. Right options weigh as much as wrong ones together.
        """
        from sklearn.linear_model import LogisticRegression

        rows = np.concatenate([centred(feature) for feature in features])
        right = np.concatenate([np.arange(len(item.options)) == item.answer for item in items])
        scale = rows.std(0)
        scale = np.where(scale > 0, scale, 1.0)
        found = LogisticRegression(C=strength, class_weight="balanced", max_iter=MAX_ITERATIONS, random_state=0)
        return cls(scale, found.fit(rows / scale, right).coef_[0])

    def scores(self, features: np.ndarray) -> np.ndarray:
        """Shape: [options, width] -> [options]."""
        return centred(features) / self.scale @ self.weights


def centred(features: np.ndarray) -> np.ndarray:
    """States minus their mean over the options. Shape: [options, width]."""
    return features - features.mean(0)


@dataclass(frozen=True, eq=False, slots=True)
class CrossFitted:
    """Probes such that no item is judged by one that saw its fact."""

    whole: Probe
    folds: tuple[Probe, ...]
    fold_of: dict[str, int]

    @classmethod
    def fit(cls, items: Sequence[Item], features: Sequence[np.ndarray], strength: float, seed: int) -> CrossFitted:
        """Fit one probe to all items, and one for each of a few folds of facts to the items outside it."""
        facts = facts_of(items)
        random.Random(f"{seed}:probe").shuffle(facts)
        fold_of = {fact: place % FOLDS for place, fact in enumerate(facts)}
        folds = []
        for fold in range(FOLDS):
            chosen = [i for i, item in enumerate(items) if fold_of[item.fact_id] != fold]
            folds.append(Probe.fit([items[i] for i in chosen], [features[i] for i in chosen], strength))
        return cls(Probe.fit(items, features, strength), tuple(folds), fold_of)

    def answer(self, items: Sequence[Item], features: Sequence[np.ndarray]) -> list[Verdict]:
        """The option with the highest score of each item."""
        found = []
        for item, own in zip(items, features, strict=True):
            fold = self.fold_of.get(item.fact_id)
            probe = self.whole if fold is None else self.folds[fold]
            right = shares_of_highest(probe.scores(own).tolist())[item.answer]
            found.append(Verdict(right, 1 / len(item.options), None))
        return found
