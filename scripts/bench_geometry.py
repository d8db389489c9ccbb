"""What the constraint costs: `python scripts/bench_geometry.py FILE.json REPEATS [only=VARIANT;VARIANT] [OVERRIDE...]`.

Times one unlearning step, two backwards through one forward and the update, without a constraint and with each variant,
interleaved, so that a busy machine slows all alike; prints medians and their ratios. Memory is the peak of a fresh
process that does the same steps. Overrides are those of `duolearn unlearn`: the model, the data, how many items.
"""

from __future__ import annotations

import io
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from duolearn_cli.report.tables import Table

VARIANTS = {
    "none": ["space=none"],
    "gradient": ["space=gradient"],
    "step": [],
    "step, by layer": ["scope=layer"],
    "step, optimiser's metric": ["metric=optimizer"],
    "step, Fisher": ["metric=fisher"],
    "step, basis 8": ["basis_size=8"],
    "step, basis 32": ["basis_size=32"],
    "step, Fisher, basis 8": ["metric=fisher", "basis_size=8"],
}
MEGABYTE = 2**20


def steps(overrides: list[str], names: list[str]) -> dict[str, Callable[[], None]]:
    """One step of each variant, on the same model and the same batch. The base model's adapter is where they begin."""
    import torch
    from accelerate import Accelerator
    from rich.console import Console

    from duolearn_cli.commands.common import prepared
    from duolearn_cli.composition import component, compose
    from duolearn_cli.coordinates import Coordinates
    from duolearn_cli.diagnostics import measure
    from duolearn_cli.forward import gradients
    from duolearn_cli.methods.base import geometry_of
    from duolearn_cli.parallel import Processes
    from duolearn_cli.protocol import Laboratory
    from duolearn_cli.report.terminal import Display
    from duolearn_cli.run import Run
    from duolearn_cli.stage import examples
    from duolearn_cli.update import Update

    study = prepared(compose("unlearn", overrides))
    settings, display = study.config.unlearn, Display(Console(file=io.StringIO()))
    lab = Laboratory.open(study, display, Run.create(study.config, overrides))
    generator = torch.Generator().manual_seed(0)
    for name, parameter in lab.model.network.named_parameters():
        if "lora_B" in name:
            parameter.data.copy_(torch.randn(parameter.shape, generator=generator) * 0.02)
    processes = Processes(Accelerator(cpu=lab.model.device.type == "cpu"))
    forget, retain = (
        examples(lab, items[: settings.batch_size], is_forget, "text")
        for items, is_forget in ((study.request.forget, True), (study.request.retain, False))
    )

    def one(name: str) -> Callable[[], None]:
        given = [f"method.geometry.{setting}" for setting in VARIANTS[name]]
        if not any("basis_size" in setting for setting in given):
            given.append("method.geometry.basis_size=0")
        method = component(compose("unlearn", [*overrides, *given]).method)
        update = Update(Coordinates(lab.model.named_adapter), settings, geometry_of(method), processes)
        squares = ("preserve",) if update.constraint.settings.needs_fisher else ()
        counter = iter(range(1, 10**9))

        def step() -> None:
            found = gradients(
                lab.model, forget + retain, method, update.coordinates, processes, settings.micro_batch, None, squares
            )
            measure(found, update.apply(next(counter), 1e-6, found), update)

        return step

    return {name: one(name) for name in names}


def seconds(overrides: list[str], names: list[str], repeats: int) -> dict[str, list[float]]:
    """Times of interleaved steps by variant, after enough of them to fill every basis."""
    made = steps(overrides, names)
    for name, step in made.items():
        for _ in range(warm_up(name)):
            step()
    found: dict[str, list[float]] = {name: [] for name in made}
    for _ in range(repeats):
        for name, step in made.items():
            began = time.perf_counter()
            step()
            found[name].append(time.perf_counter() - began)
    return found


def warm_up(name: str) -> int:
    """Steps until a variant's basis is full."""
    return 33 if "basis 32" in name else 9 if "basis 8" in name else 2


def peak(overrides: list[str], name: str) -> int:
    """Peak memory in bytes of a fresh process that makes enough steps to fill the basis."""
    command = [sys.executable, __file__, "--memory", name, *overrides]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(done.stdout.split()[-1])


def memory(overrides: list[str], name: str) -> None:
    from duolearn_cli.experiment import peak_memory

    step = steps(overrides, [name])[name]
    for _ in range(1 + warm_up(name)):
        step()
    print(peak_memory())


def main(path: Path, repeats: int, overrides: list[str]) -> None:
    chosen = [text.removeprefix("only=").split(";") for text in overrides if text.startswith("only=")]
    overrides = [text for text in overrides if not text.startswith("only=")]
    names = chosen[0] if chosen else list(VARIANTS)
    times = seconds(overrides, names, repeats)
    medians = {name: statistics.median(values) for name, values in times.items()}
    peaks = {name: peak(overrides, name) for name in names}
    rows = []
    found: dict[str, Any] = {"schema": 1, "overrides": overrides, "repeats": repeats, "variants": {}}
    for name in names:
        ratios = sorted(a / b for a, b in zip(times[name], times["none"], strict=True))
        ratio = statistics.median(ratios)
        quartiles = ratios[len(ratios) // 4], ratios[-1 - len(ratios) // 4]
        found["variants"][name] = {"seconds": times[name], "peak_memory_bytes": peaks[name], "ratio": ratio}
        rows.append(
            (
                name,
                f"{1000 * medians[name]:.0f}",
                f"{ratio:.2f} [{quartiles[0]:.2f}, {quartiles[1]:.2f}]",
                f"{peaks[name] / MEGABYTE:.0f}",
                f"{peaks[name] / peaks['none']:.2f}",
            )
        )
    path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    header = ("variant", "step (ms)", "time against none [quartiles]", "peak memory (MiB)", "memory against none")
    print(Table("Cost of the constraint", header, tuple(rows)).markdown())


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["--memory", variant, *given]:
            memory(given, variant)
        case [file, count, *given] if count.isdecimal() and int(count):
            main(Path(file), int(count), given)
        case _:
            sys.exit((__doc__ or "").strip())
