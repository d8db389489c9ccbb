"""Damage to what is kept, at equal forgetting, of ways to constrain the update.

    geometry_study.py run FOLDER PART/PARTS EVERY [only=VARIANT;VARIANT] [OVERRIDE...]   unlearn once a variant and seed
    geometry_study.py table FOLDER                                                       the table, as Markdown

Every so many steps the loss of every trained item is looked at; where runs are compared at the same forgetting, these
are interpolated.

Every seed sets the split, learning and unlearning alike. Runs that FOLDER holds already are left out, so that a study
can be interrupted, and several processes can share it: PART 0/2 and 1/2.
"""

from __future__ import annotations

import io
import json
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from rich.console import Console

from duolearn_cli.cli.commands.common import prepared
from duolearn_cli.config.compose import component, compose
from duolearn_cli.data.items import Item
from duolearn_cli.data.order import num_steps, sample
from duolearn_cli.errors import UserError
from duolearn_cli.evaluation.metrics.intervals import Estimate, bootstrap, by_cluster, ratio
from duolearn_cli.files import write_json
from duolearn_cli.model.distributed import Processes
from duolearn_cli.model.encoding import collate
from duolearn_cli.model.losses import nll
from duolearn_cli.model.packing import batches_by_length
from duolearn_cli.pipeline.answers import score_items
from duolearn_cli.pipeline.examples import examples
from duolearn_cli.pipeline.laboratory import Laboratory
from duolearn_cli.pipeline.run_folder import Run
from duolearn_cli.report.tables import Table, cell
from duolearn_cli.report.terminal import Display
from duolearn_cli.training.coordinates import Coordinates
from duolearn_cli.training.forward import Example
from duolearn_cli.training.selection import choose
from duolearn_cli.training.task import UnlearningTask
from duolearn_cli.training.unlearn import unlearn
from duolearn_cli.training.update import Update

# Every setting of a variant that is not this one's.
PLAIN = {
    "method.geometry.space": "step",
    "method.geometry.sides": "one",
    "method.geometry.metric": "euclidean",
    "method.geometry.scope": "global",
    "method.geometry.basis_size": 0,
    "method.geometry.fisher_price": 0,
    "method.sparsity.unit": "none",
    "method.sparsity.fraction": 1,
    "method.sparsity.damping": 1,
}
VARIANTS: dict[str, dict[str, Any]] = {
    "none": {"space": "none"},
    "gradient": {"space": "gradient"},
    "step": {},
    "step, optimiser's metric": {"metric": "optimizer"},
    "step, Fisher": {"metric": "fisher"},
    "step, Fisher price 1": {"fisher_price": 1},
    "step, Fisher price 10": {"fisher_price": 10},
    "step, Fisher price 1, basis 8": {"fisher_price": 1, "basis_size": 8},
    "step, Fisher price 0.3, basis 8": {"fisher_price": 0.3, "basis_size": 8},
    "step, basis 1": {"basis_size": 1},
    "step, basis 8": {"basis_size": 8},
    "step, basis 32": {"basis_size": 32},
    "step, Fisher, basis 8": {"metric": "fisher", "basis_size": 8},
    "step, optimiser's metric, basis 8": {"metric": "optimizer", "basis_size": 8},
    "step, two-sided": {"sides": "two"},
    "step, by layer": {"scope": "layer"},
    "step, by module": {"scope": "module"},
    "none, 10 % coordinates, damping 0.001": {"space": "none", "unit": "coordinate", "fraction": 0.1, "damping": 1e-3},
    "none, 10 % coordinates": {"space": "none", "unit": "coordinate", "fraction": 0.1},
    "none, 10 % ranks": {"space": "none", "unit": "rank", "fraction": 0.1},
    "none, 10 % modules": {"space": "none", "unit": "module", "fraction": 0.1},
    "none, 10 % layers": {"space": "none", "unit": "layer", "fraction": 0.1},
    "none, 1 % coordinates": {"space": "none", "unit": "coordinate", "fraction": 0.01},
    "none, 1 % coordinates, rate x 4": {"space": "none", "unit": "coordinate", "fraction": 0.01, "rate": 4},
    "none, 0.1 % coordinates, rate x 10": {"space": "none", "unit": "coordinate", "fraction": 0.001, "rate": 10},
}
SEEDS = (1, 2, 3)
# Where between the target's and the base's mean loss on forget answers runs are compared.
LEVELS = (0.25, 0.4, 0.75)
SIDES = ("forget", "retain")


@dataclass(frozen=True, eq=False)
class Bench:
    """What all variants of one seed share: the target model, its items, and what base and target think of them."""

    lab: Laboratory
    items: Mapping[str, Sequence[Item]]
    base: Mapping[str, list[float]]
    target: Mapping[str, list[float]]
    forget: Sequence[Example]
    retain: Sequence[Example]


def overrides_of(variant: str) -> list[str]:
    """What the command line would say."""
    own = {name: value for key, value in VARIANTS[variant].items() for name in PLAIN if name.endswith(f".{key}")}
    return [f"{name}={value}" for name, value in (PLAIN | own).items()]


