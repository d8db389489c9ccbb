"""The part of the schema that says what `duolearn benchmark` compares. See docs/benchmark.md."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from duolearn_cli.fields import setting


@dataclass
class BenchmarkConfig:
    """Methods, tuned with equally many tries on validation facts, then run with several seeds on test facts."""

    methods: list[str] = field(
        default_factory=list, metadata={"help": "options of method= to compare; empty: all there are"}
    )
    trials: int = setting(
        6, "tries of each method: its defaults, then draws from its search space (docs/baselines.md)", minimum=1
    )
    seeds: list[int] = field(
        default_factory=lambda: [0, 1, 2], metadata={"help": "seeds of the runs that are reported"}
    )
    epochs: list[int] = field(
        default_factory=list,
        metadata={"help": "passes over the forget items to report, each a run of its own; empty: unlearn.epochs"},
    )


def list_problems(settings: BenchmarkConfig, methods: Mapping[str, str]) -> Iterator[str]:
    """Yield the problems of the settings that are lists; `settings` may be OmegaConf's view of them."""
    for name in settings.methods:
        if name not in methods:
            yield f"methods={name}: there is no such method; allowed: {', '.join(methods)}."
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
