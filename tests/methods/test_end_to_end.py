"""Every method by the public command, from the target to a report."""

import json

import pytest
import torch
from omegaconf import OmegaConf
from safetensors.torch import load_file

from duolearn_cli.config.components import component
from duolearn_cli.files import groups
from tests.conftest import SMALL

FEW = [*SMALL, "evaluation.max_items=6", "evaluation.quick_items=4", "evaluation.generate_items=0"]

METHODS = sorted(groups()["method"])


def tensors(adapter):
    found = load_file(adapter / "adapter_model.safetensors")
    return torch.cat([found[name].flatten() for name in sorted(found)])


@pytest.mark.slow
@pytest.mark.parametrize("names", [METHODS[::3], METHODS[1::3], METHODS[2::3]], ids=",".join)
def test_every_method_runs_from_one_target(duolearn, cache, tmp_path, names):
    done = duolearn("unlearn", "-m", "+forget=surgery", f"method={','.join(names)}", *FEW)
    assert done.returncode == 0, done.stderr + done.stdout
    (sweep,) = (tmp_path / "outputs").glob("*/*-sweep")
    runs = sorted(sweep.glob("*/run.json"))
    infos = [json.loads(path.read_text()) for path in runs]
    assert len(infos) == len(names) and {info["status"] for info in infos} == {"finished"}
    (target,) = {info["target_model"] for info in infos}
    start = tensors(cache / "models" / target)
    for run in (path.parent for path in runs):
        left = tensors(run / "adapter")
        assert torch.isfinite(left).all() and not torch.equal(left, start)
        assert (run / "report.html").is_file()
        ended = tensors(next((run / "checkpoints").glob("step-*")))
        method = component(OmegaConf.load(run / "config.yaml").method)
        assert torch.equal(left, method.result(start, ended))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["rmu", "task_vector", "gru"])
def test_several_processes_end_where_one_does(duolearn, tmp_path, name):
    adapters = []
    for place, extra in {
        "one": [],
        "copies": ["runtime.num_processes=2"],
        "cut": ["runtime.num_processes=2", "runtime.sharding=fsdp2"],
    }.items():
        done = duolearn("unlearn", "+forget=surgery", f"method={name}", *FEW, *extra, f"output_dir={place}")
        assert done.returncode == 0, done.stderr + done.stdout
        (run,) = (tmp_path / place).glob("*/*")
        adapters.append(tensors(run / "adapter"))
    for other in adapters[1:]:
        assert (other - adapters[0]).norm() <= 1e-4 * adapters[0].norm()


@pytest.mark.slow
def test_task_vectors_are_post_processing_and_so_go_with_privacy(duolearn, tmp_path):
    done = duolearn("unlearn", "+forget=surgery", "method=task_vector", "privacy=eps8", *FEW)
    assert done.returncode == 0, done.stderr + done.stdout
    (run,) = (tmp_path / "outputs").glob("*/*")
    assert (run / "adapter" / "privacy.json").is_file()
