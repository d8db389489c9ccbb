"""General ability, measured by lm-evaluation-harness (the extra `eval`): its command and its result file."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from duolearn_cli.errors import RunError
from duolearn_cli.files import read_json

# Medical knowledge other than the data set's own questions, and common sense that no forget target should affect.
TASKS = "medqa_4options,pubmedqa,arc_easy,hellaswag"


def command(location: str, arguments: Mapping[str, Any], adapter: Path | None) -> str:
    """The shell command that runs the harness on a model.

    Args:
        location: the folder or hub id from which transformers loads the model.
        arguments: the other arguments of `from_pretrained`; the harness takes strings, numbers and booleans only.
        adapter: the adapter's folder, if the model has one.
    """
    model_args = {"pretrained": location, **{k: v for k, v in arguments.items() if isinstance(v, str | int | bool)}}
    if adapter:
        model_args["peft"] = str(adapter)
    model = ",".join(f"{key}={value}" for key, value in model_args.items())
    words = ["lm_eval", "--model", "hf", "--model_args", model, "--tasks", TASKS, "--output_path", "lm_eval"]
    return shlex.join(words)


def read_results(path: Path) -> list[dict[str, Any]]:
    """Read a result file of the harness.

    Returns:
        One row for each metric of each task, with ``task``, ``metric``, ``value`` and ``stderr`` (None if not a
        number).

    Raises:
        RunError: the file cannot be read or has no results.
    """
    try:
        results = read_json(path)["results"]
        rows = [
            {
                "task": task,
                "metric": name.partition(",")[0],
                "value": float(value),
                # Names are "metric,filter"; the standard error of "acc,none" is "acc_stderr,none".
                "stderr": _number(metrics.get(name.replace(",", "_stderr,", 1))),
            }
            for task, metrics in results.items()
            for name, value in metrics.items()
            if "_stderr" not in name and isinstance(value, int | float) and "," in name
        ]
    except (RunError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise RunError(
            f"evaluation.lm_eval={path}: not a result file of lm-evaluation-harness ({error}); give the "
            "results_*.json that `lm_eval --output_path` wrote."
        ) from error
    if not rows:
        raise RunError(f"evaluation.lm_eval={path}: no task in it has a number; give a finished result file.")
    return rows


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) else None
