"""Files of a run folder with one line per item: predictions, generated texts, rejected rows, doubts, duplicates."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from duolearn_cli.config.components import is_embedded
from duolearn_cli.data.items import Item
from duolearn_cli.evaluation import members, summary
from duolearn_cli.evaluation.examples import examples
from duolearn_cli.files import write_json, write_jsonl
from duolearn_cli.pipeline.assessment import Assessment
from duolearn_cli.pipeline.study import Study
from duolearn_cli.report.inputs import EXAMPLES

WINDOWS, NEARNESS = "windows.jsonl", "nearness.json"


def write_item_files(folder: Path, assessed: Mapping[str, Assessment], levels: summary.Levels) -> None:
    """Write predictions.jsonl, written.jsonl and plain.jsonl, and windows.jsonl if there are documents.

    Every figure about models in metrics.json follows from these files and nearness.json.
    """
    write_jsonl(folder / "predictions.jsonl", prediction_rows(assessed, levels))
    for name in ("written", "plain"):
        rows = [{"model": model, **asdict(row)} for model, one in assessed.items() for row in getattr(one, name)]
        write_jsonl(folder / f"{name}.jsonl", rows)
    windows = [{"model": model, **row.as_dict()} for model, one in assessed.items() for row in one.documents]
    if windows:
        write_jsonl(folder / WINDOWS, windows)


def write_nearness(folder: Path, groups: Mapping[str, str], continuing: Collection[str]) -> None:
    """Write nearness.json: the group of each kept fact, and which items continue a text."""
    write_json(folder / NEARNESS, {"schema": 1, "groups": dict(groups), "continuing": sorted(continuing)})


def prediction_rows(assessed: Mapping[str, Assessment], levels: summary.Levels) -> list[dict[str, Any]]:
    """Return the rows of predictions.jsonl: each answer with what follows from it and from the other answers."""
    pairs = members.member_pairs({name: one.answers for name, one in assessed.items()})
    number = {fact: i for i, pair in enumerate(pairs) for fact in pair}
    return [
        {"model": model, "split": split, **answer.as_dict(), "correct": answer.correct}
        | {"level": levels.of_item.get(answer.id)}
        | {"pair": number.get(answer.fact) if split in ("forget_train", "forget_unseen") else None}
        for model, one in assessed.items()
        for split, answers in one.answers.items()
        for answer in answers
    ]


def write_examples(folder: Path, study: Study, assessed: Mapping[str, Assessment]) -> None:
    """Write examples.jsonl: the questions that the report shows.

    Ids and texts of the user's own data are null, unless ``report.show_items`` asks for them.
    """
    is_shown = study.config.report.show_items or is_embedded(study.config)
    items = {item.id: item for item in study.items} if is_shown else {}
    chosen = examples({name: one.answers for name, one in assessed.items()})
    write_jsonl(folder / EXAMPLES, [{**row, **_texts(items.get(row["id"]))} for row in chosen])


def _texts(item: Item | None) -> dict[str, Any]:
    if item is None:
        # An id may name the fact or the patient.
        return {"id": None, "fact": None, "question": None, "options": None}
    return {"question": item.question, "options": list(item.options)}


def write_data_files(folder: Path, study: Study) -> None:
    """Write rejected rows, doubtful labels, duplicates and the coverage of the target: no row disappears silently."""
    if study.loaded.rejected:
        write_jsonl(folder / "rejected.jsonl", [asdict(row) for row in study.loaded.rejected])
    if doubts := (*study.filled, *study.request.doubts):
        write_jsonl(folder / "doubts.jsonl", [asdict(doubt) for doubt in doubts])
    write_json(folder / "target.json", study.coverage().as_dict())
    if study.duplicates:
        write_jsonl(folder / "duplicates.jsonl", [asdict(pair) for pair in study.duplicates])
