"""Runs, adapters and caches of the version before the packages: they are read, scored again and resumed.

tests/fixtures/before_the_packages holds a finished run, the same run interrupted after two steps, and the target and
gold models of both, as the version of that time wrote them. The overrides are in run.json.
"""

import json
import shutil
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf
from safetensors.torch import load_file

from duolearn_cli.config.components import MOVED, component_class, first_target
from duolearn_cli.model.lora import ADAPTER_FILE

# `evaluate run=` takes these from the command line.
ASKED = ("evaluation.max_items=4", "evaluation.generate_items=0")
FIXTURES = Path(__file__).parents[1] / "fixtures" / "before_the_packages"


@pytest.fixture
def older(tmp_path):
    """A copy of the fixtures, which commands may write into."""
    return Path(shutil.copytree(FIXTURES, tmp_path / "older"))


def adapter_of(run):
    return load_file(run / "adapter" / ADAPTER_FILE)


def models_in(cache):
    return {path.name for path in (cache / "models").iterdir() if path.suffix != ".lock"}


OLD_TARGETS = [
    "data.local.LocalData",
    "data.medmcqa.MedMCQA",
    "data.mhqa.MHQA",
    "data.minimed.Minimed",
    "hierarchies.csv_file.Csv",
    "hierarchies.embedded.Embedded",
    "hierarchies.icd10cm.Icd10Cm",
    "hierarchies.mesh.Mesh",
    "hierarchies.obo.Obo",
]


@pytest.mark.parametrize("old", OLD_TARGETS)
def test_an_old_target_names_the_same_component_and_hashes_as_before(old):
    target = f"duolearn_cli.{old}"
    moved = component_class(OmegaConf.create({"_target_": target}), ())
    assert moved.__module__ == MOVED[target.rpartition(".")[0]]
    assert first_target(f"{moved.__module__}.{moved.__name__}") == first_target(target) == target


def test_a_finished_run_is_scored_again_with_its_models(older, duolearn):
    before = models_in(older / "cache")
    done = duolearn(
        "evaluate", f"run={older / 'finished'}", *ASKED, f"cache_dir={older / 'cache'}", f"run_dir={older / 'again'}"
    )
    assert done.returncode == 0, done.stderr
    # The models of the older cache are found: target and gold are not learned anew.
    assert {name for name in models_in(older / "cache") if not name.startswith("base-")} == before
    then, now = (json.loads((older / name / "metrics.json").read_text()) for name in ("finished", "again"))
    for model in ("base", "target", "gold", "unlearned"):
        was, found = (metrics["models"][model]["splits"] for metrics in (then, now))
        assert was.keys() == found.keys()
        for split, own in was.items():
            assert found[split]["accuracy"]["value"] == own["accuracy"]["value"]
            assert found[split]["nll"]["value"] == pytest.approx(own["nll"]["value"], rel=1e-3)


def test_an_interrupted_run_is_resumed_to_the_same_adapter(older, duolearn):
    done = duolearn("unlearn", f"resume={older / 'interrupted'}", DUOLEARN_CACHE=str(older / "cache"))
    assert done.returncode == 0, done.stderr
    was, found = adapter_of(older / "finished"), adapter_of(older / "interrupted")
    assert was.keys() == found.keys()
    for name, value in was.items():
        torch.testing.assert_close(found[name], value, atol=1e-4, rtol=1e-3)
