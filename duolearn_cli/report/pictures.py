"""The figures of a report with their captions."""

from __future__ import annotations

from dataclasses import dataclass

from duolearn_cli.concepts.concept import LEVELS
from duolearn_cli.report import evaluation, figures, geometry_figures, level_figures, privacy
from duolearn_cli.report.inputs import Inputs, forget_subjects

CAPTIONS = {
    "subjects": "Accuracy by subject, with 95 % intervals; orange: to forget, blue: to keep, green: gold.",
    "levels": "Preservation and forgetting by level of the concept hierarchy, with 95 % intervals; green: gold. Each "
    "axis shows the part that holds the values.",
    "token_classes": "Mean loss of each class of tokens, with 95 % intervals: target concepts and memorised answers "
    "should cost more after unlearning, all others as much as before.",
    "roc": "Membership attacks on each model: the share of trained forget facts that are found, over the share of "
    "never-seen facts that are taken for trained. On the diagonal, the attack sees nothing.",
    "token_losses": "Mean loss of each token class while unlearning.",
    "quick_accuracy": "Accuracy in quick evaluations while unlearning, each on a sample of the items.",
    "training_losses": "Loss while the target and the gold model were trained.",
    "gradients": "The conflict between forgetting and keeping at each step. Cosine of the two gradients: below zero, "
    "forgetting pulls against keeping. Opposed share: the part of the forget gradient that does so. Removed share: the "
    "part of the update that the constraint removed. Conflict rate: how often, up to that step, the update would have "
    "raised the preserve loss.",
    "gradients_by_layer": "The same by layer; if there are many steps, neighbouring ones are averaged. Cosine: orange "
    "where the gradients pull against each other, blue where they agree. Removed share: the darker, the more.",
    "change": "How far each module's weight matrix moved from the target's while unlearning (Frobenius norm).",
    "privacy": "Privacy spent over the steps, with the budget; the share of units whose gradient was clipped; the norm "
    "of their sum over the norm of the noise. Far below one, a step is mostly noise.",
}


@dataclass(frozen=True, slots=True)
class Picture:
    """A figure as SVG, with its caption. `name` is the name of its file."""

    name: str
    caption: str
    svg: str


def draw(inputs: Inputs) -> list[Picture]:
    """Draw the figures for which the run has data."""
    drawn = {
        "subjects": figures.subject_accuracy(inputs.metrics, forget_subjects(inputs)),
        "levels": level_figures.level_scores(inputs.metrics, LEVELS),
        "token_classes": level_figures.class_points(inputs.metrics),
        "roc": evaluation.roc_curves(inputs.metrics),
        "token_losses": figures.class_losses(inputs.history),
        "quick_accuracy": figures.quick_accuracy(inputs.history),
        "training_losses": figures.training_losses(inputs.history),
        "gradients": geometry_figures.gradient_curves(inputs.history),
        "gradients_by_layer": geometry_figures.gradient_maps(inputs.history),
        "change": geometry_figures.change_map(inputs.metrics),
        "privacy": privacy.spending_curves(inputs.metrics, inputs.history),
    }
    return [Picture(name, CAPTIONS[name], figures.to_svg(figure, name)) for name, figure in drawn.items() if figure]
