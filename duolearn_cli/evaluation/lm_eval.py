"""General ability by lm-evaluation-harness (an optional extra): the command to run, and what its result file says."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from duolearn_cli.errors import RunError

# Medical knowledge beside the data set's own questions, and common sense that no forget target should touch.
TASKS = "medqa_4options,pubmedqa,arc_easy,hellaswag"


def command(location: str, arguments: Mapping[str, Any], adapter: Path | None) -> str:
    """The shell command that runs the harness on a model with its adapter.

    `location` and `arguments` are what transformers loads the model with.
    """
    given = {"pretrained": location, **{k: v for k, v in arguments.items() if isinstance(v, str | int | bool)}}
    if adapter:
        given["peft"] = str(adapter)
    model = ",".join(f"{key}={value}" for key, value in given.items())
    words = ["lm_eval", "--model", "hf", "--model_args", model, "--tasks", TASKS, "--output_path", "lm_eval"]
    return shlex.join(words)


def read_results(path: Path) -> list[dict[str, Any]]:
    """Rows of ``task``, ``metric``, ``value``, ``stderr`` from a result file of the harness.

    Raises:
        RunError: it cannot be read, or holds no results, with the mend.
    """
    try:
        results = json.loads(path.read_text(encoding="utf-8"))["results"]
        rows = [
            {
                "task": task,
                "metric": name.partition(",")[0],
                "value": float(value),
                "stderr": _number(found.get(name.replace(",", "_stderr,", 1))),
            }
            for task, found in results.items()
            for name, value in found.items()
            if "_stderr" not in name and isinstance(value, int | float) and "," in name
        ]
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise RunError(
            f"evaluation.lm_eval={path}: no result file of lm-evaluation-harness ({error}); give the results_*.json "
            "that `lm_eval --output_path` wrote."
        ) from error
    if not rows:
        raise RunError(f"evaluation.lm_eval={path}: it holds no task with a number; give a finished result file.")
    return rows


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) else None
