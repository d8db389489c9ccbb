"""The lights about what a model gives away: whether attacks find what it learned, and whether privacy is guaranteed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from duolearn_cli.evaluation.light import (
    Bar,
    Found,
    Light,
    Models,
    State,
    bar_of,
    finite,
    shown,
    value_of,
    why,
    with_estimate,
)
from duolearn_cli.evaluation.measures.membership import ATTACKS, of_attack
from duolearn_cli.evaluation.warning_text import bounds, has_enough

# From the least to the most important state of several attacks.
SEVERITY: tuple[State, ...] = ("green", "amber", "red")


def attacks(models: Models, check: Mapping[str, Any], margin: float) -> Light:
    """Whether membership attacks tell forgotten facts from facts that were never learned."""
    name = "Not found by attacks"
    found = {key: one for key in ATTACKS if (one := _area(models["unlearned"], key))}
    if not found:
        return Light("attacks", name, "amber", "no attack could be run", "There are no facts that no model learned.")
    gold = models.get("gold") or {}
    # An attack may see that forget items are worded differently, which even gold shows: that is no trace of learning.
    golds = {key: _clear(_area(gold, key)) for key in found}
    bands = {key: _band(of_gold, margin) for key, of_gold in golds.items()}
    states: dict[str, State] = {key: _within(one, bands[key]) for key, one in found.items()}
    # Both sides of 0.5 count: if the guesses of an attack are turned round, an AUC of 0.3 becomes 0.7.
    worst = max(found, key=lambda key: (SEVERITY.index(states[key]), abs(found[key]["value"] - 0.5)))
    state: State = states[worst]
    one, (low, high) = found[worst], bands[worst]
    beyond = "" if golds[worst] is None else f" and beyond gold's {golds[worst]:.2f}"
    reason = (
        f"Of {len(found)} attacks, the {ATTACKS[worst]} attack decides: AUC {shown(one)}, 0.5 is blind; allowed is "
        f"{low:.2f} to {high:.2f}, which is {margin:g} beyond 0.5{beyond}. {why(one, state, 'pairs of facts')}"
    )
    if len(found) > 1 and _together(models["unlearned"], worst):
        # The table has the attack's own interval: two numbers for one AUC need a word.
        reason += f" This interval is wider than the attack's own in the table: it holds for all {len(found)} together."
    # Then the attacks see a difference between the items, not what the model has learned.
    if check.get("usable") is False:
        state = "amber"
        reason = f"The attacks see a difference on a model that learned neither side. {reason}"
    said = {"green": "attacks find nothing", "red": f"the {ATTACKS[worst]} attack still finds what was learned"}
    bar = bar_of(f"AUC of the {ATTACKS[worst]} attack", one, _marks(models, worst), percent=False)
    short = said.get(state, "whether attacks find it")
    return with_estimate(Light("attacks", name, state, short, reason), of_attack(worst), one, margin, bar)


def _marks(models: Models, attack: str) -> dict[str, float]:
    areas = {name: value_of(_area(models.get(name) or {}, attack)) for name in ("gold", "target")}
    return {"chance": 0.5} | {name: value for name, value in areas.items() if value is not None}


def privacy(metrics: Mapping[str, Any], limit: float) -> Light:
    """Whether the account of a private run bounds what its model reveals about any record."""
    name, account = "Privacy guarantee", metrics.get("account")
    if not account and (metrics.get("privacy") or "none") == "none":
        said = "no privacy guarantee was asked for"
        return Light("privacy", name, "off", said, "The run was not differentially private (privacy=none).")
    if not account:
        return Light("privacy", name, "red", "there is no privacy guarantee", "The model has no privacy account.")
    sets = account["sets"]
    epsilons = {side: finite(own.get("epsilon")) for side, own in sets.items()}
    open_sets = [side for side, epsilon in epsilons.items() if epsilon is None]
    if open_sets:
        reason = f"Nothing bounds what is revealed about the {' and the '.join(open_sets)} set."
        covered = [side for side in sets if side not in open_sets]
        said = f"a privacy guarantee covers only the {covered[0]} set" if covered else "there is no privacy guarantee"
        return Light("privacy", name, "red", said, reason, limit=limit)
    # A record may be in either set, so the weaker promise counts.
    spent = max(value for value in epsilons.values() if value is not None)
    # A quarter more than the larger value, so that neither mark lies at the end of the scale.
    marks, most = {"limit": limit}, 1.25 * max(limit, spent)
    bar = Bar("epsilon", spent, None, None, marks, most, percent=False)
    state: State = "red" if spent > limit else "green" if account["promise"] else "amber"
    said = {
        "green": f"privacy is guaranteed (epsilon {spent:.3g})",
        "red": f"the privacy guarantee is weak (epsilon {spent:.3g})",
        "amber": "privacy is not guaranteed, because the noise follows from the seed",
    }[state]
    promise = "" if account["promise"] else " The noise follows from the seed: set privacy.randomness=secure."
    reason = (
        f"Epsilon is {spent:.3g} at delta {account['delta']:.2g}; at most {limit:g} counts as a guarantee.{promise}"
    )
    return Light("privacy", name, state, said, reason, value=spent, limit=limit, bar=bar)


def _within(found: Mapping[str, Any], band: tuple[float, float]) -> State:
    """The state of an attack whose AUC must lie within a band."""
    low, high = bounds(found)
    if not has_enough(found):
        return "amber"
    return "green" if band[0] <= low and high <= band[1] else "red" if high < band[0] or low > band[1] else "amber"


def _clear(gold: Found) -> float | None:
    """Gold's AUC; None over few pairs, where it is noise that would widen the band at will."""
    return value_of(gold) if has_enough(gold) else None


def _band(of_gold: float | None, margin: float) -> tuple[float, float]:
    """The AUC that is allowed: `margin` beyond 0.5, and beyond gold's if an attack sees a difference there."""
    ends = (0.5, 0.5 if of_gold is None else of_gold)
    return max(0.0, min(ends) - margin), min(1.0, max(ends) + margin)


def _area(model: Mapping[str, Any], attack: str) -> Found:
    """An attack's AUC, with the interval that holds for all attacks together if the run has it."""
    found = _together(model, attack) or ((model.get("membership") or {}).get(attack) or {}).get("auc")
    found = found or (of_attack(attack).find(model) if attack == "loss" else None)
    return found if value_of(found) is not None else None


def _together(model: Mapping[str, Any], attack: str) -> Found:
    """An attack's AUC with the interval that holds for all attacks together; None if the run has none."""
    return ((model.get("membership") or {}).get(attack) or {}).get("auc_together")
