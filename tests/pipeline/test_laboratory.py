"""What a cached model is called after, and that the cache is used."""

import json
from dataclasses import replace

import pytest
from accelerate import Accelerator
from omegaconf import OmegaConf

from duolearn_cli.audits.robustness.restoring import adapter_restored
from duolearn_cli.config.components import component
from duolearn_cli.config.compose import compose
from duolearn_cli.errors import ModelError, RunError
from duolearn_cli.model.distributed import Processes
from duolearn_cli.pipeline.answers import answers, evaluation_splits
from duolearn_cli.pipeline.assessment import assess
from duolearn_cli.pipeline.laboratory import Laboratory
from duolearn_cli.pipeline.loaded_model import StaleModelError
from duolearn_cli.pipeline.prepare import prepare
from duolearn_cli.pipeline.run_folder import Run
from duolearn_cli.pipeline.unlearn_run import CHECKPOINTS, make_task, make_update
from duolearn_cli.report.terminal import Display
from duolearn_cli.training.coordinates import flatten
from duolearn_cli.training.finetune import fine_tune
from duolearn_cli.training.unlearn import unlearn
from tests.conftest import SMALL


@pytest.fixture
def lab(tmp_path):
    return opened(tmp_path)


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """A laboratory for tests that load what they need and change no file of the cache."""
    return opened(tmp_path_factory.mktemp("shared"))


def opened(tmp_path):
    config = compose(
        "unlearn", ["+forget=surgery", *SMALL, f"output_dir={tmp_path}/out", f"cache_dir={tmp_path}/cache"]
    )
    study = prepare(config)
    return Laboratory.open(study, Display(), Run.create(study.config, []))


def with_study(lab, study):
    """The laboratory of another study with the same base model."""
    return replace(lab, study=study, cache=replace(lab.cache, study=study))


def changed(lab, **values):
    config = OmegaConf.merge(lab.study.config, OmegaConf.from_dotlist([f"{k}={v}" for k, v in values.items()]))
    return with_study(lab, replace(lab.study, config=config))


def test_models_are_learned_once_and_differ(lab):
    lab.load("target")
    first = flatten(lab.model.adapter)
    target, gold = lab.cache.folder("target"), lab.cache.folder("gold")
    assert (target / "adapter_model.safetensors").is_file() and target != gold
    stamp = (target / "adapter_model.safetensors").stat().st_mtime_ns
    lab.load("gold")
    assert not flatten(lab.model.adapter).equal(first)
    lab.load("target")
    assert flatten(lab.model.adapter).equal(first)
    assert (target / "adapter_model.safetensors").stat().st_mtime_ns == stamp
    assert len(lab.cache.history("target")) == 2
    assert not list(target.parent.glob("*.part"))
    assert lab.run.info["target_model"] == target.name


def test_the_key_follows_what_determines_a_model_and_nothing_else(lab):
    key = lab.cache.key("target")
    assert changed(lab, seed=5).cache.key("target") == key
    assert changed(lab, **{"unlearn.epochs": 9}).cache.key("target") == key
    assert changed(lab, **{"learn.seed": 5}).cache.key("target") != key
    assert changed(lab, **{"learn.epochs": 5}).cache.key("target") != key
    splits = replace(lab.study.splits, forget_train=lab.study.splits.forget_train[1:])
    fewer = with_study(lab, replace(lab.study, splits=splits))
    assert fewer.cache.key("target") != key and fewer.cache.key("gold") == lab.cache.key("gold")


def test_the_signature_follows_the_unlearning_too(lab):
    signature = lab.cache.signature()
    assert changed(lab, **{"output_dir": "elsewhere"}).cache.signature() == signature
    for name, value in (("seed", 5), ("unlearn.epochs", 9), ("method.beta", 3)):
        assert changed(lab, **{name: value}).cache.signature() != signature


def test_answers_are_cached_for_the_items_as_labelled(lab):
    base = lab.load("base")
    first = answers(base)
    (path,) = lab.cache.folder("base").glob("answers-*.json")
    assert answers(base) == first
    assert set(json.loads(path.read_text())) == {name for name, items in evaluation_splits(lab.study).items() if items}
    relabelled = tuple(replace(item, subject="Other") for item in lab.study.splits.retain_train)
    other = with_study(lab, replace(lab.study, splits=replace(lab.study.splits, retain_train=relabelled)))
    assert {answer.subject for answer in answers(other.load("base"))["retain_train"]} == {"Other"}


def test_an_adapter_of_another_make_is_refused(lab, tmp_path):
    lab.model.save_adapter(tmp_path / "a")
    config = json.loads((tmp_path / "a" / "adapter_config.json").read_text())
    (tmp_path / "a" / "adapter_config.json").write_text(json.dumps(config | {"lora_alpha": 1}))
    with pytest.raises(ModelError, match="lora_alpha=1"):
        lab.model.load_adapter(tmp_path / "a")
    with pytest.raises(ModelError, match="contains no adapter"):
        lab.model.load_adapter(tmp_path)


