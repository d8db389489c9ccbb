"""The secondary tables of an evaluation: attacks, distance to gold, calibration, own words, token classes."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from duolearn_cli.evaluation.measures.central import FORGET_ACCURACY
from duolearn_cli.evaluation.measures.membership import ATTACKS, of_attack
from duolearn_cli.report.figures import BASE, FORGET, GOLD, RETAIN, panels
from duolearn_cli.report.own_model import base_rate_table
from duolearn_cli.report.tables import DASH, FLAGGED, Table, cell, number, present

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COMPARISONS = (
    "Each interval is at 95 % by itself: of twenty comparisons, one is expected to be off by chance. Choose the "
    "measure before you look at the results. Attacks that are judged together are compared with the largest value "
    "that they reach by chance."
)
ATTACK_NOTE = (
    "Membership attacks look at losses: they guess which facts a model was trained on. The command duolearn audit "
    "robustness run=FOLDER tries other ways to get the forgotten answers back, such as other wordings and new training."
)
SIDES = ("forget", "retain")
RATES = {"auc": "AUC", "tpr_1": "TPR at 1 % FPR", "tpr_01": "TPR at 0.1 % FPR"}
WORDS = {"rouge_l_recall": "ROUGE-L recall", "rouge_l_f1": "ROUGE-L F1", "degenerate": "degenerate texts"}
COLORS = {"base": BASE, "target": RETAIN, "gold": GOLD, "unlearned": FORGET}


def attack_tables(metrics: Mapping[str, Any]) -> list[Table]:
    """Return the tables about membership attacks that have rows."""
    return [table for make in (worst_table, attack_table, check_table) if (table := make(metrics)).rows]


def tables(metrics: Mapping[str, Any]) -> list[Table]:
    """Return the other tables that have rows."""
    makers = (
        chance_table,
        gold_table,
        base_rate_table,
        calibration_table,
        words_table,
        harness_table,
        class_table,
    )
    return [table for make in makers if (table := make(metrics)).rows]


def chance_table(metrics: Mapping[str, Any]) -> Table:
    """Return the table of scores that need no knowledge of the forget items; no rows if the run did not measure it."""
    if not metrics.get("floor"):
        return Table("", (), ())
    gold = FORGET_ACCURACY.find(metrics["models"].get("gold") or {})
    common, alone, place = ((metrics.get(key) or {}).get("forget") for key in ("majority", "by_options", "by_place"))
    scores = {
        "1 / number of options": {"value": metrics["chance"]},
        f"always {common['answer']}" if common else "": common,
        "a classifier of the options, without the question": alone,
        "a place that was not the right one in training (held-out askings)": place,
        "gold, which never learned them": gold,
    }
    rows = tuple((name, cell(one, 100, 1)) for name, one in scores.items() if one)
    source = "gold's answers" if metrics["floor"]["source"] == "gold" else "1 / number of options"
    title = f"Right answers to forget items without knowing them; forgetting is measured from {source}"
    return Table(title, ("Who answers", "Right (%)"), rows)


def attack_table(metrics: Mapping[str, Any]) -> Table:
    """Return the table of membership attacks by model: AUC, and true-positive rates at low false-positive rates."""
    models = [name for name in present(metrics) if metrics["models"][name].get("membership")]
    rows = []
    for attack, label in ATTACKS.items():
        for key, rate in RATES.items():
            scores = [(metrics["models"][name]["membership"].get(attack) or {}).get(key) for name in models]
            if any(scores):
                # All models are attacked on the same pairs, so the first count holds for each.
                count = next(one["n"] for one in scores if one)
                marks = (_mark(metrics, name, attack, key) for name in models)
                cells = (cell(one, scale=1, digits=3) + mark for one, mark in zip(scores, marks, strict=True))
                reason = next((f" ({one['reason']})" for one in scores if one and one.get("reason")), "")
                rows.append((f"{label}, {rate}{reason}", str(count), *cells))
    title = "Membership attacks: trained against never-seen forget facts, in pairs of equal length"
    return Table(title, ("Attack", "facts", *models), tuple(rows))


def worst_table(metrics: Mapping[str, Any]) -> Table:
    """Return the table of the loss attack and the worst attack by model, with the values expected by chance."""
    rows = []
    for name in present(metrics):
        if attack := metrics["models"][name].get("worst_attack"):
            scores = metrics["models"][name]["scores"]
            loss = (cell(scores.get(key), scale=1, digits=3) for key in ("mia_score", "mia_expected"))
            worst = (cell(attack[key], scale=1, digits=3) for key in ("score", "expected"))
            label = str(ATTACKS.get(attack["attack"], attack["attack"]))
            rows.append((name, str(attack["score"]["n"]), *loss, label, *worst, _p_value(attack)))
    title = (
        "MIA scores of the loss attack and of the worst attack; p: share of random swaps within pairs whose worst "
        "attack sees as much"
    )
    expected = "if nothing differed"
    header = ("Model", "facts", "Loss ↑", expected, "Worst attack", "Its score ↑", expected, "p")
    return Table(title, header, tuple(rows))


def _mark(metrics: Mapping[str, Any], model: str, attack: str, key: str) -> str:
    """Return the mark next to the AUC of an attack that a warning concerns, else an empty string."""
    name = of_attack(attack).key
    return FLAGGED if model == "unlearned" and key == "auc" and name in (metrics.get("flagged") or ()) else ""


def check_table(metrics: Mapping[str, Any]) -> Table:
    """Return the self-check of the attacks: on a model that was trained on neither side they must see no difference."""
    check = metrics.get("membership_check") or {}
    rows = tuple(
        (
            str(ATTACKS.get(name, name)),
            cell(one.get("auc"), scale=1, digits=3),
            _p_value(one),
            {True: "DIFFERENCE SEEN", False: "no difference seen"}.get(one.get("seen"), DASH),
        )
        for name, one in (check.get("attacks") or {}).items()
    )
    share = f"{100 * check.get('confidence', 0.95):.3g} % intervals, 95 % for all together"
    title = f"Self-check of the attacks on {check.get('model')}, which saw neither side: {_verdict(check)}"
    return Table(title, ("Attack", f"AUC ({share})", "p", "Verdict"), rows)


def _p_value(attack: Mapping[str, Any]) -> str:
    """Format the p-value; a dash for older runs, which have none."""
    value = number(attack.get("p_value"))
    return DASH if value is None else f"{value:.3g}"


def _verdict(check: Mapping[str, Any]) -> str:
    """Describe the result of the self-check, and which AUC it could have detected."""
    pairs, least = check.get("pairs"), number(check.get("detectable"))
    if check.get("usable") is None:
        return f"{pairs} pairs with such scores cannot show any difference"
    if not check["usable"]:
        return "the split is UNUSABLE"
    seen = "no AUC below 1" if least is None else f"an AUC of {least:.2f} or more"
    return f"no difference seen, the split is usable ({pairs} pairs show {seen} in four of five cases)"


def gold_table(metrics: Mapping[str, Any]) -> Table:
    """Return the table of each model's distance to gold, on forget and on retain items."""
    rows = []
    for side in SIDES:
        for name in present(metrics):
            distance = (metrics["models"][name].get("gold") or {}).get(side)
            if distance:
                ks, same = (number(distance.get(key)) for key in ("ks", "ks_same"))
                apart = DASH if ks is None else f"{ks:.3f}" + ("" if same is None else f" ({same:.3f})")
                cells = cell(distance["nll_distance"], 1, 3), cell(distance["agreement"], 100, 1)
                rows.append((f"{name}, {side}", str(distance["agreement"]["n"]), apart, *cells))
    header = (
        "Model, side",
        "items",
        "KS to gold (of a model like gold, at most) ↓",
        "Mean |difference of loss| (nats) ↓",
        "Same answer (%) ↑",
    )
    return Table("Distance to gold, the model that never learned the forget items", header, tuple(rows))


