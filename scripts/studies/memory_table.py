"""Predicted and measured peak memory of unlearning steps, each configuration in a fresh process (docs/memory.md).

python scripts/studies/memory_table.py FILE.json "NAME: OVERRIDE ..." "NAME: OVERRIDE ..." ...

Linux only: the system is asked for the most that was resident while steps were made. The adapter is a random one, and
the cache a temporary one, so that nothing is learned first.
"""

from __future__ import annotations

import gc
import io
import json
import shlex
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from duolearn_cli.errors import UserError

MEBIBYTE = 2**20
STATUS, CLEAR_REFS = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def resident(field: str) -> int:
    """``VmRSS`` or ``VmHWM`` of this process, in bytes."""
    (found,) = [line for line in STATUS.read_text().splitlines() if line.startswith(f"{field}:")]
    return 1024 * int(found.split()[1])


def measure(overrides: list[str]) -> dict[str, Any]:
    """Of an unlearning stage: the prediction, and what is resident before the first step and at most in steps."""
    import torch
    from rich.console import Console

    from duolearn_cli.cli.commands.common import prepared
    from duolearn_cli.config.compose import compose
    from duolearn_cli.pipeline import unlearn_run
    from duolearn_cli.pipeline.laboratory import Laboratory
    from duolearn_cli.pipeline.planning.memory import Planner
    from duolearn_cli.pipeline.privacy_plan import plan_unlearning
    from duolearn_cli.pipeline.run_folder import Run
    from duolearn_cli.report.terminal import Display

    study = prepared(compose("unlearn", overrides))
    account, planner = plan_unlearning(study), Planner.of(study)
    assert planner is not None
    with tempfile.TemporaryDirectory() as folder:
        run = Run(Path(folder))
        (run.folder / "run.json").write_text("{}", encoding="utf-8")
        lab = Laboratory.open(study, Display(Console(file=io.StringIO())), run)
        lab = replace(lab, cache=replace(lab.cache, root=Path(folder)))
        generator = torch.Generator().manual_seed(0)
        for name, parameter in lab.model.named_adapter:
            if "lora_B" in name:
                parameter.data.copy_(torch.randn(parameter.shape, generator=generator) * 0.02)
        lab.model.save_adapter(lab.cache.folder("target"))
        if account:
            account.write(run.folder)
        found: dict[str, Any] = {"predicted": planner.predict(study.config.unlearn.micro_batch).parts}
        loop = unlearn_run.unlearn

        def watched(*given: Any) -> None:
            gc.collect()
            CLEAR_REFS.write_text("5")
            found["before"] = resident("VmRSS")
            loop(*given)
            found["peak"] = resident("VmHWM")

        unlearn_run.unlearn = watched
        unlearn_run.unlearn_stage(lab)
    return found


def child(name: str, overrides: list[str]) -> dict[str, Any]:
    command = [sys.executable, __file__, "--measure", *overrides]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{name}: {shlex.join(overrides)}\n{done.stderr.strip()}")
    return json.loads(done.stdout.splitlines()[-1])


def main(path: Path, asked: list[str]) -> None:
    rows, results = [], {}
    for name, _, text in (one.partition(":") for one in asked):
        found = results[name] = child(name, shlex.split(text)) | {"overrides": text.strip()}
        predicted, peak = sum(found["predicted"].values()), found["peak"]
        sizes = [f"{value / MEBIBYTE:.0f}" for value in (*found["predicted"].values(), predicted, peak)]
        rows.append([name, *sizes, f"{predicted / peak - 1:+.0%}"])
        path.write_text(json.dumps({"schema": 1, "configurations": results}, indent=1) + "\n", encoding="utf-8")
    header = ["configuration", *next(iter(results.values()))["predicted"], "predicted", "measured", "off by"]
    for row in (header, ["---"] * len(header), *rows):
        print(f"| {' | '.join(row)} |")


if __name__ == "__main__":
    try:
        match sys.argv[1:]:
            case ["--measure", *given]:
                print(json.dumps(measure(given)))
            case [file, *given] if given:
                main(Path(file), given)
            case _:
                sys.exit((__doc__ or "").strip())
    except UserError as error:
        sys.exit(f"error: {error}")
