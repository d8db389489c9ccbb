"""The part of the schema that describes what `duolearn bench` (or `speed`) measures. See docs/speed.md."""

from __future__ import annotations

from dataclasses import dataclass

from duolearn_cli.config.settings import setting


@dataclass
class BenchConfig:
    """What steps and evaluation cost beside plain ways of doing the same."""

    only: list[str] = setting(
        [],
        "variants, or families of variants, to measure; their references are measured too. Empty: all. --dry-run "
        "lists them",
        common=("bench",),
    )
    repeats: int = setting(
        7, "number of timed repeats, interleaved between variants, after warm-up rounds", minimum=1, common=("bench",)
    )
    memory: bool = setting(False, "measure peak memory too, in a new process for each variant", common=("bench",))
    vocabulary: int | None = setting(
        None,
        "size of the vocabulary in tokens; the model gets random rows for the tokens it lacks. Empty: the model's own",
        minimum=2,
    )
    evaluate_items: int = setting(64, "number of items to evaluate; half of them are forget items", minimum=2)
    compare: str | None = setting(
        None,
        "an earlier bench.json; the command fails if a ratio is worse than there by more than bench.tolerance",
        common=("bench",),
    )
    tolerance: float = setting(0.25, "how far a ratio may exceed the earlier one, as a share of it", minimum=0)
    goals: bool = setting(False, "fail if a goal that applies to this model is missed")