def share(part: str) -> tuple[int, int]:
    """Which part of how many: of ``1/2`` 1 and 2. Parts count from 0."""
    numbers = re.fullmatch("([0-9]+)/([0-9]+)", part)
    if not numbers or int(numbers[1]) >= int(numbers[2]):
        raise UserError(f"PART/PARTS is {part!r}: give two numbers, the first below the second, such as 0/1 or 1/2")
    return int(numbers[1]), int(numbers[2])


def run_all(folder: Path, part: int, parts: int, every: int, overrides: Sequence[str]) -> None:
    """Every variant and seed that is this part's and not there yet; a model is loaded once a seed."""
    chosen = [text.removeprefix("only=").split(";") for text in overrides if text.startswith("only=")]
    overrides = [text for text in overrides if not text.startswith("only=")]
    if unknown := [name for name in (chosen[0] if chosen else ()) if name not in VARIANTS]:
        raise UserError(f"only={';'.join(unknown)}: there is no such variant; allowed: {'; '.join(VARIANTS)}")
    jobs = [(seed, name) for seed in SEEDS for name in (chosen[0] if chosen else VARIANTS)][part::parts]
    for seed in SEEDS:
        paths = {n: folder / f"{re.sub('[^a-z0-9]+', '-', n.lower())}-{seed}.json" for s, n in jobs if s == seed}
        missing = {name: path for name, path in paths.items() if not path.is_file()}
        given = [*overrides, f"seed={seed}", f"split.seed={seed}", f"learn.seed={seed}"]
        shared = bench(given) if missing else None
        for name, path in missing.items():
            if shared:
                found = follow(shared, every, VARIANTS[name].get("rate", 1), [*given, *overrides_of(name)])
                folder.mkdir(parents=True, exist_ok=True)
                write_json(path, {"variant": name, "seed": seed, **found})
                print(f"{name}, seed {seed}", flush=True)


def bench(overrides: Sequence[str]) -> Bench:
    """Load the model, and ask base and target."""
    study = prepared(compose("unlearn", overrides))
    lab = Laboratory.open(study, Display(Console(file=io.StringIO())), Run.create(study.config, overrides))
    items = {"forget": study.splits.forget_train, "retain": study.splits.retain_train}
    thought = []
    for which in ("base", "target"):
        loaded = lab.load(which)
        thought.append({side: losses(lab, items[side]) for side in SIDES})
    forget, retain = (
        examples(loaded, side, is_forget, component(study.config.method).labels)
        for side, is_forget in ((study.request.forget, True), (study.request.retain, False))
    )
    return Bench(lab, items, thought[0], thought[1], forget, retain)


def follow(shared: Bench, every: int, rate: float, overrides: Sequence[str]) -> dict[str, Any]:
    """Unlearn once; every trained item's loss, each `every` steps until the highest level is passed, and at the end."""
    lab, items, config = shared.lab, shared.items, compose("unlearn", overrides)
    config.unlearn.learning_rate *= rate
    lab.load("target")
    method = component(config.method)
    processes = Processes(Accelerator(cpu=lab.model.device.type == "cpu"))
    index, task = None, UnlearningTask(shared.forget, shared.retain, method, config.unlearn, config.seed)
    if method.sparsity.unit != "none":
        index = choose(lab.model, task, processes)
    update = Update(Coordinates(lab.model.named_adapter, index), config.unlearn, method.geometry, processes)
    steps = num_steps(len(shared.forget), config.unlearn.batch_size, config.unlearn.epochs)
    points: list[dict[str, Any]] = [{"step": 0, **shared.target}]
    history: list[Mapping[str, Any]] = []
    highest = level_of(shared.base["forget"], shared.target["forget"], max(LEVELS))

    def after_step(step: int, values: Mapping[str, Any]) -> None:
        history.append({name: value for name, value in values.items() if not name.endswith("_by_layer")})
        if step == steps or (step % every == 0 and float(np.mean(points[-1]["forget"])) < highest):
            points.append({"step": step, **{side: losses(lab, items[side]) for side in SIDES}})

    unlearn(lab.model, task, update, 0, after_step)
    asked = {side: sample(items[side], config.evaluation.max_items, config.split.seed) for side in SIDES}
    return {
        "base": shared.base,
        "points": points,
        "accuracy": {
            side: [answer.correct for answer in score_items(lab.model, lab.encoder, lab.study, asked[side])]
            for side in SIDES
        },
        "asked": {side: [item.fact for item in asked[side]] for side in SIDES},
        "facts": {side: [item.fact for item in items[side]] for side in SIDES},
        "history": history,
        "changed": len(update.coordinates.values) / lab.model.num_base_parameters,
    }


