"""The report of a run folder: report.md, a self-contained report.html, and the figures as SVG files."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from duolearn_cli.concepts.concept import LEVELS
from duolearn_cli.errors import RunError
from duolearn_cli.report import figures
from duolearn_cli.report.tables import (
    DASH,
    MEASURES,
    level_table,
    markdown_text,
    measures_table,
    number,
    present,
    subject_table,
)
from duolearn_cli.report.target import boundary_table, item_counts, level_counts
from duolearn_cli.run import write_text

SCHEMA = 1
TEMPLATES = Path(__file__).parent / "templates"
CAPTIONS = {
    "subjects": "Accuracy by subject, with 95 % intervals; orange: to forget, blue: to keep, green: gold.",
    "levels": "Forgetting and preservation by level of the concept hierarchy, with 95 % intervals; green: gold.",
    "token_losses": "Mean loss of each token class while unlearning.",
    "quick_accuracy": "Accuracy in quick evaluations while unlearning, each on a sample of the items.",
    "training_losses": "Loss while the target and the gold model were trained.",
}
NO_PRIVACY = (
    "No privacy guarantee is made: the run was not differentially private. "
    "The MIA rows measure what one attack finds; they bound nothing."
)
SPLITS = ("forget_train", "forget_heldout", "forget_unseen", "retain_train", "retain_heldout", "retain_unseen")


@dataclass(frozen=True, slots=True)
class Inputs:
    """What a run folder holds for its report."""

    metrics: Mapping[str, Any]
    history: Sequence[Mapping[str, Any]]
    config: Mapping[str, Any]
    run: Mapping[str, Any]
    target: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Picture:
    """A drawn figure; `name` is its file's."""

    name: str
    caption: str
    svg: str


def write_report(folder: Path) -> list[Path]:
    """Write report.md, report.html and figures/*.svg into a run folder; return their paths.

    Raises:
        RunError: metrics.json, run.json or config.yaml is missing, or a file cannot be read, with its name.
    """
    inputs = read_inputs(folder)
    pictures = draw(inputs)
    context = build_context(inputs, pictures)
    written = [folder / "report.md", folder / "report.html"]
    for path in written:
        write_text(path, render(f"{path.name}.j2", context))
    for picture in pictures:
        written.append(folder / "figures" / f"{picture.name}.svg")
        written[-1].parent.mkdir(exist_ok=True)
        write_text(written[-1], picture.svg)
    return written


