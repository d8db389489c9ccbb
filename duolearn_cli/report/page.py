"""The report of a run folder: report.md, a self-contained report.html, and the figures as SVG files."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from duolearn_cli.concepts.concept import LEVELS
from duolearn_cli.config.environment import in_words
from duolearn_cli.data import tally
from duolearn_cli.evaluation.warnings import WORDS
from duolearn_cli.files import write_text
from duolearn_cli.report import evaluation, privacy
from duolearn_cli.report.change import NOTE, change_table
from duolearn_cli.report.inputs import Inputs, forget_subjects, read_inputs
from duolearn_cli.report.pictures import Picture, draw
from duolearn_cli.report.requests import requests_table
from duolearn_cli.report.tables import (
    DASH,
    cell,
    heldout_kind,
    level_table,
    markdown_text,
    measures_table,
    number,
    shown_measures,
    subject_table,
    worded,
)
from duolearn_cli.report.target import boundary_table, item_counts, level_counts
from duolearn_cli.report.verdict import verdict, warnings

TEMPLATES = Path(__file__).parent / "templates"
SPLITS = ("forget_train", "forget_heldout", "forget_unseen", "retain_train", "retain_heldout", "retain_unseen")


def write_report(folder: Path) -> list[Path]:
    """Write report.md, report.html and figures/*.svg into a run folder. Return their paths.

    Raises:
        RunError: metrics.json, run.json or config.yaml is missing, or a file cannot be read.
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


def build_context(inputs: Inputs, pictures: Sequence[Picture]) -> dict[str, Any]:
    """Return everything that the templates show, as plain values."""
    metrics, run = inputs.metrics, inputs.run
    return {
        "title": f"{run.get('command', 'run')}: {metrics['forget']}, {metrics['method']}, {metrics['model']}",
        "answer": verdict(metrics),
        "flags": warnings(metrics, inputs.history, run),
        "asked": asked(metrics, run),
        "results": measures_table(metrics),
        "requests": requests_table(metrics.get("requests") or ()),
        "subjects": subject_table(metrics, forget_subjects(inputs)),
        "levels": level_table(metrics, LEVELS),
        "evaluation": evaluation.tables(metrics),
        "harness": (metrics.get("harness") or {}).get("command"),
        "comparisons": evaluation.COMPARISONS,
        "target": [make(inputs.target) for make in (level_counts, item_counts, boundary_table) if inputs.target],
        "changed": change_table(metrics),
        "changed_note": NOTE,
        "pictures": pictures,
        "measures": [replace(one, name=worded(one.name, metrics)) for _, one in shown_measures(metrics)],
        "words": WORDS[heldout_kind(metrics)][1],
        "privacy": privacy.sentences(metrics),
        "not_covered": privacy.not_covered(metrics),
        "spent": privacy.privacy_table(metrics, inputs.history),
        "cost": cost(metrics.get("cost") or {}),
        "environment": environment(run, metrics),
        "command": command_line(run),
    }


def command_line(run: Mapping[str, Any]) -> str | None:
    """Return the command that repeats the run, None if run.json has no overrides."""
    return shlex.join(["duolearn", run["command"], *run["overrides"]]) if "overrides" in run else None


def asked(metrics: Mapping[str, Any], run: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the rows about the request: command, forget target, model, method, and numbers of items."""
    data = metrics.get("data") or {}
    rejected = [f"{count} {reason}" for reason, count in (data.get("rejected") or {}).items()]
    rows = [
        ("command", run.get("command")),
        *((key, metrics.get(key)) for key in ("forget", "model", "dataset", "method", "seed", "privacy", "part")),
        *((f"items, {split.replace('_', ' ')}", data.get(split)) for split in (*SPLITS, "earlier")),
        *tally.rows_of(data.get("sides") or {}),
        ("held-out items", WORDS[data["heldout"]][1] if data.get("heldout") else None),
        *((f"commonest answer, {side} items", _commonest(metrics, side)) for side in ("forget", "retain")),
        ("rejected rows", ", ".join(rejected) or "none"),
        ("labels filled from concepts or left out", _counts(data.get("subjects"))),
        ("items given to unlearning", _counts(data.get("request"))),
        ("items forgotten before, neither kept nor learned", _counts(data.get("forgotten"))),
        ("near duplicates across splits", data.get("duplicates")),
        *(("data note", note) for note in data.get("notes") or ()),
    ]
    return [(label, str(value)) for label, value in rows if value is not None]


def _commonest(metrics: Mapping[str, Any], side: str) -> str | None:
    """Return the answer that is right most often, and how often; None if the run did not measure it."""
    majority = (metrics.get("majority") or {}).get(side)
    return f"{majority['answer']}, right for {cell(majority, 100, 1)} %" if majority else None


def _counts(counts: Mapping[str, int] | None) -> str | None:
    return ", ".join(f"{name.replace('_', ' ')} {count}" for name, count in (counts or {}).items()) or None


def cost(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the rows about time, parameters and memory, with units."""
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
    """Return the rows about where and when the run was made, and with which versions and seeds."""
    rows = [(key, run.get(key)) for key in ("created", "signature", "device", "platform")]
    rows.append(("duolearn", metrics.get("duolearn")))
    rows += sorted((run.get("versions") or {}).items())
    rows += [
        ("computed with" if name == "here" else f"{name} learned with", in_words(made) if made else "not recorded")
        for name, made in (metrics.get("environment") or {}).items()
    ]
    rows += [(f"seed, {name}", seed) for name, seed in (run.get("seeds") or {}).items()]
    return [(label, str(value)) for label, value in dict(rows).items() if value is not None]


def render(template: str, context: Mapping[str, Any]) -> str:
    """Fill a template. In HTML everything is escaped except figures."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        # Questions, answers and labels come from users' files, and may hold markup.
        autoescape=jinja2.select_autoescape(["html.j2"]),
        # A name that the context lacks must fail in a test, not leave a gap in a report.
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["md"] = markdown_text
    return environment.get_template(template).render(context)
