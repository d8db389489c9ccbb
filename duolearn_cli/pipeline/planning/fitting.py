"""Whether unlearning fits into memory, and the micro-batch with which it does, before a model is loaded."""

from __future__ import annotations

import math

from duolearn_cli.errors import ConfigError
from duolearn_cli.pipeline.planning.machine import available
from duolearn_cli.pipeline.planning.memory import Memory, Planner
from duolearn_cli.pipeline.study import Study

GIBIBYTE = 2**30
# The error of predictions (docs/memory.md). A prediction above free memory by more cannot fit; by less, it may.
TOLERANCE = 0.15
SMALLER = "unlearn.checkpointing=true, a smaller model.adapter.rank, prompt.max_tokens or model"


def fit(study: Study) -> list[str]:
    """Check the memory that unlearning needs against the limit or the free memory. Return notes for the user.

    If there is a limit and no ``unlearn.micro_batch``, choose it and set it in the study's configuration.

    Raises:
        ConfigError: the predicted memory exceeds the limit, or the free memory by more than `TOLERANCE`.
    """
    planner, settings = Planner.of(study), study.config.unlearn
    if planner is None:
        unknown = "the model's sizes are not known: unlearn.memory_limit is ignored"
        return [unknown] if settings.memory_limit else []
    if settings.memory_limit is None:
        return _check_free_memory(planner)
    needed = planner.predict(settings.micro_batch)
    limit = int(settings.memory_limit * GIBIBYTE)
    if needed.total <= limit:
        return [f"unlearning is predicted to need {gib(needed.total)}; allowed: {gib(limit)}"]
    if settings.micro_batch is not None:
        raise ConfigError(
            f"unlearn.micro_batch={settings.micro_batch}: {described(needed)} are predicted; allowed: "
            f"unlearn.memory_limit={settings.memory_limit:g} GiB. Fix: {_fix(planner, limit)}."
        )
    size = largest(planner, limit)
    if size is None:
        least = planner.predict(1)
        raise ConfigError(
            f"unlearn.memory_limit={settings.memory_limit:g} GiB: {described(least)} are predicted even with one item "
            f"per forward; allowed: {_up(least.total):g} or more. Fix: that, or {SMALLER}."
        )
    # The same number of forwards with equal parts: a small last part would save no memory.
    total = sum(planner.units)
    settings.micro_batch = size = math.ceil(total / math.ceil(total / size))
    return [f"unlearn.micro_batch={size}: {gib(planner.predict(size).total)} are predicted; allowed: {gib(limit)}"]


def largest(planner: Planner, limit: int) -> int | None:
    """Return the largest micro-batch that is predicted to fit into `limit` bytes, None if not even one item does."""
    # The search by halves relies on a prediction that does not fall when the micro-batch grows.
    fits, fails = 0, sum(planner.units) + 1
    while fails - fits > 1:
        size = (fits + fails) // 2
        if planner.predict(size).total <= limit:
            fits = size
        else:
            fails = size
    return fits or None


def _check_free_memory(planner: Planner) -> list[str]:
    """Without a limit: refuse a run that clearly cannot fit, and return a warning if it may not."""
    free, settings = available(planner.on_gpu), planner.config.unlearn
    if free is None:
        return []
    # Processes share the memory of the machine, but each has its own GPU.
    free = free if planner.on_gpu else free // planner.config.runtime.num_processes
    needed = planner.predict(settings.micro_batch)
    if needed.total <= free:
        return []
    prediction = f"{described(needed)} are predicted for unlearning, and {gib(free)} are free"
    # On a GPU, predictions were never compared with measurements: there only weights that do not fit are certain.
    certain = needed.parts["model"] > free if planner.on_gpu else needed.total > (1 + TOLERANCE) * free
    if certain:
        raise ConfigError(
            f"{prediction} {'on the GPU' if planner.on_gpu else 'on this machine'}. Fix: {_fix(planner, free)}; or, to "
            f"try it anyway, unlearn.memory_limit={_up(needed.total):g}."
        )
    return [f"{prediction}: it may not fit. Fix: {_fix(planner, free)}"]


def _fix(planner: Planner, limit: int) -> str:
    size = largest(planner, limit)
    return SMALLER if size is None else f"unlearn.micro_batch={size}, which needs {gib(planner.predict(size).total)}"


def described(memory: Memory) -> str:
    """Return the total and the three largest parts, for a message."""
    parts = sorted(memory.parts.items(), key=lambda part: -part[1])[:3]
    return f"{gib(memory.total)} ({', '.join(f'{name} {gib(size)}' for name, size in parts)})"


def gib(size: int) -> str:
    """Format bytes in GiB."""
    return f"{size / GIBIBYTE:.2f} GiB"


def _up(size: int) -> float:
    """Convert bytes to GiB, rounded up to two digits so that the limit suffices."""
    return -(-size * 100 // GIBIBYTE) / 100
