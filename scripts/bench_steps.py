"""What a step costs: `python scripts/bench_steps.py FILE.json REPEATS [only=VARIANT;VARIANT] [OVERRIDE...]`.

Times one unlearning step, two backwards through one forward and the update, with each variant of the constraint and of
privacy, interleaved, so that a busy machine slows all alike; prints medians and their ratios to the first variant.
Memory is the peak of a fresh process that does the same steps. Overrides are those of `duolearn unlearn`: the model,
the data, how many items.
"""

from __future__ import annotations

import io
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from duolearn_cli.report.tables import Table

GEOMETRY, PRIVACY = "method.geometry.", "privacy."
SMALL_BASIS = f"{GEOMETRY}basis_size=0"
# More steps than are timed: private ones end with their budget.
MANY = "unlearn.epochs=2000"
VARIANTS = {
    "none": [SMALL_BASIS, f"{GEOMETRY}space=none"],
    "gradient": [SMALL_BASIS, f"{GEOMETRY}space=gradient"],
    "step": [SMALL_BASIS],
    "step, by layer": [SMALL_BASIS, f"{GEOMETRY}scope=layer"],
    "step, optimiser's metric": [SMALL_BASIS, f"{GEOMETRY}metric=optimizer"],
    "step, Fisher": [SMALL_BASIS, f"{GEOMETRY}metric=fisher"],
    "step, basis 8": [],
    "step, basis 32": [f"{GEOMETRY}basis_size=32"],
    "step, Fisher, basis 8": [f"{GEOMETRY}metric=fisher"],
    "private, both": [f"{PRIVACY}epsilon=4", MANY],
    "private, retain": [f"{PRIVACY}epsilon=4", MANY, f"{PRIVACY}protect=retain"],
    "private, seeded": [f"{PRIVACY}epsilon=4", MANY, f"{PRIVACY}randomness=seeded"],
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
    from duolearn_cli.privacy.plan import plan_unlearning
    from duolearn_cli.privacy.private_run import private_steps
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
    batch = slice(settings.batch_size)
    request = replace(study.request, forget=study.request.forget[batch], retain=study.request.retain[batch])
    forget, retain = examples(lab, request.forget, True, "text"), examples(lab, request.retain, False, "text")

    def one(name: str) -> Callable[[], None]:
        config = compose("unlearn", [*overrides, *VARIANTS[name]])
        method = component(config.method)
        update = Update(Coordinates(lab.model.named_adapter), settings, geometry_of(method), processes)
        squares = ("preserve",) if update.constraint.settings.needs_fisher else ()
        private, begun, counter = None, iter(range(1, 10**9)), iter(range(1, 10**9))
        if config.privacy.epsilon is not None:
            # Of as many records as a step holds, each joins every step.
            private_lab = replace(lab, study=replace(study, config=config, request=request))
            account = plan_unlearning(private_lab.study)
            assert account is not None
            account.write(lab.run.folder)
            private = private_steps(private_lab, forget, retain, method, update, processes)

        def step() -> None:
            found = (
                private.gradients(next(begun))
                if private
                else gradients(
                    lab.model,
                    forget + retain,
                    method,
                    update.coordinates,
                    processes,
                    settings.micro_batch,
                    None,
                    squares,
                )
            )
            assert found is not None
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
    return 33 if "basis 32" in name else 9 if SMALL_BASIS not in VARIANTS[name] else 2


def peak(overrides: list[str], name: str) -> int:
    """Peak memory in bytes of a fresh process while it makes enough steps to fill the basis."""
    command = [sys.executable, __file__, "--memory", name, *overrides]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(done.stdout.split()[-1])


def memory(overrides: list[str], name: str) -> None:
    """Print the peak while steps are made. Loading a model may need more than a step: Linux can forget that peak."""
    from duolearn_cli.experiment import peak_memory

    step = steps(overrides, [name])[name]
    forget_peak = Path("/proc/self/clear_refs")
    if forget_peak.exists():
        forget_peak.write_text("5")
    for _ in range(1 + warm_up(name)):
        step()
    status = Path("/proc/self/status").read_text() if forget_peak.exists() else ""
    kibibytes = [int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")]
    print(1024 * kibibytes[0] if kibibytes else peak_memory())


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
        ratios = sorted(a / b for a, b in zip(times[name], times[names[0]], strict=True))
        ratio = statistics.median(ratios)
        quartiles = ratios[len(ratios) // 4], ratios[-1 - len(ratios) // 4]
        found["variants"][name] = {"seconds": times[name], "peak_memory_bytes": peaks[name], "ratio": ratio}
        rows.append(
            (
                name,
                f"{1000 * medians[name]:.0f}",
                f"{ratio:.2f} [{quartiles[0]:.2f}, {quartiles[1]:.2f}]",
                f"{peaks[name] / MEGABYTE:.0f}",
                f"{peaks[name] / peaks[names[0]]:.2f}",
            )
        )
    path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    first = names[0]
    header = ("variant", "step (ms)", f"time over {first} [quartiles]", "peak memory (MiB)", f"memory over {first}")
    print(Table("Cost of a step", header, tuple(rows)).markdown())


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["--memory", variant, *given]:
            memory(given, variant)
        case [file, count, *given] if count.isdecimal() and int(count):
            main(Path(file), int(count), given)
        case _:
            sys.exit((__doc__ or "").strip())
