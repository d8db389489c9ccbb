"""Prepared data: splits, forget items, duplicates, the plan."""

import json
import re
from collections import Counter

import pytest

from duolearn_cli.cli.commands.inspect import find_item
from duolearn_cli.concepts import mention_cache
from duolearn_cli.config.compose import compose
from duolearn_cli.data.readers.minimed import Minimed, to_medmcqa
from duolearn_cli.data.splits import Splits
from duolearn_cli.errors import DataError
from duolearn_cli.model.weights import find_weights
from duolearn_cli.pipeline.planning.plan import checkpoint_bytes, read_shape, remarks, rows
from duolearn_cli.pipeline.prepare import prepare
from tests.conftest import REAL_DATA


def test_forget_items_are_the_labelled_ones():
    study = prepare(compose("unlearn", ["+forget=anxiety"]))
    splits: Splits = study.splits
    assert {item.topic for item in splits.forget_train} == {"Anxiety"}
    assert "Anxiety" not in {item.topic for item in splits.retain_train if item.subject == "Psychiatry"}
    facts = [{item.fact for item in items} for items in splits.by_name().values()]
    assert facts[1] <= facts[0] and not facts[0] & facts[2] and not facts[0] & facts[3]


def test_a_concept_target_takes_the_items_about_it():
    study = prepare(compose("unlearn", ["+forget=custom", "forget.name=hernia", "forget.concepts=[hernia_surgery]"]))
    assert all(set(item.concepts) & study.target.forget for item in study.splits.forget_train)


def test_a_data_set_without_the_target_is_refused_with_its_labels(tmp_path):
    path = tmp_path / "items.csv"
    lines = [f"q{n},a{n},b{n},{n % 2},Botany" for n in range(8)]
    path.write_text("\n".join(["q,a,b,k,s", *lines]) + "\n")
    fields = "dataset.fields.question=q dataset.fields.options=[a,b] dataset.fields.answer=k dataset.fields.subject=s"
    overrides = ["+forget=surgery", "dataset=local", f"dataset.path={path}", *fields.split()]
    with pytest.raises(DataError, match="Botany"):
        prepare(compose("unlearn", [*overrides, "dataset.fields.answer_kind=index0"]))


