"""The part of a report about privacy: the guarantee in words, the terms in a table, warnings, curves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from duolearn_cli.report.figures import BASE, FORGET, RETAIN, Line, curve_panels, points
from duolearn_cli.report.tables import DASH, Table, number

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NO_PRIVACY = (
    "No privacy guarantee is made: the run was not differentially private. "
    "The MIA rows measure what one attack finds; they bound nothing."
)
NO_ACCOUNT = (
    "privacy={asked} was set, but the model has no account of what was spent: read it as a request, not as a guarantee."
)
NO_PROMISE = (
    "No privacy is promised: the noise follows from the seed, and whoever knows it can take the noise away. The "
    "epsilon below is what the same run would spend with noise that nobody knows (privacy.randomness=secure)."
)
# A warning limit for the norm of the signal over that of the noise. From about a tenth on, the signals of some tens of
# steps add up to a direction.
MOSTLY_NOISE = 0.1
UNITS = {"example": "item", "fact": "fact, with all its items,", "patient": "patient, with all their items,"}
COLORS = {"retain": RETAIN, "forget": FORGET}


def sentences(metrics: Mapping[str, Any]) -> list[str]:
    """Return the run's guarantee about the records that it used, in sentences. `not_covered` lists the exclusions."""
    account = metrics.get("account")
    if not account:
        asked = metrics.get("privacy") or "none"
        return [NO_PRIVACY] if asked == "none" else [NO_ACCOUNT.format(asked=asked), NO_PRIVACY]
    lines = [] if account["promise"] else [NO_PROMISE]
    lines += [_promise(name, own, account, _phase(metrics)) for name, own in account["sets"].items()]
    if account["shared_units"]:
        lines.append(
            "Some patients or facts have items in both sets: they pay for both, and the noise is solved for that."
        )
    lines += _groups(account)
    if account["earlier_stages"]:
        lines.append(
            f"Before this stage the model had {account['earlier_stages']} more that cost privacy; epsilon is that of "
            "all stages together, for a record that was in the costliest set of each. A record that an earlier stage "
            "did not protect has none."
        )
    lines.append(
        "Adjacent data sets differ by one unit added or removed. Spending was composed by the "
        f"{account['accountant'].upper()} accountant of {account['library']}; the noise came from "
        + ("a cryptographic generator whose key was never stored" if account["randomness"] == "secure" else "a seed")
        + f". The stage began with {account.get('start') or 'a model that is not named'}."
    )
    lines.append(
        "No epsilon covers what the model that the first stage began with had memorised: the MIA rows measure what one "
        "attack finds of it."
    )
    return lines


def not_covered(metrics: Mapping[str, Any]) -> list[str]:
    """Return what the account excludes, one phrase each; nothing without an account."""
    return list((metrics.get("account") or {}).get("excludes") or ())


def _phase(metrics: Mapping[str, Any]) -> str:
    """Return the name of the account's last stage in a sentence."""
    return {"unlearn": "unlearning", "learn": "learning"}[metrics["account"]["stage"]]


def _promise(name: str, own: Mapping[str, Any], account: Mapping[str, Any], phase: str) -> str:
    epsilon, unit = number(own.get("epsilon")), f"{UNITS[account['unit']]} of the {name} set"
    if not _is_protected(own):
        return f"The {name} set is not protected: its epsilon is infinite."
    if epsilon is None:
        return f"Nothing bounds what is revealed about the {name} set: its epsilon is infinite."
    would, s = ("", "s") if account["promise"] else ("would ", "")
    paid = f"at most (epsilon = {epsilon:.3g}, delta = {account['delta']:.2g}) about each {unit}"
    alone = number(own.get("epsilon_run"))
    if not account["earlier_stages"] or alone is None:
        return f"The {phase} phase {would}add{s} {paid}, given the model that it began with."
    return (
        f"All {account['earlier_stages'] + 1} stages together {would}add {paid}, given the model that the first one "
        f"began with; the {phase} phase alone {would}add{s} at most epsilon = {alone:.3g} at the same delta, given the "
        "model that it began with."
    )


def _groups(account: Mapping[str, Any]) -> list[str]:
    """Return the guarantee for facts and patients with several units; accounts of earlier versions have none."""
    lines = []
    for kind, own in (account.get("groups") or {}).items():
        fix = f"privacy.unit={kind} makes the promise to each {kind}."
        if own["units"] is None:
            lines.append(
                f"Units hold items of several {kind}s, and nothing bounds what is revealed about one {kind}: {fix}"
            )
            continue
        epsilon = number(own["epsilon"])
        bound = f"at most epsilon = {epsilon:.3g} at the same delta" if epsilon is not None else "without a bound"
        lines.append(
            f"Up to {own['units']} units belong to one {kind}: epsilon is that of one unit, and more is revealed about "
            f"a {kind}, {bound}. {fix}"
        )
    return lines


