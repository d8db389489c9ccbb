"""One of several unlearning processes. torchrun starts it; it reads a run folder and never imports Hydra."""

from __future__ import annotations

import io
import sys
from contextlib import nullcontext
from pathlib import Path

from accelerate import PartialState
from rich.console import Console

from duolearn_cli.errors import UserError
from duolearn_cli.model.loading import choose_device
from duolearn_cli.pipeline.laboratory import Laboratory
from duolearn_cli.pipeline.prepare import prepare
from duolearn_cli.pipeline.run_folder import Run
from duolearn_cli.pipeline.unlearn_run import unlearn_stage
from duolearn_cli.report.terminal import Display


def main(folder: str) -> int:
    run, config = Run.open(Path(folder))
    # Without cpu=True, Accelerate takes a machine without an accelerator for a single process.
    state = PartialState(cpu=choose_device(config.runtime.device).type == "cpu")
    is_main = state.is_main_process
    display = Display() if is_main else Display(Console(file=io.StringIO()))
    try:
        with run.logged() if is_main else nullcontext():
            unlearn_stage(Laboratory.open(prepare(config), display, run, is_main=is_main))  # type: ignore[arg-type]
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    finally:
        state.destroy_process_group()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
