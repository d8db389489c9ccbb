"""The figures of metrics.json that follow from what the models answered.

A run computes them from fresh answers, `duolearn verify` from those in the run folder.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from duolearn_cli.config.components import dataset_name
from duolearn_cli.config.schema import RunConfig
from duolearn_cli.config.version import __version__
from duolearn_cli.evaluation import guessing, members, own_model, summary, warnings
from duolearn_cli.evaluation.likeness import likeness
from duolearn_cli.evaluation.measures.added import add_measures
from duolearn_cli.evaluation.measures.central import ABOVE_MAJORITY
from duolearn_cli.evaluation.requests import came_back
from duolearn_cli.pipeline import assessment
from duolearn_cli.pipeline.assessment import Assessment

# By model.
Assessments = Mapping[str, Assessment]


@dataclass(frozen=True, eq=False, slots=True)
class Context:
    """What figures need beside answers.

    Attributes:
        labels: the forget target's data labels.
        levels: hierarchy levels of the items, and their weights.
        cut: see `guessing.cut`.
        guesses: ``majority``, ``by_options`` and ``by_place``: see `guessing`.
        heldout: how held-out askings differ from trained ones: ``phrasings``, ``orders``, ``both``; None without any.
        remarks: warnings about data and environment, which come first.
        is_given: the target was given, not learned (``learn.skip``).
        config: of the run, for measures of the user's own; None: they are left out, since they are code of the user's.
    """

    labels: Collection[str]
    levels: summary.Levels
    cut: float
    guesses: Mapping[str, Any]
    heldout: str | None
    remarks: Sequence[str]
    config: RunConfig | None = None
    is_given: bool = False


def identity(
    config: RunConfig, labels: Collection[str], is_unlearned: bool, stopped: Mapping[str, Any] | None
) -> dict[str, Any]:
    """What a run is about: target with its data `labels`, model, data, method, seed; where it `stopped` early."""
    return {
        "schema": 1,
        "duolearn": __version__,
        "forget": config.forget.name,
        "forget_subjects": sorted(labels),
        "model": config.model.name,
        "dataset": dataset_name(config.dataset),
        "method": str(config.method._target_).rpartition(".")[2] if is_unlearned else config.command,
        "seed": config.seed,
        "privacy": config.privacy.name,
        "part": config.evaluation.part,
        "stopped": stopped,
    }


def aggregates(assessed: Assessments, context: Context) -> dict[str, Any]:
    """From ``models`` to ``roc`` of metrics.json, in its order; docs/metrics.md documents them."""
    answers = {name: one.answers for name, one in assessed.items()}
    floor = guessing.floor(answers, context.cut)
    models, chance = of_models(assessed, context, floor), summary.mean_chance(answers)
    added = add_measures(context.config, answers, models) if context.config else {}
    check, retain_chance = members.membership_check(answers), summary.mean_chance(answers, "retain")
    asked = warnings.Context(context.heldout or "phrasings", retain_chance, floor=floor.as_dict(), **context.guesses)
    raised, returned = warnings.flags(models, chance, check, asked), came_back(answers)
    return {
        "models": models,
        **added,
        "chance": chance,
        "floor": floor.as_dict(),
        **context.guesses,
        "flags": [*context.remarks, *(flag.sentence for flag in raised), *returned.values()],
        "flagged": [*warnings.flagged(raised), *returned],
        "advice": warnings.advised(raised),
        "membership_check": check,
        "roc": members.roc_curves(answers),
        **({"own_model": own_model.summarise(answers, chance)} if context.is_given and "target" in answers else {}),
    }


def of_models(assessed: Assessments, context: Context, floor: guessing.Floor) -> dict[str, Any]:
    """By model its entry of ``models``."""
    answers = {name: one.answers for name, one in assessed.items()}
    models = summary.summarise(answers, context.labels, context.levels, floor.of_item)
    for name, one in assessed.items():
        models[name] |= assessment.summarise(one)
    if alike := likeness(answers):
        models["unlearned"]["gold"]["forget"]["likeness"] = alike
    if (of_forget := context.guesses["majority"].get("forget")) and of_forget["above_chance"]:
        for name, above in guessing.above_majority(answers, of_forget["value"]).items():
            models[name]["scores"][ABOVE_MAJORITY.key] = above
    if context.is_given and "unlearned" in models and "gold" not in models:
        models["unlearned"] = own_model.without_gold(models["unlearned"])
    return models
