"""duolearn hierarchy: show concepts, check them, find them in a text, write them as a file."""

from __future__ import annotations

from typing import Any, cast

from omegaconf import DictConfig, OmegaConf

from duolearn_cli.cli.commands.common import Invocation, export_file
from duolearn_cli.concepts.hierarchy import Hierarchy, Target, resolve_target
from duolearn_cli.concepts.matcher import Matcher
from duolearn_cli.concepts.rows import as_tsv
from duolearn_cli.concepts.validation import find_warnings
from duolearn_cli.config.components import component
from duolearn_cli.config.schema import RunConfig
from duolearn_cli.data.labels import unified
from duolearn_cli.errors import ConfigError, visible
from duolearn_cli.evaluation.hierarchy_fit import survey
from duolearn_cli.files import write_text
from duolearn_cli.pipeline.prepare import load_hierarchy, prepare
from duolearn_cli.report import concepts as pages
from duolearn_cli.report.survey import documents_table, rejected_table, survey_table
from duolearn_cli.report.target import boundary_table, item_counts, level_counts
from duolearn_cli.report.terminal import Display

# The number of warnings shown of each kind; a large vocabulary has thousands.
SHOWN_WARNINGS = 20


def run(config: DictConfig, invocation: Invocation) -> str:
    """Perform the action. Return the file that `import` wrote, or an empty string."""
    settings = cast(RunConfig, config)
    view = settings.hierarchy_view
    if view.action == "import":
        return _import(settings)
    display = Display()
    if view.action == "target":
        study = prepare(settings)
        _target(display, study.coverage().as_dict())
        display.note(study.tally.sentence())
        return ""
    hierarchy = load_hierarchy(settings)
    if view.action == "coverage":
        _coverage(display, hierarchy, settings)
        return ""
    if view.action == "check":
        _check(display, hierarchy, settings.hierarchy.name)
        return ""
    target = None
    if not OmegaConf.is_missing(config.forget, "name"):
        target = resolve_target(settings.forget, hierarchy)
    if view.action == "find":
        _find(display, hierarchy, target, view.text or "")
    else:
        _show(display, hierarchy, target, view.node, view.depth)
    return ""


def _target(display: Display, covered: dict[str, Any]) -> None:
    for make in (level_counts, item_counts, boundary_table):
        display.show(make(covered))


def _show(display: Display, hierarchy: Hierarchy, target: Target | None, word: str | None, depth: int) -> None:
    node = hierarchy.lookup(word) if word is not None else None
    if word is not None and node is None:
        raise ConfigError(f"node={word}: the hierarchy has no concept {word!r}{hierarchy.suggestion(word)}.")
    display.show(pages.tree(hierarchy, target, node, depth))
    if target:
        display.note(
            f"forget={target.name}: {len(target.forget):,} concepts to forget, {len(target.boundary):,} on the "
            f"boundary, {len(target.kept):,} kept"
        )


def _coverage(display: Display, hierarchy: Hierarchy, settings: RunConfig) -> None:
    """Show how the hierarchy fits the data set. Labels are unified as in a run."""
    loaded = component(settings.dataset, settings.plugins).load()
    items, spelled = unified(loaded.items, (), hierarchy)
    concepts = Matcher(hierarchy).concepts
    if loaded.documents:
        display.show(documents_table(loaded.documents, concepts))
    if items or not loaded.documents:
        display.show(survey_table(survey(items, hierarchy, concepts, settings.labels.threshold)))
    for note in spelled:
        display.note(note)
    if loaded.rejected:
        display.show(rejected_table(loaded))
    else:
        display.note("rejected rows: none")


def _check(display: Display, hierarchy: Hierarchy, name: str) -> None:
    """Show counts and warnings. Loading the hierarchy has already refused any problem."""
    concepts = list(hierarchy.concepts.values())
    display.stage(f"{name}: {len(concepts):,} concepts, no problems")
    display.show(pages.counts_table(hierarchy))
    for line in (*pages.facts(concepts), *hierarchy.notes):
        display.note(line)
    warnings = find_warnings(concepts)
    for kind, messages in warnings.items():
        display.stage(f"warning, {kind}: {len(messages):,}")
        for message in messages[:SHOWN_WARNINGS]:
            display.note(message)
        if len(messages) > SHOWN_WARNINGS:
            display.note(f"... and {len(messages) - SHOWN_WARNINGS:,} more")
    if not warnings:
        display.note("no warnings")


def _find(display: Display, hierarchy: Hierarchy, target: Target | None, text: str) -> None:
    mentions = Matcher(hierarchy).find(text)
    display.show(pages.marked(text, mentions, target))
    if mentions:
        display.show(pages.mentions_table(text, mentions, hierarchy, target))
    else:
        display.note("no concept in this text")


def _import(config: RunConfig) -> str:
    path = export_file(config.export_path, config.hierarchy.get("path"))
    hierarchy = load_hierarchy(config)
    write_text(path, as_tsv(hierarchy.concepts.values()))
    for note in hierarchy.notes:
        print(visible(note))
    print(f"{len(hierarchy)} concepts written to {path}; use it with: hierarchy.path={path}")
    return str(path)
