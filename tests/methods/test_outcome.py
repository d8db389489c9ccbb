"""What a run leaves of where its loop ended: task vectors."""

from types import SimpleNamespace

import pytest
import torch

from duolearn_cli.methods.npo import NPO
from duolearn_cli.methods.task_vector import TaskVector
from duolearn_cli.pipeline.result import make_result, write_result
from duolearn_cli.training.coordinates import flatten


@pytest.fixture
def lab(fresh, tmp_path):
    """A laboratory whose target is the adapter as it is now; then the loop moves it."""
    target = [value.detach().clone() for value in fresh.adapter]

    def load(which):
        assert which == "target"
        for value, kept in zip(fresh.adapter, target, strict=True):
            value.data.copy_(kept)

    notes = []
    display = SimpleNamespace(note=notes.append)
    made = SimpleNamespace(
        model=fresh,
        load=load,
        unlearned=lambda: None,
        display=display,
        notes=notes,
        is_main=True,
        run=SimpleNamespace(folder=tmp_path),
    )
    made.start = flatten(fresh.adapter).clone()
    generator = torch.Generator().manual_seed(5)
    for value in fresh.adapter:
        value.data.add_(torch.randn(value.shape, generator=generator) * 0.01)
    made.end = flatten(fresh.adapter).clone()
    return made


@pytest.mark.parametrize("strength", [0.0, 0.5, 1.0, 2.0])
def test_a_task_vector_is_subtracted_from_the_target(lab, strength):
    make_result(lab, TaskVector(strength=strength))
    found = flatten(lab.model.adapter)
    torch.testing.assert_close(found, lab.start - strength * (lab.end - lab.start))
    if strength == 0:
        assert torch.equal(found, lab.start)
    if strength == 1:
        torch.testing.assert_close((found + lab.end) / 2, lab.start)
    assert lab.notes


def test_other_methods_leave_where_the_loop_ended(lab):
    make_result(lab, NPO())
    assert torch.equal(flatten(lab.model.adapter), lab.end) and not lab.notes


def test_the_checkpoint_holds_the_loops_end_and_the_adapter_the_result(lab):
    """So that a run that is resumed after its last step comes to the same adapter, and not to twice the way."""
    saved = []
    processes = SimpleNamespace(sharded=False)
    for _ in range(2):
        write_result(
            lab, TaskVector(), None, lambda step: saved.append(flatten(lab.model.adapter).clone()), 7, processes
        )
        assert torch.equal(saved[-1], lab.end)
        left = flatten(lab.model.adapter).clone()
        lab.model.load_adapter(lab.run.folder / "adapter")
        assert torch.equal(flatten(lab.model.adapter), left)
        torch.testing.assert_close(left, 2 * lab.start - lab.end)
        # What a resumed run begins with.
        for value, part in zip(lab.model.adapter, saved[-1].split([v.numel() for v in lab.model.adapter]), strict=True):
            value.data.copy_(part.view_as(value))
