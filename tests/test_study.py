"""The cheap half of a run: splits, forget items, duplicates, the plan."""

import json

import pytest

from duolearn_cli.composition import compose
from duolearn_cli.concepts import mention_cache
from duolearn_cli.data.minimed import Minimed, to_medmcqa
from duolearn_cli.data.splits import Splits
from duolearn_cli.errors import DataError
from duolearn_cli.plan import checkpoint_bytes, read_shape, rows
from duolearn_cli.study import prepare
from duolearn_cli.weights import find_weights
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
