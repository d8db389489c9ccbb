"""The part of the schema that describes what `duolearn benchmark` compares. See docs/benchmark.md."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from duolearn_cli.config.settings import setting

# Settings in which a method's tries may differ. Data, models and budget (passes, batch size) are the same for all.
SEARCHED = ("method.", "unlearn.learning_rate")


@dataclass
class BenchmarkConfig:
    """Methods, tuned with equally many tries on validation facts, then run with several seeds on test facts."""

    methods: list[str] = setting([], "options of method= to compare; empty: all there are", common=("benchmark",))
    trials: int = setting(
        6,
        "number of settings to try for each method: its defaults first, then random ones from its search space "
        "(docs/baselines.md)",
        minimum=1,
        common=("benchmark",),
    )
    search: dict[str, Any] = setting({}, "search spaces of your own: +benchmark.search.npo={method.beta:[0.05,0.5]}")
    seeds: list[int] = setting([0, 1, 2], "seeds of the runs that are reported", common=("benchmark",))
    learn_seeds: bool = setting(
        False, "learn a new target and gold for each of these seeds, so that the intervals include this variation too"
    )
    epochs: list[int] = setting(
        [], "numbers of passes over the forget items to report, one run for each; empty: unlearn.epochs"
    )


def list_problems(settings: BenchmarkConfig, methods: Mapping[str, str]) -> Iterator[str]:
    """Yield the problems of the settings that are lists; `settings` may be OmegaConf's view of them."""
    for name in settings.methods:
        if name not in methods:
            yield f"methods={name}: there is no such method; allowed: {', '.join(methods)}."
    for name, space in settings.search.items():
        yield from (f"search.{problem}" for problem in _space_problems(name, space, settings.methods or list(methods)))
    if not settings.seeds:
        yield "seeds=[]: one at least is needed; e.g. [0,1,2]."
    if any(seed < 0 for seed in settings.seeds):
        yield f"seeds={list(settings.seeds)}: allowed: 0 or more."
    if any(count < 1 for count in settings.epochs):
        yield f"epochs={list(settings.epochs)}: allowed: 1 or more."
    lists: dict[str, Sequence[object]] = {
        "methods": settings.methods,
        "seeds": settings.seeds,
        "epochs": settings.epochs,
    }
    for key, values in lists.items():
        if len(set(values)) < len(values):
            yield f"{key}={list(values)}: an entry is there twice; give each once."


def _space_problems(name: str, space: Any, compared: Sequence[str]) -> Iterator[str]:
    """Yield what is wrong with the search space of a method."""
    if name not in compared:
        yield f"{name}: there is no such method in this benchmark; allowed: {', '.join(compared)}."
    if not isinstance(space, Mapping) or not space:
        shown = dict(space) if isinstance(space, Mapping) else space
        yield f"{name}={shown}: allowed: values by setting, such as {{method.beta:[0.05,0.5]}}."
        return
    for key, values in space.items():
        if not str(key).startswith(SEARCHED):
            yield f"{name}: {key}: a method's tries share all else; allowed: method.* and unlearn.learning_rate."
        if not isinstance(values, Sequence) or isinstance(values, str) or not values:
            yield f"{name}: {key}={values}: allowed: a list of values, such as [0.05,0.5]."
        elif not all(isinstance(value, (bool, int, float, str)) for value in values):
            yield f"{name}: {key}={list(values)}: allowed: numbers and words."
        elif len(set(values)) < len(values):
            yield f"{name}: {key}={list(values)}: a value is there twice; give each once."