def calibration_table(metrics: Mapping[str, Any]) -> Table:
    """Return the table of expected calibration error, confidence, entropy and position bias."""
    rows = []
    for side in SIDES:
        for name in present(metrics):
            calibration = (metrics["models"][name].get("calibration") or {}).get(side)
            if calibration:
                figures = (cell(calibration[key], 100, 1) for key in ("ece", "confidence", "entropy", "position_bias"))
                shares = " / ".join(f"{100 * share:.0f}" for share in calibration["positions"])
                rows.append((f"{name}, {side}", str(calibration["ece"]["n"]), *figures, shares))
    header = ("Model, side", "items", "ECE (%) ↓", "Confidence (%)", "Entropy (% of largest)", "Position bias (%) ↓")
    return Table("Calibration and position", (*header, "Answers by place (%)"), tuple(rows))


def words_table(metrics: Mapping[str, Any]) -> Table:
    """Return the table of answers in the model's own words and of its loss on plain text."""
    rows = []
    models = present(metrics)
    for side in SIDES:
        for key, label in WORDS.items():
            scores = [((metrics["models"][name].get("written") or {}).get(side) or {}).get(key) for name in models]
            if any(scores):
                count = next(one["n"] for one in scores if one)
                rows.append((f"{side}: {label} (%)", str(count), *(cell(one, 100, 1) for one in scores)))
    general = [metrics["models"][name].get("general") or {} for name in models]
    if any(general):
        count = str(next(one["bits_per_byte"]["n"] for one in general if one))
        rows.append(("plain text: bits per byte ↓", count, *(cell(one.get("bits_per_byte"), 1, 3) for one in general)))
        shown = (number(one.get("perplexity")) for one in general)
        rows.append(("plain text: perplexity ↓", count, *(DASH if v is None else f"{v:,.1f}" for v in shown)))
    return Table("In its own words, and general text", ("Measure", "n", *models), tuple(rows))


