"""Predictions: what they are made of, and the direction in which each setting moves them."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest

from duolearn_cli.config.compose import compose
from duolearn_cli.pipeline.planning import machine, memory
from duolearn_cli.pipeline.planning.memory import Planner
from duolearn_cli.pipeline.prepare import prepare
from tests.conftest import SMALL


@pytest.fixture(scope="module")
def small():
    return prepare(compose("unlearn", ["+forget=surgery", *SMALL]))


def planner(study, *overrides):
    return Planner.of(replace(study, config=compose("unlearn", ["+forget=surgery", *SMALL, *overrides])))


def total(study, *overrides, micro_batch=None):
    return planner(study, *overrides).predict(micro_batch).total


def test_parts_add_up_and_none_is_negative(small):
    found = planner(small).predict(None)
    assert found.total == sum(found.parts.values())
    assert min(found.parts.values()) >= 0
    assert found.parts["model"] == 4 * planner(small).shape.parameters()


def test_lengths_are_about_those_of_the_tokenizer(small, tiny):
    from duolearn_cli.config.schema import PromptConfig
    from duolearn_cli.model.encoding import Encoder

    encoder = Encoder(tiny.tokenizer, PromptConfig(form="cloze"))
    for items, lengths in zip((small.request.forget, small.request.retain), planner(small).lengths, strict=True):
        real = [len(encoder.encode(item).ids) for item in items]
        assert sum(lengths) == pytest.approx(sum(real), rel=0.15)


@pytest.mark.parametrize(
    "less",
    [
        ["unlearn.checkpointing=true"],
        ["model.adapter.rank=4"],
        ["unlearn.batch_size=2"],
        ["unlearn.optimizer=SGD"],
        ["method.geometry.basis_size=0"],
        ["model.adapter.layers=last:1"],
        ["method=npo"],
        ["method.sparsity.unit=rank"],
    ],
    ids=lambda overrides: overrides[0],
)
def test_what_takes_less(small, less):
    assert total(small, *less) < total(small)


@pytest.mark.parametrize("more", ["privacy=eps4", "unlearn.batch_size=12", "method.geometry.metric=fisher"])
def test_what_takes_more(small, more):
    assert total(small, more) > total(small)


def test_micro_batches_take_less_the_smaller_they_are(small):
    for overrides in ([], ["privacy=eps4", "privacy.unit=example"], ["privacy=eps4"], ["unlearn.packing=true"]):
        plan = planner(small, *overrides)
        sizes = [plan.predict(size).total for size in range(1, sum(plan.units) + 1)]
        assert sizes == sorted(sizes)
        assert sizes[-1] == plan.predict(None).total
        # A unit is never cut: the facts of minimed have two items to train on.
        assert {side.rows for side in plan.sides(1)} == {2 if overrides == ["privacy=eps4"] else 1}


def test_several_processes_share_the_items(small):
    assert total(small, "runtime.num_processes=2") < total(small)


def test_half_precision_needs_a_large_model_and_the_hardware(small, monkeypatch):
    monkeypatch.setattr(memory, "has_bf16", lambda: True)
    plan = planner(small)
    assert not plan.half
    assert replace(plan, shape=replace(plan.shape, layers=1000)).half
    monkeypatch.setattr(memory, "has_bf16", lambda: False)
    assert not replace(plan, shape=replace(plan.shape, layers=1000)).half
    assert planner(small, "runtime.precision=bf16").half


def test_a_quantised_model_on_a_gpu_is_smaller(small):
    def weights(quantization):
        return replace(planner(small, f"model.quantization={quantization}"), on_gpu=True).predict(None).parts["model"]

    assert weights("nf4") < weights("int8") < weights("none") < planner(small).predict(None).parts["model"]


def test_pytorch_is_not_imported():
    code = (
        "import sys; from duolearn_cli.config.compose import compose; "
        "from duolearn_cli.pipeline.prepare import prepare; "
        "from duolearn_cli.pipeline.planning.fitting import fit; "
        f"fit(prepare(compose('unlearn', ['+forget=surgery', *{SMALL}]))); "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_system_is_asked(tmp_path, monkeypatch):
    (tmp_path / "meminfo").write_text("MemTotal: 100 kB\nMemAvailable:   40 kB\n")
    monkeypatch.setattr(machine, "MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(machine, "CGROUP", tmp_path)
    assert machine.available(False) == 40 * 1024
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("1000\n")
    assert machine.available(False) == 40 * 1024
    (tmp_path / "memory.max").write_text("5000\n")
    assert machine.available(False) == 4000
    monkeypatch.setattr(machine, "MEMINFO", tmp_path / "none")
    assert machine.available(False) is None


def test_a_gpu_is_asked_through_its_tool(tmp_path, monkeypatch):
    tool = tmp_path / "nvidia-smi"
    monkeypatch.setenv("PATH", str(tmp_path))
    assert machine.available(True) is None
    for says, found in (("echo 4096", 4096 << 20), ("echo nothing", None), ("exit 1", None)):
        tool.write_text(f"#!/bin/sh\n{says}\n")
        tool.chmod(0o755)
        assert machine.available(True) == found


def test_bfloat16_is_in_the_flags_of_the_processor(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "CPUINFO", tmp_path / "cpuinfo")
    assert not machine.has_bf16()
    (tmp_path / "cpuinfo").write_text("flags : fpu avx512f avx512_bf16 sse\n")
    assert machine.has_bf16()
