"""Measures of the membership attacks on the loss of right answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from duolearn_cli.evaluation.measures.measure import ALL, EVERYWHERE, NAMED, USUAL, Measure

if TYPE_CHECKING:
    from duolearn_cli.evaluation.measures.evidence import Evidence
    from duolearn_cli.evaluation.metrics.intervals import Estimate

# What the attacks are called.
ATTACKS = {"loss": "loss", "zlib": "zlib", "min_k": "min-k", "min_k_plus": "min-k++", "reference": "reference"}


@dataclass(frozen=True, slots=True)
class OfAttack:
    """The formula of a measure that is a figure of a membership attack, or of the worst of all (``worst``)."""

    name: str
    figure: str

    def __call__(self, evidence: Evidence) -> Estimate | None:
        return evidence.attack(self.name, self.figure)


MEMBERSHIP: tuple[Measure, ...] = (
    Measure(
        "mia_auc",
        "MIA AUC",
        "Area under the ROC of a loss attack that tells trained forget facts from never-seen ones of equal length; at "
        "0.5 it sees no difference.",
        OfAttack("loss", "auc"),
        "The usual definition; that the attack reads the loss is this project's choice.",
        percent=False,
        tables=("results", "benchmark", "runs"),
    ),
    Measure(
        "mia_score",
        "MIA score",
        "1 - 2 |AUC - 0.5| of the loss attack: 1 if it sees nothing, 0 if it is always right or always wrong. So few "
        "facts give less than 1 by chance: see the next row and gold's.",
        OfAttack("loss", "score"),
        NAMED,
        higher_is_better=True,
        percent=False,
        tables=EVERYWHERE,
        expected="mia_expected",
    ),
    Measure(
        "mia_expected",
        "MIA score if nothing differed",
        "The mean MIA score after members and non-members of the same pairs are swapped at random; 95 % of these "
        "scores are in brackets. What a model that never saw the forget items gets with so many facts.",
        OfAttack("loss", "expected"),
        percent=False,
        tables=("results", "references"),
    ),
    Measure(
        "mia_worst",
        "MIA score, worst attack",
        "The lowest MIA score of all attacks (loss, zlib, min-k, min-k++, reference). The interval allows for the "
        "choice among them.",
        OfAttack("worst", "score"),
        higher_is_better=True,
        percent=False,
        tables=EVERYWHERE,
        expected="mia_worst_expected",
    ),
    Measure(
        "mia_worst_expected",
        "MIA score, worst attack, if nothing differed",
        "As the row of the loss attack, of the lowest score of all attacks after each swap: the worst of several is "
        "lower by chance than one.",
        OfAttack("worst", "expected"),
        percent=False,
        tables=("results", "references"),
    ),
    *(
        Measure(
            f"mia_tpr_{digits}",
            f"MIA true positives at {rate} % false ones",
            f"Share of the members that the loss attack finds while at most {rate} % of the non-members pass; no value "
            f"below {least} non-members, of which not one may pass.",
            OfAttack("loss", f"tpr_{digits}"),
            "Carlini et al. 2022.",
            higher_is_better=False,
            tables=(),
        )
        for digits, rate, least in (("1", "1", "100"), ("01", "0.1", "1,000"))
    ),
)
OTHER_ATTACKS: tuple[Measure, ...] = tuple(
    Measure(
        f"mia_{name}",
        f"MIA AUC, {label} attack",
        f"The same for the {label} attack; shown where a warning is about it.",
        OfAttack(name, "auc"),
        USUAL,
        ("membership", name, "auc"),
        percent=False,
        # The base's own losses beside themselves tell nothing.
        models=ALL[1:] if name == "reference" else ALL,
        needs=("base",) if name == "reference" else (),
        tables=("warning",),
    )
    for name, label in ATTACKS.items()
    if name != "loss"
)


def of_attack(name: str) -> Measure:
    """The measure that is a membership attack's AUC."""
    return next(one for one in (*MEMBERSHIP, *OTHER_ATTACKS) if one.formula == OfAttack(name, "auc"))
