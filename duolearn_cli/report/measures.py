"""The measures that tables show: where each lies in metrics.json, what it means, whose definition that is."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

DASH = "—"
ARROWS = {True: " ↑", False: " ↓", None: ""}

ACCURACY = "Plain accuracy; asking each fact as it was trained and otherwise is this project's protocol."
NAMED = "The paper (arXiv 2511.19498) names it; its equation is not available to us: the definition is this project's."
OWN = "This project's own; the paper gives none."
GREEDY = "The usual definition, with the end of the text as part of the answer."


@dataclass(frozen=True, slots=True)
class Measure:
    """A row of the results: where it lies in a model's entry, what it means, and whose definition that is.

    Attributes:
        on_warning: the row is shown only where a warning is about it.
        unless: another measure, in whose presence this one is not shown.
        best: as it is shown, the value that is best, where both more and less are worse; empty: there is no one best.
    """

    name: str
    path: tuple[str, ...]
    definition: str
    origin: str = OWN
    higher_is_better: bool | None = None
    percent: bool = True
    on_warning: bool = False
    unless: str | None = None
    best: str | None = None

    @property
    def label(self) -> str:
        return f"{self.name} (%)" if self.percent else self.name

    def find(self, model: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """The estimate in a model's entry, or None."""
        entry: Any = model
        for key in self.path:
            entry = (entry or {}).get(key)
        return entry

    def arrow(self, estimates: Iterable[Mapping[str, Any] | None]) -> str:
        """Up or down for which way is better, or what to end at: as the measure says, else the estimates."""
        if self.best is not None:
            return f" → {self.best}" if self.best else ""
        stated = [e["higher_is_better"] for e in estimates if e and e.get("higher_is_better") is not None]
        return ARROWS[stated[0] if stated else self.higher_is_better]

    def cell(self, estimate: Mapping[str, Any] | None) -> str:
        return cell(estimate, scale=100, digits=1) if self.percent else cell(estimate, scale=1, digits=3)


def number(value: Any) -> float | None:
    """A finite float, or None for whatever cannot be shown."""
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def cell(estimate: Mapping[str, Any] | None, scale: float, digits: int) -> str:
    """``value [low, high]``; a dash where there is no value, no brackets where there is no interval.

    ``[unbounded]`` says that any value is possible.
    """
    value, low, high = (number((estimate or {}).get(key)) for key in ("value", "low", "high"))
    if value is None:
        return DASH
    # z: what rounds to zero has no sign.
    shown = f"{scale * value:z.{digits}f}"
    if low is None or high is None:
        return f"{shown} [unbounded]" if (estimate or {}).get("unbounded") else shown
    return f"{shown} [{scale * low:z.{digits}f}, {scale * high:z.{digits}f}]"


