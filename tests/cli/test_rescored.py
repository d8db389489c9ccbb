"""A run that is scored again gets its own items, or a warning."""

import json
from dataclasses import replace

import pytest

from duolearn_cli.cli.commands import evaluate
from duolearn_cli.cli.commands.rescored import items_note
from duolearn_cli.pipeline.run_folder import Run


@pytest.fixture
def scored(study, tmp_path):
    """A run folder as `duolearn unlearn` leaves it, with the items that it was scored on."""
    folder = Run.create(study.config, [], tmp_path / "run").folder
    rows = [
        {"model": model, "split": name, "id": item.id}
        for model in ("target", "unlearned")
        for name, items in study.splits.by_name().items()
        for item in items
        if not (name.endswith("_unseen") and item.heldout)
    ]
    (folder / "predictions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder, len(rows) // 2


def test_the_same_items_are_not_worth_a_word(study, scored, tmp_path):
    assert items_note(study, scored[0]) == ""
    # Without the file nobody knows.
    assert items_note(study, Run.create(study.config, [], tmp_path / "other").folder) == ""


def test_items_that_a_newer_vocabulary_counts_otherwise_are_told(study, scored):
    folder, count = scored
    splits = study.splits
    moved, kept = splits.forget_train[:2], splits.forget_train[2:]
    gone, retain = splits.retain_train[0], splits.retain_train[1:]
    added = replace(gone, id="added")
    other = replace(study, splits=replace(splits, forget_train=(*kept, added), retain_train=(*retain, *moved)))
    said = items_note(other, folder)
    assert said.startswith(
        f"warning: {folder} was scored on other items: {count}, now 1 gone, 2 in another split, 1 new ("
    )
    assert len(said.splitlines()) == 1


def test_a_run_that_scored_a_part_misses_no_other_items(study, scored):
    folder, _ = scored
    path = folder / "predictions.jsonl"
    lines = path.read_text().splitlines()
    path.write_text("\n".join(lines[::3]) + "\n")
    assert " new (" in items_note(study, folder)
    config = (folder / "config.yaml").read_text()
    assert "max_items: null" in config
    (folder / "config.yaml").write_text(config.replace("part: all", "part: test"))
    assert items_note(study, folder) == ""


def test_evaluate_says_so(study, scored, monkeypatch, capsys):
    folder, _ = scored
    splits = replace(study.splits, retain_train=study.splits.retain_train[1:])
    monkeypatch.setattr(evaluate, "prepared", lambda *given: replace(study, splits=splits))
    monkeypatch.setattr(evaluate, "readable", lambda given, display: given)
    monkeypatch.setattr(evaluate, "check_adapter", lambda folder: None)
    monkeypatch.setattr(evaluate, "perform", lambda *given: "")
    from duolearn_cli.cli.commands.common import Invocation
    from duolearn_cli.config.compose import compose

    overrides = [f"run={folder}", f"output_dir={folder.parent}/again"]
    evaluate.run(compose("evaluate", overrides), Invocation(overrides))
    assert "now 1 gone (" in " ".join(capsys.readouterr().out.split())