def _is_protected(own: Mapping[str, Any]) -> bool:
    """Return whether the set is protected. An epsilon of null does not decide: too weak noise gives null as well."""
    return "noise_multiplier" in own


def warnings(metrics: Mapping[str, Any], history: Iterable[Mapping[str, Any]] = ()) -> list[str]:
    """Return the warnings about privacy: noise without a guarantee, groups of units, steps that were mostly noise."""
    account, lines = metrics.get("account"), list(history)
    sentences = [NO_PROMISE] if account and not account["promise"] else []
    sentences += _groups(account or {})
    for name in (account or {}).get("sets") or {}:
        signal = _mean(lines, name, "signal_to_noise")
        if signal is not None and signal < MOSTLY_NOISE:
            sentences.append(
                f"The gradients of the {name} set were mostly noise (signal to noise {signal:.2g}): its records hardly "
                "influenced the steps. More records or a larger epsilon would help."
            )
    return sentences


def privacy_table(metrics: Mapping[str, Any], history: Iterable[Mapping[str, Any]]) -> Table:
    """Return the table of privacy terms and spending, one row per set; no rows without an account."""
    account, lines = metrics.get("account") or {}, list(history)
    header = (
        "Set",
        "Epsilon",
        *(("Of this run alone",) if account.get("earlier_stages") else ()),
        "Delta",
        "Noise multiplier",
        "Clipping norm",
        "Units a step, of all",
        "Steps",
        "Clipped (%)",
        "Signal / noise",
    )
    rows = [_row(name, own, account, lines, len(header)) for name, own in (account.get("sets") or {}).items()]
    return Table("Privacy spent", header, tuple(rows))


def _row(
    name: str, own: Mapping[str, Any], account: Mapping[str, Any], history: Sequence[Mapping[str, Any]], width: int
) -> tuple[str, ...]:
    if not _is_protected(own):
        return (name, "∞ (not protected)", *[DASH] * (width - 2))
    rate, units = number(own["rate"]), number(own["units"])
    steps = str(own["steps"]) + (f" of {own['planned_steps']}" if own["steps"] != own["planned_steps"] else "")
    clipped = _mean(history, name, "clip_rate")
    return (
        name,
        _shown(own["epsilon"], ".3g", "∞"),
        *((_shown(own["epsilon_run"], ".3g", "∞"),) if account["earlier_stages"] else ()),
        _shown(account["delta"], ".2g"),
        _shown(own["noise_multiplier"], ".3g"),
        f"{_shown(account['max_grad_norm'], 'g')} ({account['clipping']})",
        DASH if rate is None or units is None else f"{rate * units:.3g} of {units:.0f} ({own['sampling']})",
        steps,
        _shown(None if clipped is None else 100 * clipped, ".1f"),
        _shown(_mean(history, name, "signal_to_noise"), ".3g"),
    )


def _shown(value: Any, style: str, missing: str = DASH) -> str:
    finite = number(value)
    return missing if finite is None else format(finite, style)


def _mean(history: Sequence[Mapping[str, Any]], name: str, key: str) -> float | None:
    """Return the mean over the steps that have a value; a step without units has none. Repeated steps count once."""
    values = [value for _, value in points(history, _line(name, f"{key}_{name}"))]
    return sum(values) / len(values) if values else None


def spending_curves(metrics: Mapping[str, Any], history: Iterable[Mapping[str, Any]]) -> Figure | None:
    """Draw epsilon over steps with the budget; below it, the share of clipped units and the signal over the noise."""
    account, lines = metrics.get("account") or {}, list(history)
    sets = {name: own for name, own in (account.get("sets") or {}).items() if own.get("over_steps")}
    if not sets:
        return None
    spent = [
        (_line(name, "epsilon"), [(step, value) for step, value in own["over_steps"] if number(value) is not None])
        for name, own in sets.items()
    ]
    last, budget = max(own["over_steps"][-1][0] for own in sets.values()), number(account.get("budget"))
    if budget is not None:
        spent.append((Line("budget", "unlearn", "", BASE, "--"), [(0, budget), (last, budget)]))
    panels = [("epsilon spent", spent)]
    for label, key in (("clipped share", "clip_rate"), ("signal / noise", "signal_to_noise")):
        # One legend serves all panels: matplotlib leaves out labels that begin with an underscore.
        curves = [_line(name, f"{key}_{name}", label="_") for name in sets]
        panels.append((label, [(curve, points(lines, curve)) for curve in curves]))
    return curve_panels(panels)


def _line(name: str, key: str, label: str | None = None) -> Line:
    return Line(label or name, "unlearn", key, COLORS[name])