@torch.no_grad()
def losses(lab: Laboratory, items: Sequence[Item]) -> list[float]:
    """Mean loss (nats a token) of each item's right answer."""
    texts = [lab.encoder.encode(item) for item in items]
    found = [0.0] * len(texts)
    lengths = [len(text.ids) for text in texts]
    for indices in batches_by_length(lengths, lab.study.config.evaluation.batch_tokens):
        batch = collate([texts[i] for i in indices], "answer").to(lab.model.device)
        values = nll(lab.model.head(lab.model.hidden(batch)), batch.label)
        for place, index in enumerate(indices):
            found[index] = float(values[batch.sequence == place].mean())
    return found


def level_of(base: Sequence[float], target: Sequence[float], level: float) -> float:
    """The mean loss that lies so far on the way from the target's to the base's."""
    return float((1 - level) * np.mean(target) + level * np.mean(base))


def at_level(job: Mapping[str, Any], level: float | None) -> np.ndarray | None:
    """Each retain item's loss when the mean forget loss first passes `level`, interpolated; None if it never does.

    `level` None stands for the last step.
    """
    if level is None:
        return np.array(job["points"][-1]["retain"])
    wanted = level_of(job["base"]["forget"], job["points"][0]["forget"], level)
    for before, after in zip(job["points"], job["points"][1:], strict=False):
        low, high = np.mean(before["forget"]), np.mean(after["forget"])
        if low < wanted <= high:
            share = (wanted - low) / (high - low)
            return (1 - share) * np.array(before["retain"]) + share * np.array(after["retain"])
    return None


def damage(
    jobs: Sequence[Mapping[str, Any]], level: float | None, against: Sequence[Mapping[str, Any]] | None = None
) -> str:
    """Rise of the mean retain loss (millinats) since the target, or beyond that of `against`, with its interval."""
    values, clusters = [], []
    for i, job in enumerate(jobs):
        found = at_level(job, level)
        start = np.array(job["points"][0]["retain"]) if against is None else at_level(against[i], level)
        if found is None or start is None:
            return "not reached"
        values += list(1000 * (found - start))
        clusters += [f"{job['seed']}:{fact}" for fact in job["facts"]["retain"]]
    return cell(over_facts(values, clusters).as_dict(), 1, 0)


def over_facts(values: Sequence[float], clusters: Sequence[str]) -> Estimate:
    """The mean with a 95 % bootstrap interval over facts, each seed's being its own."""
    ones = [1.0] * len(values)
    return bootstrap([by_cluster(values, clusters), by_cluster(ones, clusters)], ratio, n=len(values))


def accuracy(jobs: Sequence[Mapping[str, Any]], side: str) -> str:
    values = [float(right) for job in jobs for right in job["accuracy"][side]]
    clusters = [f"{job['seed']}:{fact}" for job in jobs for fact in job["asked"][side]]
    return cell(over_facts(values, clusters).as_dict(), 100, 1)


def table(folder: Path) -> Table:
    """One row a variant, over the seeds that are there for it and for `none`."""
    jobs: dict[str, dict[int, Any]] = {}
    for path in sorted(folder.glob("*.json")):
        job = json.loads(path.read_text(encoding="utf-8"))
        jobs.setdefault(job["variant"], {})[job["seed"]] = job
    rows = []
    for name, by_seed in sorted(jobs.items(), key=lambda pair: list(VARIANTS).index(pair[0])):
        seeds = sorted(by_seed.keys() & jobs["none"].keys())
        own, plain = [by_seed[seed] for seed in seeds], [jobs["none"][seed] for seed in seeds]
        steps = [line for job in own for line in job["history"]]
        rows.append(
            (
                name,
                *(damage(own, level) for level in LEVELS),
                "—" if name == "none" else damage(own, LEVELS[1], plain),
                damage(own, None),
                f"{np.mean([np.mean(job['points'][-1]['forget']) for job in own]):.2f}",
                accuracy(own, "forget"),
                accuracy(own, "retain"),
                f"{100 * np.mean([line['conflict'] for line in steps]):.0f}",
                f"{100 * np.mean([line['removed'] for line in steps]):.1f}",
                str(len(seeds)),
            )
        )
    header = ("variant", *(f"damage at {level:.0%}" for level in LEVELS), f"against none at {LEVELS[1]:.0%}")
    header += ("damage at the end", "forget nll at the end", "forget accuracy (%)", "retain accuracy (%)")
    header += ("conflict (%)", "removed (%)", "seeds")
    return Table("Damage at equal forgetting", header, tuple(rows))


if __name__ == "__main__":
    try:
        match sys.argv[1:]:
            case ["run", where, part, distance, *given]:
                mine, all_parts = share(part)
                if not re.fullmatch("[1-9][0-9]*", distance):
                    raise UserError(f"EVERY is {distance!r}: give a number of steps, 1 or more")
                run_all(Path(where), mine, all_parts, int(distance), given)
            case ["table", where]:
                found = table(Path(where))
                print(found.markdown() if found.rows else f"{where}: no finished run of a study")
            case _:
                sys.exit((__doc__ or "").strip())
    except UserError as error:
        sys.exit(f"error: {error}")
