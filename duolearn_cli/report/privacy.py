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
NO_PROMISE = (
    "No privacy is promised: the noise follows from the seed, and whoever knows it can take the noise away. The "
    "epsilon below is what the same run would spend with noise that nobody knows (privacy.randomness=secure)."
)
# Of the noise's norm; from about a tenth on, some tens of steps add up to a direction.
MOSTLY_NOISE = 0.1
UNITS = {"example": "item", "fact": "fact, with all its items,", "patient": "patient, with all their items,"}
COLORS = {"retain": RETAIN, "forget": FORGET}


def sentences(metrics: Mapping[str, Any]) -> list[str]:
    """What the run promises about the records it used, and what it does not."""
    account = metrics.get("account")
    if not account:
        return [NO_PRIVACY]
    found = [] if account["promise"] else [NO_PROMISE]
    found += [_promise(name, own, account) for name, own in account["sets"].items()]
    if account["shared_units"]:
        found.append(
            "Some patients or facts have items in both sets: they pay for both, and the noise is solved for that."
        )
    if account["earlier_stages"]:
        found.append(
            f"Before this stage the model had {account['earlier_stages']} more that cost privacy; epsilon is that of "
            "all together, for the worst way through them. A record that an earlier stage did not protect has none."
        )
    found.append(
        "Adjacent data sets differ by one unit added or removed. Spending was added up by the "
        f"{account['accountant'].upper()} accountant of {account['library']}; the noise came from "
        + ("a cryptographic generator whose key was never stored" if account["randomness"] == "secure" else "a seed")
        + f". The stage began with {account['start'] or 'a model that is not named'}."
    )
    found.append(f"Not covered: {'; '.join(account['excludes'])}. Membership attacks on the model measure the rest.")
    return found


def _promise(name: str, own: Mapping[str, Any], account: Mapping[str, Any]) -> str:
    epsilon, unit = number(own["epsilon"]), UNITS[account["unit"]]
    if epsilon is None:
        return f"The {name} set is not protected: its epsilon is infinite."
    adds = "adds" if account["promise"] else "would add"
    return (
        f"The unlearning phase {adds} at most (epsilon = {epsilon:.3g}, delta = {account['delta']:.2g}) about each "
        f"{unit} of the {name} set, given the model that it began with."
    )


def warnings(metrics: Mapping[str, Any], history: Iterable[Mapping[str, Any]] = ()) -> list[str]:
    """What a reader must see before the numbers: noise that promises nothing, steps that were little but noise."""
    account, lines = metrics.get("account"), list(history)
    found = [NO_PROMISE] if account and not account["promise"] else []
    for name in (account or {}).get("sets") or {}:
        signal = _mean(lines, f"signal_to_noise_{name}")
        if signal is not None and signal < MOSTLY_NOISE:
            found.append(
                f"What steps were told of the {name} set was mostly noise (signal to noise {signal:.2g}): its records "
                "hardly steered them. More records, a larger epsilon, or fewer coordinates (model.adapter.rank, "
                "model.adapter.targets) would help."
            )
    return found


def privacy_table(metrics: Mapping[str, Any], history: Iterable[Mapping[str, Any]]) -> Table:
    """The terms and what they cost, one row a set; no rows for a run without an account."""
    account, lines = metrics.get("account") or {}, list(history)
    header = (
        "Set",
        "Epsilon",
        "Of this run alone",
        "Delta",
        "Noise multiplier",
        "Clipping norm",
        "Units a step, of all",
        "Steps",
        "Clipped (%)",
        "Signal / noise",
    )
    rows = [_row(name, own, account, lines) for name, own in (account.get("sets") or {}).items()]
    return Table("Privacy spent", header, tuple(rows))


def _row(
    name: str, own: Mapping[str, Any], account: Mapping[str, Any], history: Sequence[Mapping[str, Any]]
) -> tuple[str, ...]:
    if own["epsilon"] is None:
        return (name, "∞ (not protected)", *[DASH] * 8)
    steps = str(own["steps"]) + (f" of {own['planned_steps']}" if own["steps"] != own["planned_steps"] else "")
    clipped, signal = (_mean(history, f"{key}_{name}") for key in ("clip_rate", "signal_to_noise"))
    return (
        name,
        f"{own['epsilon']:.3g}",
        f"{own['epsilon_run']:.3g}",
        f"{account['delta']:.2g}",
        f"{own['noise_multiplier']:.3g}",
        f"{account['max_grad_norm']:g} ({account['clipping']})",
        f"{own['rate'] * own['units']:.3g} of {own['units']} ({own['sampling']})",
        steps,
        DASH if clipped is None else f"{100 * clipped:.1f}",
        DASH if signal is None else f"{signal:.3g}",
    )


def _mean(history: Sequence[Mapping[str, Any]], key: str) -> float | None:
    """Over the steps that have a value: of one without units there is no share."""
    values = [value for line in history if (value := number(line.get(key))) is not None]
    return sum(values) / len(values) if values else None


def spending_curves(metrics: Mapping[str, Any], history: Iterable[Mapping[str, Any]]) -> Figure | None:
    """Epsilon over steps beside the budget; below, the share of clipped units, and the signal over the noise."""
    account, lines = metrics.get("account") or {}, list(history)
    sets = {name: own for name, own in (account.get("sets") or {}).items() if own.get("over_steps")}
    if not sets:
        return None
    spent = [
        (_line(name, "epsilon"), [(step, value) for step, value in own["over_steps"]]) for name, own in sets.items()
    ]
    last = max(own["steps"] for own in sets.values())
    spent.append((Line("budget", "unlearn", "", BASE, "--"), [(0, account["budget"]), (last, account["budget"])]))
    panels = [("epsilon spent", spent)]
    for label, key in (("clipped share", "clip_rate"), ("signal / noise", "signal_to_noise")):
        # One legend serves all panels: labels that begin with an underscore stay out of it.
        curves = [_line(name, f"{key}_{name}", label="_") for name in sets]
        panels.append((label, [(curve, points(lines, curve)) for curve in curves]))
    return curve_panels(panels)


def _line(name: str, key: str, label: str | None = None) -> Line:
    return Line(label or name, "unlearn", key, COLORS[name])
