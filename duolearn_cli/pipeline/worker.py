"""One of several unlearning processes. `processes.py` starts it; it reads a run folder and never imports Hydra."""

from __future__ import annotations

import io
import os
import sys
import traceback
from contextlib import nullcontext
from pathlib import Path

from accelerate import PartialState
from rich.console import Console

from duolearn_cli.errors import Interrupted, UserError, printable
from duolearn_cli.files import appended
from duolearn_cli.model.loading import choose_device
from duolearn_cli.pipeline.laboratory import Laboratory
from duolearn_cli.pipeline.prepare import prepare
from duolearn_cli.pipeline.processes import end_with_parent
from duolearn_cli.pipeline.run_folder import Run
from duolearn_cli.pipeline.unlearn_run import unlearn_stage
from duolearn_cli.report.terminal import Display


def main(folder: str) -> int:
    end_with_parent()
    run, config = Run.open(Path(folder))
    # Without cpu=True, Accelerate takes a machine without an accelerator for a single process.
    state = PartialState(cpu=choose_device(config.runtime.device).type == "cpu")
    is_main = state.is_main_process
    display = Display() if is_main else Display(Console(file=io.StringIO()))
    try:
        with run.logged() if is_main else nullcontext():
            unlearn_stage(Laboratory.open(prepare(config), display, run, is_main=is_main))  # type: ignore[arg-type]
    except KeyboardInterrupt as error:
        state.destroy_process_group()
        return error.status if isinstance(error, Interrupted) else 130
    except Exception as error:
        _tell(error, run.folder, is_main)
        # Not by the usual way: the peers of a dead process may never answer when the group is left.
        os._exit(2 if isinstance(error, UserError) else 1)
    state.destroy_process_group()
    return 0


def _tell(error: Exception, folder: Path, is_main: bool) -> None:
    """Print what a user can fix, once; write all else into the run's log. The parent says where that is."""
    if isinstance(error, UserError) and is_main:
        print(f"error: {printable(str(error))}", file=sys.stderr, flush=True)
    elif not isinstance(error, UserError):
        with appended(folder / "log.txt") as file:
            file.write("".join(traceback.format_exception(error)))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