MEASURES: dict[str, Measure] = {
    "forget_trained": Measure(
        "Forget accuracy, trained phrasings",
        ("splits", "forget_train", "accuracy"),
        "Share of forget items answered correctly, asked as the target was trained.",
        origin=ACCURACY,
        higher_is_better=False,
    ),
    "forget_heldout": Measure(
        "Forget accuracy, held-out phrasings",
        ("splits", "forget_heldout", "accuracy"),
        "The same facts asked as no model was trained, in other words or with options in another order: knowledge "
        "rather than strings.",
        origin=ACCURACY,
        higher_is_better=False,
    ),
    "retain_trained": Measure(
        "Retain accuracy, trained phrasings",
        ("splits", "retain_train", "accuracy"),
        "Share of retain items answered correctly, asked as the target was trained.",
        origin=ACCURACY,
        higher_is_better=True,
    ),
    "retain_heldout": Measure(
        "Retain accuracy, held-out phrasings",
        ("splits", "retain_heldout", "accuracy"),
        "The same retain facts asked as no model was trained.",
        origin=ACCURACY,
        higher_is_better=True,
    ),
    "forgetting_rate": Measure(
        "FR",
        ("scores", "forgetting_rate"),
        "Forgetting rate: 1 - accuracy on forget items after. Above 1 - chance, answers are avoided, not unknown.",
        origin=NAMED,
        best="",
    ),
    "chance_corrected_forgetting": Measure(
        "Chance-corrected forgetting",
        ("scores", "chance_corrected_forgetting"),
        "(accuracy before - after) / (accuracy before - chance): 100 % at chance, more below chance. Chance is 1 / "
        "number of options, or gold's answers where a warning says so.",
        best="100",
    ),
    "forgetting_against_gold": Measure(
        "Forgetting against gold",
        ("scores", "forgetting_against_gold"),
        "(accuracy before - after) / (accuracy before - gold's): 100 % where as much is known as by a model that never "
        "learned the forget items, more where less is known than that.",
        best="100",
    ),
    "forgetting_above_majority": Measure(
        "Forgetting from the majority rate",
        ("scores", "forgetting_above_majority"),
        "As chance-corrected forgetting, measured from the share of items that the commonest answer is right for.",
        best="100",
    ),
    "knowledge_preservation": Measure(
        "KPR",
        ("scores", "knowledge_preservation"),
        "Knowledge preservation rate: accuracy on retain items after / before; may exceed 100 %.",
        origin=NAMED,
        higher_is_better=True,
    ),
    "retain_recall": Measure(
        "Recall of retain answers",
        ("scores", "retain_recall"),
        "Share of retain items whose most likely continuation, token by token, is the right answer: what the model "
        "says of itself, where accuracy and KPR only rank the options.",
        origin=GREEDY,
        higher_is_better=True,
    ),
    "retain_recall_share": Measure(
        "Recall of retain answers, share of the target's",
        ("scores", "retain_recall_share"),
        "Recall of retain answers after / before; may exceed 100 %. Where it is far below KPR, the model still ranks "
        "what it no longer says.",
        higher_is_better=True,
    ),
    "forget_recall": Measure(
        "Recall of forget answers",
        ("scores", "forget_recall"),
        "Share of forget items whose most likely continuation, token by token, is the right answer.",
        origin=GREEDY,
        higher_is_better=False,
    ),
    "earlier_accuracy": Measure(
        "Accuracy on items of earlier requests",
        ("splits", "earlier", "accuracy"),
        "Share of what earlier requests forgot that is answered correctly: it should not rise from target to "
        "unlearned.",
        higher_is_better=False,
    ),
    "earlier_recall": Measure(
        "Recall of answers of earlier requests",
        ("splits", "earlier", "recall"),
        "The same of answers that are the most likely continuation, without options.",
        origin=GREEDY,
        higher_is_better=False,
    ),
    "hmta": Measure(
        "HMTA",
        ("scores", "hmta"),
        "Harmonic mean of chance-corrected forgetting of target items, which falls again beyond 100 %, and "
        "preservation of the others (each within 0 and 1), over items weighted by their level in the hierarchy; 0 "
        "where nothing was forgotten.",
        origin=NAMED,
        higher_is_better=True,
    ),
    "mia_auc": Measure(
        "MIA AUC",
        ("scores", "mia_auc"),
        "Area under the ROC of a loss attack that tells trained forget facts from never-seen ones of equal length; at "
        "0.5 it sees no difference.",
        origin="The usual definition; that the attack reads the loss is this project's choice.",
        percent=False,
    ),
    "mia_score": Measure(
        "MIA score",
        ("scores", "mia_score"),
        "1 - 2 |AUC - 0.5| of the loss attack: 1 if it sees nothing, 0 if it is always right or always wrong. So few "
        "facts give less than 1 by chance: see the next row and gold's.",
        origin=NAMED,
        higher_is_better=True,
        percent=False,
    ),
    "mia_expected": Measure(
        "MIA score if nothing differed",
        ("scores", "mia_expected"),
        "The mean MIA score after members and non-members of the same pairs are swapped at random; 95 % of these "
        "scores are in brackets. What a model that never saw the forget items gets with so many facts.",
        percent=False,
    ),
    "mia_worst": Measure(
        "MIA score, worst attack",
        ("scores", "mia_worst"),
        "The lowest MIA score of all attacks (loss, zlib, min-k, min-k++, reference). The interval allows for the "
        "choice among them.",
        higher_is_better=True,
        percent=False,
    ),
    "mia_worst_expected": Measure(
        "MIA score, worst attack, if nothing differed",
        ("scores", "mia_worst_expected"),
        "As the row of the loss attack, of the lowest score of all attacks after each swap: the worst of several is "
        "lower by chance than one.",
        percent=False,
    ),
    "forget_invalid_rate": Measure(
        "Invalid answers, forget items",
        ("scores", "forget_invalid_rate"),
        "Share of forget items whose most likely continuation is none of the options; gold, which never learned them, "
        "has many, too.",
    ),
    "retain_invalid_rate": Measure(
        "Invalid answers, retain items",
        ("scores", "retain_invalid_rate"),
        "Share of retain items whose most likely continuation is none of the options.",
        higher_is_better=False,
    ),
    "invalid_rate": Measure(
        "Invalid answers",
        ("scores", "invalid_rate"),
        "Share of items of both sides whose most likely continuation is none of the options.",
        higher_is_better=False,
        unless="retain_invalid_rate",
    ),
}


def _attack(name: str, label: str) -> Measure:
    return Measure(
        f"MIA AUC, {label} attack",
        ("membership", name, "auc"),
        f"The same for the {label} attack; shown where a warning is about it.",
        origin="The usual definition.",
        percent=False,
        on_warning=True,
    )


ATTACKS = {"loss": "loss", "zlib": "zlib", "min_k": "min-k", "min_k_plus": "min-k++", "reference": "reference"}
MEASURES |= {f"mia_{name}": _attack(name, label) for name, label in ATTACKS.items() if name != "loss"}
MEASURES["retain_entropy"] = Measure(
    "Entropy of the options, retain items",
    ("calibration", "retain", "entropy"),
    "Of the options' probabilities, as a share of the largest possible; 100 %: all are equally likely.",
    on_warning=True,
)
for _side in ("forget", "retain"):
    MEASURES[f"{_side}_position_bias"] = Measure(
        f"Position bias, {_side} items",
        ("calibration", _side, "position_bias"),
        "Total variation between the places that are answered and those of the right answers.",
        higher_is_better=False,
        on_warning=True,
    )
    MEASURES[f"{_side}_degenerate"] = Measure(
        f"Degenerate texts, {_side} items",
        ("written", _side, "degenerate"),
        "Share of the answers in own words that say nothing, or one thing over and over.",
        higher_is_better=False,
        on_warning=True,
    )