def read_inputs(folder: Path) -> Inputs:
    """Read a run folder; history.jsonl and target.json may be missing, since not every command writes them."""
    import yaml

    metrics, run = (_json(folder / name, _read(folder / name)) for name in ("metrics.json", "run.json"))
    if metrics.get("schema") != SCHEMA or not isinstance(metrics.get("models"), dict):
        found = metrics.get("schema")
        raise RunError(f"{folder / 'metrics.json'}: schema {SCHEMA} with 'models' is needed, found schema {found}.")
    history_path, config_path, target_path = (folder / n for n in ("history.jsonl", "config.yaml", "target.json"))
    lines = _read(history_path).splitlines() if history_path.is_file() else []
    try:
        config = yaml.safe_load(_read(config_path)) or {}
    except yaml.YAMLError as error:
        raise RunError(f"{config_path} is not YAML: {error}") from error
    target = _json(target_path, _read(target_path)) if target_path.is_file() else None
    return Inputs(metrics, [_json(history_path, line) for line in lines if line.strip()], config, run, target)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise RunError(f"{path} is missing: the run did not finish, or this is no run folder.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise RunError(f"{path} cannot be read: {error}") from error


def _json(path: Path, text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise RunError(f"{path} is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise RunError(f"{path}: a JSON object is needed, found {text[:40]!r}.")
    return value


def forget_subjects(inputs: Inputs) -> set[str]:
    """The subjects that were to be forgotten: as metrics.json says, else those that the forget target names."""
    stated = inputs.metrics.get("forget_subjects")
    if stated is not None:
        return set(stated)
    target = inputs.config.get("forget") or {}
    named = target.get("subjects") or [*target.get("concepts", ()), inputs.metrics["forget"]]
    words = {str(name).replace("_", " ").casefold() for name in named}
    subjects = {s for name in present(inputs.metrics) for s in inputs.metrics["models"][name].get("subjects") or {}}
    return {subject for subject in subjects if subject.casefold() in words}


def draw(inputs: Inputs) -> list[Picture]:
    """The figures that have something to show."""
    drawn = {
        "subjects": figures.subject_accuracy(inputs.metrics, forget_subjects(inputs)),
        "levels": figures.level_scores(inputs.metrics, LEVELS),
        "token_losses": figures.class_losses(inputs.history),
        "quick_accuracy": figures.quick_accuracy(inputs.history),
        "training_losses": figures.training_losses(inputs.history),
    }
    return [Picture(name, CAPTIONS[name], figures.to_svg(figure)) for name, figure in drawn.items() if figure]


def build_context(inputs: Inputs, pictures: Sequence[Picture]) -> dict[str, Any]:
    """Everything the templates show, as plain values."""
    metrics, run = inputs.metrics, inputs.run
    return {
        "title": f"{run.get('command', 'run')}: {metrics['forget']}, {metrics['method']}, {metrics['model']}",
        "answer": answer(metrics),
        "flags": [*metrics.get("flags", ()), *_status_flag(run)],
        "asked": asked(metrics, run),
        "results": measures_table(metrics),
        "subjects": subject_table(metrics, forget_subjects(inputs)),
        "levels": level_table(metrics, LEVELS),
        "target": [make(inputs.target) for make in (level_counts, item_counts, boundary_table) if inputs.target],
        "pictures": pictures,
        "measures": list(MEASURES.values()),
        "privacy": privacy(metrics, inputs.config),
        "cost": cost(metrics.get("cost") or {}),
        "environment": environment(run, metrics),
        "command": command_line(run),
    }


def command_line(run: Mapping[str, Any]) -> str | None:
    """The command that makes the run again, if run.json tells its overrides."""
    return shlex.join(["duolearn", run["command"], *run["overrides"]]) if "overrides" in run else None


def answer(metrics: Mapping[str, Any]) -> str:
    """What the run found, in one sentence."""
    models, forget = metrics["models"], metrics["forget"]
    if not (models.get("target") and models.get("unlearned")):
        pairs = ((name, _share(models, name, "retain"), _share(models, name, "forget")) for name in present(metrics))
        scored = "; ".join(f"{name} {retain} and {forgotten}" for name, retain, forgotten in pairs)
        return f"Nothing was unlearned in this run; accuracy on retain and {forget} items: {scored or DASH}."
    rate, kept = (
        MEASURES[key].cell((models["unlearned"].get("scores") or {}).get(key))
        for key in ("forgetting_rate", "knowledge_preservation")
    )
    gold = f"; a model that never learned them scores {_share(models, 'gold', 'forget')}" if models.get("gold") else ""
    return (
        f"Accuracy on {forget} items went from {_share(models, 'target', 'forget')} to "
        f"{_share(models, 'unlearned', 'forget')} (FR {rate} %), and KPR, the share of the accuracy on retain items "
        f"that was kept, is {kept} %{gold}."
    )


def _share(models: Mapping[str, Any], model: str, part: str) -> str:
    """Accuracy on ``forget`` or ``retain`` items, without its interval: the table has it."""
    value = number(((models[model].get("scores") or {}).get(f"{part}_accuracy") or {}).get("value"))
    return DASH if value is None else f"{100 * value:.1f} %"


def _status_flag(run: Mapping[str, Any]) -> list[str]:
    status = run.get("status")
    return [f"The run {status}: its numbers may be incomplete."] if status in ("failed", "interrupted") else []


def asked(metrics: Mapping[str, Any], run: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What was asked for, and on how many items."""
    data = metrics.get("data") or {}
    rejected = [f"{count} {reason}" for reason, count in (data.get("rejected") or {}).items()]
    rows = [
        ("command", run.get("command")),
        *((key, metrics.get(key)) for key in ("forget", "model", "dataset", "method", "seed", "privacy")),
        *((f"items, {split.replace('_', ' ')}", data.get(split)) for split in SPLITS),
        ("rejected rows", ", ".join(rejected) or "none"),
        ("labels filled from concepts or left out", _counts(data.get("subjects"))),
        ("items given to unlearning", _counts(data.get("request"))),
        ("near duplicates across splits", data.get("duplicates")),
    ]
    return [(label, str(value)) for label, value in rows if value is not None]


def _counts(found: Mapping[str, int] | None) -> str | None:
    return ", ".join(f"{name.replace('_', ' ')} {count}" for name, count in (found or {}).items()) or None


def privacy(metrics: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    """What the run promises about the records it used."""
    budget = config.get("privacy") or {}
    if metrics.get("privacy", "none") == "none" or budget.get("epsilon") is None:
        return NO_PRIVACY
    return (
        f"The run was asked for epsilon = {budget['epsilon']} and delta = {budget.get('delta')}. Such a budget covers "
        "what the unlearning update reveals about the records used in this run; it does not protect retroactively "
        "what the base model memorised. This report accounts for no spending: read it as a request, not as a guarantee."
    )


def cost(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Time, parameters and memory, each with its unit."""
    units = {
        "seconds": lambda value: f"{value:.1f} s",
        "trainable_parameters": lambda value: f"{value:,.0f}",
        "trainable_fraction": lambda value: f"{100 * value:.3g} % of the model",
        "peak_memory_bytes": lambda value: f"{value / 1e9:.2f} GB",
    }
    labels = {"peak_memory_bytes": "peak memory", "seconds": "time"}
    return [
        (labels.get(key, key.replace("_", " ")), DASH if number(values.get(key)) is None else show(values[key]))
        for key, show in units.items()
    ]


def environment(run: Mapping[str, Any], metrics: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Where, when and with which versions and seeds the run was made."""
    rows = [(key, run.get(key)) for key in ("created", "signature", "device", "platform")]
    rows.append(("duolearn", metrics.get("duolearn")))
    rows += sorted((run.get("versions") or {}).items())
    rows += [(f"seed, {name}", seed) for name, seed in (run.get("seeds") or {}).items()]
    return [(label, str(value)) for label, value in dict(rows).items() if value is not None]


def render(template: str, context: Mapping[str, Any]) -> str:
    """Fill a template; everything is escaped for HTML, figures apart."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=jinja2.select_autoescape(["html.j2"]),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["md"] = markdown_text
    return environment.get_template(template).render(context)
