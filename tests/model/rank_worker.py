"""Unlearn a few steps, alone or as one of several processes: ``rank_worker.py FOLDER SHARDING OVERRIDE...``.

The main process writes the adapter's change and the history. Each process writes the state of its update. Half way a
checkpoint is written, and a second run that continues from it must end with the same bits as the first.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from accelerate import Accelerator, PartialState

from duolearn_cli.config.compose import component, compose
from duolearn_cli.config.unlearning import UnlearnConfig
from duolearn_cli.model.distributed import Processes, full
from duolearn_cli.model.loading import load_model
from duolearn_cli.model.weights import find_weights
from duolearn_cli.pipeline.prepare import prepare
from duolearn_cli.training.checkpoint import load_checkpoint, save_checkpoint
from duolearn_cli.training.coordinates import Coordinates
from duolearn_cli.training.selection import choose
from duolearn_cli.training.task import UnlearningTask
from duolearn_cli.training.unlearn import unlearn
from duolearn_cli.training.update import Update
from tests.conftest import SMALL
from tests.training.test_unlearn import make_examples


def main(folder: Path, sharding: str, overrides: list[str]) -> None:
    PartialState(cpu=True)
    config = compose(
        "unlearn", ["+forget=surgery", *SMALL, "model.adapter.rank=4", "model.adapter.alpha=8", *overrides]
    )
    model = load_model(find_weights(config.model, None), config.model, config.runtime, seed=0)
    generator = torch.Generator().manual_seed(1)
    for name, parameter in model.network.named_parameters():
        if "lora_B" in name:
            parameter.data.copy_(torch.randn(parameter.shape, generator=generator) * 0.02)
    processes = Processes(Accelerator(cpu=True), sharded=sharding == "fsdp2")
    if processes.sharded:
        model.shard()
    method = component(config.method)
    start = [full(parameter.detach()).clone() for parameter in model.adapter]
    forget, retain = make_examples(model, prepare(config), method.labels, attention=method.attention)
    settings = UnlearnConfig(epochs=2, batch_size=3, learning_rate=1e-2, optimizer=config.unlearn.optimizer)
    settings.micro_batch, settings.checkpointing = config.unlearn.micro_batch, config.unlearn.checkpointing
    chosen = method.sparsity.unit != "none"
    task = UnlearningTask(forget, retain, method, settings, 0)
    index = choose(model, task, processes) if chosen else None
    update = Update(Coordinates(model.named_adapter, index), settings, method.geometry, processes)
    history = []

    def after_step(step, values):
        history.append(values)
        if step == 2:
            save_checkpoint(folder, step, "signature", model, update, processes)

    unlearn(model, task, update, 0, after_step)
    ended = update.coordinates.values.detach().clone()
    step, state = load_checkpoint(folder / "step-000002", "signature", model, processes)
    resumed = Update(Coordinates(model.named_adapter, state.get("index")), settings, method.geometry, processes)
    resumed.restore(state)
    unlearn(model, task, resumed, step, lambda step, values: None)
    assert torch.equal(resumed.coordinates.values, ended)
    change = torch.cat([(full(p.detach()) - s).reshape(-1) for p, s in zip(model.adapter, start, strict=True)])
    if processes.rank == 0:
        torch.save({"change": change, "history": json.dumps(history)}, folder / "result.pt")
    torch.save(update.state(), folder / f"state-{processes.rank}.pt")
    PartialState().destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3:])
