"""Whether unlearning fits into memory, and the micro-batch with which it does: known before a model is loaded."""

from __future__ import annotations

import math

from duolearn_cli.errors import ConfigError
from duolearn_cli.pipeline.planning.machine import available
from duolearn_cli.pipeline.planning.memory import Memory, Planner
from duolearn_cli.pipeline.study import Study

GIBIBYTE = 2**30
# Predictions are this good (docs/memory.md): what exceeds free memory by more cannot fit, by less it may.
TOLERANCE = 0.15
SMALLER = "unlearn.checkpointing=true, a smaller model.adapter.rank, prompt.max_tokens or model"


def fit(study: Study) -> list[str]:
    """Choose the micro-batch where there is a limit and none is set, in place; return what there is to say about it.

    Raises:
        ConfigError: the limit, or what is free, is too little by prediction.
    """
    planner, settings = Planner.of(study), study.config.unlearn
    if planner is None:
        unknown = "the model's sizes are not known: unlearn.memory_limit is not looked at"
        return [unknown] if settings.memory_limit else []
    if settings.memory_limit is None:
        return _beside_free_memory(planner)
    needed = planner.predict(settings.micro_batch)
    limit = int(settings.memory_limit * GIBIBYTE)
    if needed.total <= limit:
        return [f"unlearning is predicted to need {gib(needed.total)}, of {gib(limit)} allowed"]
    if settings.micro_batch is not None:
        raise ConfigError(
            f"unlearn.micro_batch={settings.micro_batch}: {told(needed)} are predicted; allowed: "
            f"unlearn.memory_limit={settings.memory_limit:g} GiB. Mend: {_mend(planner, limit)}."
        )
    size = largest(planner, limit)
    if size is None:
        least = planner.predict(1)
        raise ConfigError(
            f"unlearn.memory_limit={settings.memory_limit:g} GiB: {told(least)} are predicted even with one item a "
            f"forward; allowed: {_up(least.total):g} or more. Mend: that, or {SMALLER}."
        )
    # As many forwards, of equal size.
    total = sum(planner.units)
    settings.micro_batch = size = math.ceil(total / math.ceil(total / size))
    return [f"unlearn.micro_batch={size}: {gib(planner.predict(size).total)} are predicted, of {gib(limit)} allowed"]


def largest(planner: Planner, limit: int) -> int | None:
    """The largest micro-batch that is predicted to fit into `limit` bytes; None where not even one item does."""
    fits, fails = 0, sum(planner.units) + 1
    while fails - fits > 1:
        size = (fits + fails) // 2
        if planner.predict(size).total <= limit:
            fits = size
        else:
            fails = size
    return fits or None


def _beside_free_memory(planner: Planner) -> list[str]:
    """Without a limit: refuse what clearly cannot fit, say what may not."""
    free, settings = available(planner.on_gpu), planner.config.unlearn
    if free is None:
        return []
    # Processes share the machine's memory, and each has a GPU of its own.
    free = free if planner.on_gpu else free // planner.config.runtime.num_processes
    needed = planner.predict(settings.micro_batch)
    if needed.total <= free:
        return []
    found = f"{told(needed)} are predicted for unlearning, and {gib(free)} are free"
    # On a GPU the prediction was never compared with a measurement: only weights that do not fit are certain.
    certain = needed.parts["model"] > free if planner.on_gpu else needed.total > (1 + TOLERANCE) * free
    if certain:
        raise ConfigError(
            f"{found} {'on the GPU' if planner.on_gpu else 'on this machine'}. Mend: {_mend(planner, free)}; or, to "
            f"try it all the same, unlearn.memory_limit={_up(needed.total):g}."
        )
    return [f"{found}: it may not fit. Mend: {_mend(planner, free)}"]


def _mend(planner: Planner, limit: int) -> str:
    size = largest(planner, limit)
    return SMALLER if size is None else f"unlearn.micro_batch={size}, for which {gib(planner.predict(size).total)} are"


def told(memory: Memory) -> str:
    """The sum and its largest parts."""
    parts = sorted(memory.parts.items(), key=lambda part: -part[1])[:3]
    return f"{gib(memory.total)} ({', '.join(f'{name} {gib(size)}' for name, size in parts)})"


def gib(size: int) -> str:
    """Bytes in GiB."""
    return f"{size / GIBIBYTE:.2f} GiB"


def _up(size: int) -> float:
    """GiB, rounded up so that it is enough."""
    return -(-size * 100 // GIBIBYTE) / 100