def _unlabelled(tmp_path, number=60):
    """The shipped facts as MedMCQA's rows without a subject; the command that reads them."""
    items = [item for item in Minimed().load().items if item.id.endswith("#0")]
    rows = [to_medmcqa(item) | {"subject_name": None, "topic_name": None} for item in items[:: len(items) // number]]
    path = tmp_path / "unlabelled.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return ["+forget=surgery", "dataset=medmcqa", f"dataset.path={path}"]


def test_a_request_of_guesses_is_refused_and_its_fixes_run(tmp_path):
    command = _unlabelled(tmp_path)
    with pytest.raises(DataError, match=r"\(100%\) have no label of their own") as told:
        prepare(compose("unlearn", command))
    fixes = re.findall(r"\(([a-z_.]+=[\w.]+)\)", str(told.value))
    assert fixes == ["forget.by=concepts", "labels.max_guessed=1"]
    for fix in fixes:
        study = prepare(compose("unlearn", [*command, fix]))
        assert study.request.forget and study.tally.of("forget") + study.tally.of("retain") == len(study.items)


def test_data_without_subjects_in_which_nothing_is_guessed_name_the_other_way(tmp_path):
    command = [*_unlabelled(tmp_path), "labels.threshold=1", "labels.max_guessed=1"]
    with pytest.raises(DataError, match=r"no item has a subject, .* be Surgery\. .*\(forget\.by=concepts\)"):
        prepare(compose("unlearn", [*command, "labels.fill=false"]))
    assert prepare(compose("unlearn", [*command, "labels.fill=false", "forget.by=concepts"])).request.forget


def test_every_row_is_told_in_plan_and_metrics_and_many_without_a_side_are_warned_of(tmp_path):
    study = prepare(compose("unlearn", [*_unlabelled(tmp_path), "labels.max_guessed=1"]))
    assert study.tally.total == len(study.loaded.items) + len(study.loaded.rejected)
    told = dict(rows(study))
    assert "guessed label" in told["rows in forget"] and "no confident guess" in told["rows in neither"]
    assert study.summary()["sides"]["neither"] == study.tally.sides["neither"]
    (warning,) = study.warnings()
    assert "are neither forgotten nor retained" in warning and f"warning: {warning}" in remarks(study)


def test_items_that_mention_a_concept_target_in_passing_are_in_no_split(tmp_path):
    passing = {"question": "A woman with hypertension has asthma. Which drug treats asthma and gout?"}
    asked = [{"question": f"Which drug number {n} is first for hypertension?"} for n in range(4)]
    kept = [{"question": f"Which drug number {n} is first for asthma?"} for n in range(4)]
    path = tmp_path / "items.jsonl"
    rows = [{"a": f"x{n}", "b": f"y{n}", "key": "A", **row} for n, row in enumerate([passing, *asked, *kept])]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    fields = {"question": "question", "options": "[a,b]", "answer": "key", "answer_kind": "letter"}
    command = ["+forget=custom", "forget.concepts=[hypertension]", "dataset=local", f"dataset.path={path}"]
    command += [
        "prompt.form=cloze",
        "split.near_duplicates=ignore",
        *(f"dataset.fields.{k}={v}" for k, v in fields.items()),
    ]
    study = prepare(compose("unlearn", command))
    sides = study.splits.by_name()
    assert {item.question for name in sides if "forget" in name for item in sides[name]} == {
        r["question"] for r in asked
    }
    assert {item.question for name in sides if "retain" in name for item in sides[name]} == {
        r["question"] for r in kept
    }
    (doubt,) = study.filled
    assert doubt.outcome == "borderline" and any(doubt.id in line for line in remarks(study))
    with pytest.raises(DataError, match="neither forgotten nor kept: mention the target in passing"):
        find_item(study, doubt.id)
    with pytest.raises(DataError, match=r"no item is about its (\d+ )?concepts? at forget.about=0.35; choose other"):
        prepare(compose("unlearn", [*command, "forget.concepts=[appendicitis]"]))


def test_labelled_data_enter_the_sides_that_their_labels_say():
    study = prepare(compose("unlearn", ["+forget=surgery"]))
    items = study.loaded.items
    assert study.forget_facts == {item.fact_id for item in items if item.subject == "Surgery"}
    counts = Counter(item.subject == "Surgery" for item in items)
    assert study.tally.sides == {
        "forget": {"given_label": counts[True]},
        "retain": {"given_label": counts[False]},
        "neither": {},
    }
    assert study.warnings() == [] and study.tally.not_english == 0


def test_plan_counts_the_tiny_model_exactly(tiny):
    study = prepare(compose("unlearn", ["+forget=surgery"]))
    shape = read_shape(find_weights(study.config.model, None))
    assert shape.parameters() == tiny.num_base_parameters
    study.config.model.adapter.rank = 4
    assert shape.adapter_parameters(study.config.model.adapter) == tiny.num_adapter_parameters
    named = dict(rows(study))
    assert named["may change"].startswith(f"{tiny.num_adapter_parameters:,} of them")
    plain = checkpoint_bytes(study.config, shape)
    study.config.method.geometry.basis_size += 3
    assert checkpoint_bytes(study.config, shape) - plain == 3 * 4 * tiny.num_adapter_parameters
    study.config.method.sparsity.unit = "coordinate"
    assert checkpoint_bytes(study.config, shape) < plain
    assert named["unlearn steps"] == "80" and "DATE" in named["output folder"]


@pytest.mark.skipif(not REAL_DATA.is_file(), reason="the real MedMCQA half is not beside this checkout")
def test_real_medmcqa_makes_a_study():
    study = prepare(
        compose("unlearn", ["+forget=surgery", "dataset=medmcqa", f"dataset.path={REAL_DATA}", "prompt.form=letter"])
    )
    sizes = study.summary()
    assert sizes["rejected"] == {"duplicate_options": 8}
    assert sizes["forget_train"] > 100 and sizes["forget_heldout"] == sizes["forget_train"]
    assert {item.subject for item in study.splits.forget_train} == {"Surgery"}


def test_the_mentions_of_a_large_collection_are_kept(tmp_path, monkeypatch):
    path = tmp_path / "items.jsonl"
    path.write_text("".join(json.dumps(to_medmcqa(item)) + "\n" for item in Minimed().load().items[::10]))
    command = ["+forget=surgery", "dataset=medmcqa", f"dataset.path={path}", f"cache_dir={tmp_path / 'cache'}"]
    plain = prepare(compose("unlearn", [*command, "dry_run=true"]))
    assert not (tmp_path / "cache").exists()
    monkeypatch.setattr(mention_cache, "MIN_TEXTS", 10)
    written, read = (prepare(compose("unlearn", command)) for _ in range(2))
    names = {path.name.partition("-")[0] for path in (tmp_path / "cache" / "mentions").iterdir()}
    assert len(names) == 2 and "forms" in names
    assert plain.splits == written.splits == read.splits
