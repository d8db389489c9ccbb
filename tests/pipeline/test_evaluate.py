"""The parts of metrics.json about the weights and the steps of an unlearning run."""

import json
from types import SimpleNamespace

import pytest
import torch

from duolearn_cli.pipeline.evaluate import what_unlearning_did


class Folder:
    """A run folder with its run.json."""

    def __init__(self, folder, **info):
        folder.mkdir()
        self.folder, self.info = folder, info
        (folder / "run.json").write_text(json.dumps({"schema": 1} | info))


@pytest.fixture
def lab(fresh, tmp_path):
    """A finished run whose unlearned adapter differs from its target in two values."""
    run = Folder(tmp_path / "run", target_model="target-1")
    fresh.save_adapter(tmp_path / "models" / "target-1")
    weight = next(m for n, m in fresh.network.named_modules() if n.endswith("layers.2.mlp.up_proj")).lora_B["default"]
    with torch.no_grad():
        weight.weight[:2, 0] += 1.0
    fresh.save_adapter(run.folder / "adapter")
    step = {"stage": "unlearn", "step": 1, "cosine": -0.5, "cosine_by_layer": [0.1, 0.2, 0.3, 0.4]}
    (run.folder / "history.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in ({"stage": "learn"}, step)))
    return SimpleNamespace(
        study=SimpleNamespace(config=SimpleNamespace(run=None)),
        model=fresh,
        cache=SimpleNamespace(root=tmp_path),
        run=run,
    )


def test_change_and_conflict_of_a_run(lab):
    found = what_unlearning_did(lab)
    assert found["change"]["parameters"] == 2 and found["change"]["norm"] > 0
    assert found["change"]["fraction"] == 2 / lab.model.num_base_parameters
    assert [layer["norm"] > 0 for layer in found["change"]["layers"]] == [False, False, True, False]
    assert found["geometry"]["steps"] == 1 and found["geometry"]["cosine"] == -0.5
    assert [(row["layer"], row["cosine"]) for row in found["geometry"]["layers"]] == list(
        enumerate((0.1, 0.2, 0.3, 0.4))
    )


def test_a_run_that_is_scored_again_is_read_where_it_lies(lab, tmp_path):
    expected = what_unlearning_did(lab)
    lab.study.config.run, lab.run = str(lab.run.folder), Folder(tmp_path / "again", target_model="target-2")
    assert what_unlearning_did(lab) == expected


def test_what_left_no_file_is_not_told(lab):
    (lab.run.folder / "history.jsonl").unlink()
    assert set(what_unlearning_did(lab)) == {"change"}
    lab.run.info["target_model"] = "target-2"
    assert what_unlearning_did(lab) == {}
    del lab.run.info["target_model"]
    assert what_unlearning_did(lab) == {}