def test_nothing_is_kept_under_the_name_of_a_model_that_is_no_longer_loaded(lab):
    base = lab.load("base")
    with lab.model.without_adapter():
        assert base.keep("look", [], lambda: 4) == 4
    target = lab.load("target")
    for use in (answers, assess, lambda loaded: loaded.keep("look", [], dict), lambda loaded: loaded.model):
        with pytest.raises(StaleModelError, match="base was loaded, and target is in memory now"):
            use(base)
    assert target.keep("look", [], lambda: 1) == 1
    weights = next(iter(lab.model.adapter)).data
    # A plain sum of the weights would not see that two rows change places.
    assert not weights[0].equal(weights[1])
    weights[:2] = weights[:2].flip(0)
    with pytest.raises(StaleModelError, match="the weights of target have changed"):
        target.keep("look", [], lambda: 2)
    unlearned = lab.load_from("unlearned", lab.cache.folder("target"))
    assert unlearned.keep("look", [], lambda: 3) == 3 and unlearned.keep("look", [], lambda: 5) == 5
    with pytest.raises(StaleModelError, match="target was loaded, and unlearned is in memory now"):
        target.keep("look", [], lambda: 2)
    assert lab.load("target").keep("look", [], lambda: 6) == 1


def by_another_adapter(lab):
    lab.model.load_adapter(lab.cache.folder("target"))


def by_another_adapter_that_does_not_fit(lab):
    with pytest.raises(ModelError):
        lab.model.load_adapter(lab.run.folder)


def by_a_fresh_adapter(lab):
    lab.model.initialise(lab.study.config.learn.seed)


def by_fine_tuning(lab):
    texts = [lab.encoder.encode(item) for item in lab.study.splits.forget_train[:2]]
    fine_tune(lab.model, texts, lab.study.config.learn, lambda values: None)


def by_another_laboratory(lab):
    with_study(lab, lab.study).load("base")


def by_the_end_of_a_loop(lab):
    lab.unlearned()


@pytest.mark.parametrize(
    ("change", "now"),
    [
        (by_another_adapter, "the adapter in .*target-"),
        (by_another_adapter_that_does_not_fit, "the adapter in "),
        (by_a_fresh_adapter, "a fresh adapter"),
        (by_fine_tuning, "an adapter in training"),
        (by_another_laboratory, "base"),
        (by_the_end_of_a_loop, "unlearned"),
    ],
)
def test_a_model_is_not_asked_once_its_weights_may_have_changed(shared, change, now):
    lab, target = shared, shared.load("target")
    assert target.model is lab.model
    change(lab)
    for use in (lambda: target.model, lambda: answers(target), target.shard):
        with pytest.raises(StaleModelError, match=f"target was loaded, and {now}.* is in memory now"):
            use()


def test_the_unlearning_loop_makes_the_target_stale(shared):
    lab, stages = shared, []

    def ask(*_):
        with pytest.raises(StaleModelError, match="target was loaded, and an adapter in training"):
            _ = target.model
        stages.append(1)
        return True

    target, method, processes = lab.load("target"), component(lab.study.config.method), Processes(Accelerator(cpu=True))
    task = make_task(target, method)
    update, first = make_update(target, task, processes, lab.run.folder / CHECKPOINTS, lab.cache.signature())
    assert target.model is lab.model
    unlearn(lab.model, task, update, first, ask)
    assert stages == [1]


def test_an_attack_that_puts_the_weights_back_leaves_the_handle_usable(shared):
    target = shared.load("target")
    with adapter_restored(target.model):
        by_fine_tuning(shared)
        with pytest.raises(StaleModelError):
            _ = target.model
    assert target.keep("look", [], lambda: 7) == 7


def test_a_model_from_another_folder_is_not_kept_as_the_caches(shared):
    """The folder may hold anything, so its answers must not become those of the cache's model of that name."""
    shared.load("target").model.save_adapter(shared.run.folder / "adapter")
    elsewhere = shared.load_from("target", shared.run.folder / "adapter")
    assert elsewhere.keep("look", ["folder"], lambda: 1) == 1
    assert shared.load("target").keep("look", ["folder"], lambda: 2) == 2
    own = shared.load_from("target", shared.cache.folder("target"), shared.cache)
    assert own.keep("look", ["folder"], lambda: 3) == 2


def resumed(lab, **changes):
    return Laboratory.open(replace(lab.study, **changes), Display(), lab.run)


def test_a_run_goes_on_with_its_own_weights_and_data_alone(lab, monkeypatch):
    assert resumed(lab).cache.signature() == lab.run.info["signature"]
    splits = replace(lab.study.splits, retain_train=lab.study.splits.retain_train[1:])
    monkeypatch.setattr("duolearn_cli.pipeline.laboratory.load_model", lambda *given: pytest.fail("a model was loaded"))
    with pytest.raises(RunError, match=r"this run began with other data\. Fix: restore them, or start a new run"):
        resumed(lab, splits=splits)
    lab.run.update(weights="other")
    with pytest.raises(RunError, match=r"this run began with other base weights\. Fix"):
        resumed(lab)
    with pytest.raises(RunError, match=r"other base weights and data"):
        resumed(lab, splits=splits)


def test_a_run_of_an_older_version_is_told_by_its_signature(lab):
    info = {name: value for name, value in lab.run.info.items() if name not in ("weights", "data")}
    (lab.run.folder / "run.json").write_text(json.dumps(info | {"signature": "older"}))
    with pytest.raises(RunError, match=r"this run began with other settings, precision or kind of device"):
        resumed(lab)
