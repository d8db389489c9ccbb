"""A few private steps, as one of several processes or alone: ``rank_worker.py FOLDER RANDOMNESS``.

Each process writes its parameters after the steps, which examples it computed in each, and the noise that a step
without any unit adds.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import torch
from accelerate import Accelerator, PartialState

from duolearn_cli.audits.privacy.canaries import Canaries, with_canaries
from duolearn_cli.config.compose import component, compose
from duolearn_cli.config.unlearning import UnlearnConfig
from duolearn_cli.model.distributed import Processes
from duolearn_cli.model.loading import load_model
from duolearn_cli.model.weights import find_weights
from duolearn_cli.pipeline.prepare import prepare
from duolearn_cli.pipeline.private_run import randomness
from duolearn_cli.training.coordinates import Coordinates
from duolearn_cli.training.private import step as private_step
from duolearn_cli.training.task import UnlearningTask
from duolearn_cli.training.unlearn import unlearn
from duolearn_cli.training.update import Update
from tests.conftest import SMALL
from tests.training.private.engine import one_unit_each, private_steps
from tests.training.test_unlearn import make_examples

NUM_STEPS = 6


def main(folder: Path, source: str) -> None:
    PartialState(cpu=True)
    config = compose("unlearn", ["+forget=surgery", *SMALL, "model.adapter.rank=4", "model.adapter.alpha=8"])
    model = load_model(find_weights(config.model, None), config.model, config.runtime, seed=0)
    processes, method = Processes(Accelerator(cpu=True)), component(config.method)
    forget, retain = make_examples(model, prepare(config), method.labels)
    units = {"forget": one_unit_each("forget", forget), "retain": one_unit_each("retain", retain)}
    settings = UnlearnConfig(learning_rate=1e-3, micro_batch=2)
    update = Update(Coordinates(model.named_adapter), settings, method.geometry, processes)
    own = {"coordinates": update.coordinates, "processes": processes, "micro_batch": 2, "steps": NUM_STEPS}
    steps = private_steps(model, method, units, folder, noise=0.5, rate=0.5, **own)
    account = steps.ledger.account
    account = replace(account, entries=(replace(account.last, randomness=source),))
    engine = replace(steps.mechanism, randomness=randomness(account, 7, processes))
    steps = replace(steps, mechanism=engine)
    names = {id(example): i for i, example in enumerate([*forget, *retain])}
    computed: list[list[int]] = []
    original = private_step.predict

    def spy(model, examples, *rest, **more):
        computed[-1] += [names[id(example)] for example in examples]
        return original(model, examples, *rest, **more)

    private_step.predict = spy
    chosen = type(steps).chosen

    def record(self, step):
        found = chosen(self, step)
        computed.append([])
        wanted.append([names[id(unit.examples[0])] for unit in found])
        return found

    wanted: list[list[int]] = []
    type(steps).chosen = record
    history: list[dict[str, object]] = []
    task = UnlearningTask(forget, retain, method, settings, 0)
    unlearn(model, task, update, 0, lambda step, v: history.append(v), private=steps)
    empty = replace(engine, terms={name: replace(t, rate=1e-12) for name, t in engine.terms.items()})
    silent = replace(steps, mechanism=empty, ledger=private_steps(model, method, units, folder).ledger)
    noise = silent.gradients(1).preserve * (1e-12 * len(retain)) / 0.5
    # Canaries go the way of records, over both processes.
    private_step.predict, type(steps).chosen = original, chosen
    canaries = Canaries.draw("retain", 100, len(update.coordinates.values), seed=0)
    audited = replace(with_canaries(steps, [canaries]), ledger=silent.ledger)
    expected = audited.mechanism.terms["retain"].expected
    seen = audited.gradients(1).preserve[torch.from_numpy(canaries.coordinate)] * expected
    torch.save(
        {"values": update.coordinates.values.detach(), "computed": computed, "wanted": wanted, "noise": noise}
        | {"seen": seen},
        folder / f"found-{processes.rank}.pt",
    )
    PartialState().destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
