"""The report of a run folder: report.md, a self-contained report.html, and the figures as SVG files."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from duolearn_cli.concepts.concept import LEVELS
from duolearn_cli.evaluation.metrics.few import FEW_FACTS
from duolearn_cli.evaluation.warning_text import WORDS
from duolearn_cli.files import write_text
from duolearn_cli.report import asked, evaluation, figures, privacy, questions
from duolearn_cli.report.change import NOTE, change_table
from duolearn_cli.report.documents import document_tables
from duolearn_cli.report.inputs import Inputs, damage_named, forget_subjects, read_inputs
from duolearn_cli.report.lights import lights_of
from duolearn_cli.report.pictures import Picture, draw
from duolearn_cli.report.ratios import above_whole
from duolearn_cli.report.requests import requests_table
from duolearn_cli.report.tables import (
    heldout_kind,
    level_table,
    markdown_text,
    measures_table,
    shown_measures,
    subject_table,
    worded,
)
from duolearn_cli.report.target import boundary_table, item_counts, level_counts
from duolearn_cli.report.verdict import verdict, warnings
from duolearn_cli.report.widths import size

if TYPE_CHECKING:
    from markupsafe import Markup

TEMPLATES = Path(__file__).parent / "templates"
# The headings, in the order of the page.
SECTIONS = (
    *("What was asked", "Warnings", "Figures", "Questions", "Notes", "Attacks", "Privacy", "Cost"),
    *("How to reproduce", "All tables", "How each measure is defined"),
)
# The figures that every reader should see; the others are folded away.
FIRST = ("subjects", "token_classes", "token_losses", "levels")


def write_report(folder: Path) -> list[Path]:
    """Write report.md, report.html and figures/*.svg into a run folder. Return their paths.

    Raises:
        RunError: metrics.json, run.json or config.yaml is missing, or a file cannot be read.
    """
    inputs = read_inputs(folder)
    with damage_named(folder):
        pictures = draw(inputs)
        context = build_context(inputs, pictures)
        texts = {folder / name: render(f"{name}.j2", context) for name in ("report.md", "report.html")}
    texts |= {folder / "figures" / f"{picture.name}.svg": picture.svg for picture in pictures}
    # Only when all is rendered: a report is never half old and half new.
    for path, text in texts.items():
        path.parent.mkdir(exist_ok=True)
        write_text(path, text)
    return list(texts)


def build_context(inputs: Inputs, pictures: Sequence[Picture]) -> dict[str, Any]:
    """Return everything that the templates show, as plain values."""
    found = {**_verdict(inputs), **_request(inputs), **_tables(inputs), **_privacy(inputs), **_questions(inputs)}
    found["pictures"] = [one for one in pictures if one.name in FIRST]
    found["more_pictures"] = [one for one in pictures if one.name not in FIRST]
    return found | {"sections": list(_sections(found))}


def _verdict(inputs: Inputs) -> dict[str, Any]:
    metrics = inputs.metrics
    sentence, lights = lights_of(metrics, inputs.config)
    advice = metrics.get("advice") or {}
    return {
        "title": f"{inputs.run.get('command', 'run')}: {metrics['forget']}, {metrics['method']}, {metrics['model']}",
        "sentence": sentence,
        "lights": lights,
        "few": FEW_FACTS,
        "answer": verdict(metrics),
        "flags": [(flag, advice.get(flag)) for flag in warnings(metrics, inputs.history, inputs.run)],
        "has_marks": bool(metrics.get("flagged")),
    }


def _request(inputs: Inputs) -> dict[str, Any]:
    return {
        "request": asked.request(inputs),
        "asked": asked.asked(inputs.metrics),
        "requests": requests_table(inputs.metrics.get("requests") or ()),
        "cost": asked.cost(inputs.metrics.get("cost") or {}),
        "environment": asked.environment(inputs.run, inputs.metrics),
        "command": asked.command_line(inputs.run),
    }


def _tables(inputs: Inputs) -> dict[str, Any]:
    metrics = inputs.metrics
    return {
        "results": measures_table(metrics),
        "above_whole": above_whole(metrics),
        "words": WORDS[heldout_kind(metrics)][1],
        "measures": [replace(one, name=worded(one.name, metrics)) for _, one in shown_measures(metrics)],
        "subjects": subject_table(metrics, forget_subjects(inputs)),
        "levels": level_table(metrics, LEVELS),
        "notes": document_tables(metrics.get("documents")),
        "attack_tables": evaluation.attack_tables(metrics),
        "attack_note": evaluation.ATTACK_NOTE,
        "evaluation": evaluation.tables(metrics),
        "comparisons": evaluation.COMPARISONS,
        "harness": (metrics.get("harness") or {}).get("command"),
        "target": [make(inputs.target) for make in (level_counts, item_counts, boundary_table) if inputs.target],
        "changed": change_table(metrics),
        "changed_note": NOTE,
    }


def _privacy(inputs: Inputs) -> dict[str, Any]:
    return {
        "privacy": privacy.sentences(inputs.metrics),
        "not_covered": privacy.not_covered(inputs.metrics),
        "spent": privacy.privacy_table(inputs.metrics, inputs.history),
    }


def _questions(inputs: Inputs) -> dict[str, Any]:
    return {"groups": questions.groups(inputs.examples), "are_hidden": questions.are_hidden(inputs.examples)}


def _sections(found: Mapping[str, Any]) -> Iterator[str]:
    """The headings of the page, for its contents."""
    shown = {
        "Warnings": "flags",
        "Figures": "pictures",
        "Questions": "groups",
        "Notes": "notes",
        "Attacks": "attack_tables",
    }
    for name in SECTIONS:
        if name not in shown or found[shown[name]]:
            yield name


def parts(text: str) -> tuple[str, str]:
    """A cell's value, and the interval with what follows it, which goes on a second line."""
    value, bracket, rest = text.partition(" [")
    return value, f"[{rest}" if bracket else ""


def breakable(text: str) -> Markup:
    """Text as HTML in which a line may end after ``=``: settings have no spaces, and screens may be narrow."""
    from markupsafe import Markup, escape

    return Markup(escape(text).replace("=", Markup("=<wbr>")))


def slug(text: str) -> str:
    """The id of a heading."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def themed(svg: str) -> str:
    """A figure in the colours of the page, for light and dark screens. The files beside the page keep their own."""
    # Only colours of our palette: others, such as those of maps, mean an amount.
    names = {"forget": figures.FORGET, "retain": figures.RETAIN, "gold": figures.GOLD, "base": figures.BASE}
    for name, color in names.items():
        svg = re.sub(color, f"var(--fig-{name}, {color})", svg, flags=re.IGNORECASE)
    return svg


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
    environment.filters |= {
        "breakable": breakable,
        "md": markdown_text,
        "parts": parts,
        "size": size,
        "slug": slug,
        "themed": themed,
    }
    return environment.get_template(template).render(context)