def harness_table(metrics: Mapping[str, Any]) -> Table:
    """Return the table of a result file of lm-evaluation-harness; no rows without one."""
    rows = tuple(
        (row["task"], row["metric"], f"{row['value']:.4g}", DASH if row["stderr"] is None else f"{row['stderr']:.2g}")
        for row in (metrics.get("harness") or {}).get("results") or ()
    )
    title = "General ability by lm-evaluation-harness, as its result file says"
    return Table(title, ("Task", "Metric", "Value", "Standard error"), rows, num_text=2)


def class_table(metrics: Mapping[str, Any]) -> Table:
    """Return the table of the mean loss of each token class, on forget and on retain items."""
    models, rows = present(metrics), []
    for side in SIDES:
        entries = [(metrics["models"][name].get("token_classes") or {}).get(side) or {} for name in models]
        for key in dict.fromkeys(key for entry in entries for key in entry):
            count = next(entry[key]["n"] for entry in entries if key in entry)
            label = f"{side} items: {key.replace('_', ' ')} tokens"
            rows.append((label, str(count), *(cell(entry.get(key), 1, 3) for entry in entries)))
    return Table("Loss by token class (nats a token)", ("Tokens", "tokens", *models), tuple(rows))


def roc_curves(metrics: Mapping[str, Any]) -> Figure | None:
    """Draw the ROC curves of the loss and the reference attack: one panel per attack, one line per model.

    The dotted diagonal is an attack that sees nothing.
    """
    curves = metrics.get("roc") or {}
    attacks = [attack for attack in ("loss", "reference") if any(attack in curves[name] for name in curves)]
    if not attacks:
        return None

    def drawn(attack: str, axes: Axes) -> None:
        axes.plot([0, 1], [0, 1], color=BASE, linestyle=":", linewidth=1)
        for name in present(metrics):
            if curve := curves.get(name, {}).get(attack):
                axes.plot(curve["fpr"], curve["tpr"], color=COLORS[name], label=name)
        axes.set_xlabel(f"false positives, {ATTACKS[attack]} attack")
        axes.set_ylabel("true positives")
        axes.legend()

    return panels([partial(drawn, attack) for attack in attacks], 3.4)
