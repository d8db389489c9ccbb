"""What a report says of privacy: the promise in words, the terms in a table, warnings, curves."""

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
    "privacy={asked} was set, and the model has no account of what was spent: read it as a request, not as a guarantee."
)
NO_PROMISE = (
    "No privacy is promised: the noise follows from the seed, and whoever knows it can take the noise away. The "
    "epsilon below is what the same run would spend with noise that nobody knows (privacy.randomness=secure)."
)
# Of the noise's norm; from about a tenth on, some tens of steps add up to a direction.
MOSTLY_NOISE = 0.1
UNITS = {"example": "item", "fact": "fact, with all its items,", "patient": "patient, with all their items,"}
COLORS = {"retain": RETAIN, "forget": FORGET}


def sentences(metrics: Mapping[str, Any]) -> list[str]:
    """What the run promises about the records it used. `not_covered` lists what it does not."""
    account = metrics.get("account")
    if not account:
        asked = metrics.get("privacy") or "none"
        return [NO_PRIVACY] if asked == "none" else [NO_ACCOUNT.format(asked=asked), NO_PRIVACY]
    found = [] if account["promise"] else [NO_PROMISE]
    found += [_promise(name, own, account, _phase(metrics)) for name, own in account["sets"].items()]
    if account["shared_units"]:
        found.append(
            "Some patients or facts have items in both sets: they pay for both, and the noise is solved for that."
        )
    found += _groups(account)
    if account["earlier_stages"]:
        found.append(
            f"Before this stage the model had {account['earlier_stages']} more that cost privacy; epsilon is that of "
            "all together, for the worst way through them. A record that an earlier stage did not protect has none."
        )
    found.append(
        "Adjacent data sets differ by one unit added or removed. Spending was added up by the "
        f"{account['accountant'].upper()} accountant of {account['library']}; the noise came from "
        + ("a cryptographic generator whose key was never stored" if account["randomness"] == "secure" else "a seed")
        + f". The stage began with {account.get('start') or 'a model that is not named'}."
    )
    found.append(
        "What the model that the first stage began with had memorised is in no epsilon: the MIA rows measure what one "
        "attack finds of it."
    )
    return found


def not_covered(metrics: Mapping[str, Any]) -> list[str]:
    """What the account excludes, one phrase each; empty without an account."""
    return list((metrics.get("account") or {}).get("excludes") or ())


def _phase(metrics: Mapping[str, Any]) -> str:
    """What the account's last stage did."""
    return {"unlearn": "unlearning", "learn": "learning"}[metrics["account"]["stage"]]


def _promise(name: str, own: Mapping[str, Any], account: Mapping[str, Any], phase: str) -> str:
    epsilon, unit = number(own.get("epsilon")), f"{UNITS[account['unit']]} of the {name} set"
    if not _is_protected(own):
        return f"The {name} set is not protected: its epsilon is infinite."
    if epsilon is None:
        return f"Nothing bounds what is told of the {name} set: its epsilon is infinite."
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
    """What is promised to a fact or patient that several units belong to; an account of earlier versions has none."""
    found = []
    for kind, own in (account.get("groups") or {}).items():
        fix = f"privacy.unit={kind} makes the promise to each {kind}."
        if own["units"] is None:
            found.append(f"Units hold items of several {kind}s, and nothing bounds what is told of one {kind}: {fix}")
            continue
        epsilon = number(own["epsilon"])
        bound = f"at most epsilon = {epsilon:.3g} at the same delta" if epsilon is not None else "without a bound"
        found.append(
            f"Up to {own['units']} units belong to one {kind}: epsilon is that of one unit, and of a {kind} "
            f"more is told, {bound}. {fix}"
        )
    return found


def _is_protected(own: Mapping[str, Any]) -> bool:
    """An epsilon of null alone does not tell: noise too weak to bound anything has one, too."""
    return "noise_multiplier" in own


def warnings(metrics: Mapping[str, Any], history: Iterable[Mapping[str, Any]] = ()) -> list[str]:
    """What a reader must see before the numbers: noise that promises nothing, steps that were little but noise."""
    account, lines = metrics.get("account"), list(history)
    found = [NO_PROMISE] if account and not account["promise"] else []
    found += _groups(account or {})
    for name in (account or {}).get("sets") or {}:
        signal = _mean(lines, name, "signal_to_noise")
        if signal is not None and signal < MOSTLY_NOISE:
            found.append(
                f"What steps were told of the {name} set was mostly noise (signal to noise {signal:.2g}): its records "
                "hardly steered them. More records or a larger epsilon would help."
            )
    return found


def privacy_table(metrics: Mapping[str, Any], history: Iterable[Mapping[str, Any]]) -> Table:
    """The terms and what they cost, one row a set; no rows for a run without an account."""
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
    found = number(value)
    return missing if found is None else format(found, style)


def _mean(history: Sequence[Mapping[str, Any]], name: str, key: str) -> float | None:
    """Over the steps that have a value: of one without units there is no share. Steps taken again count once."""
    values = [value for _, value in points(history, _line(name, f"{key}_{name}"))]
    return sum(values) / len(values) if values else None


def spending_curves(metrics: Mapping[str, Any], history: Iterable[Mapping[str, Any]]) -> Figure | None:
    """Epsilon over steps beside the budget; below, the share of clipped units, and the signal over the noise."""
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
        # One legend serves all panels: labels that begin with an underscore stay out of it.
        curves = [_line(name, f"{key}_{name}", label="_") for name in sets]
        panels.append((label, [(curve, points(lines, curve)) for curve in curves]))
    return curve_panels(panels)


def _line(name: str, key: str, label: str | None = None) -> Line:
    return Line(label or name, "unlearn", key, COLORS[name])
