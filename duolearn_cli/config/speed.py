"""The part of the schema that describes what `duolearn bench` (or `speed`) measures. See docs/speed.md."""

from __future__ import annotations

from dataclasses import dataclass

from duolearn_cli.config.settings import setting


@dataclass
class BenchConfig:
    """What steps and evaluation cost beside plain ways of doing the same."""

    only: list[str] = setting(
        [],
        "variants, or families of them, to measure beside what they are compared with; empty: all. "
        "--dry-run lists them",
        common=("bench",),
    )
    repeats: int = setting(7, "interleaved repeats, after rounds that warm up", minimum=1, common=("bench",))
    memory: bool = setting(False, "peak memory too, of a fresh process for each variant", common=("bench",))
    vocabulary: int | None = setting(
        None, "tokens of the vocabulary, with random rows for those that the model lacks; empty: the model's", minimum=2
    )
    evaluate_items: int = setting(64, "items to evaluate, half of them to forget", minimum=2)
    compare: str | None = setting(
        None, "an earlier bench.json: fail where a ratio has become worse than tolerated", common=("bench",)
    )
    tolerance: float = setting(0.25, "share by which a ratio may exceed the earlier one", minimum=0)
    goals: bool = setting(False, "fail where a goal is missed that applies to this model")
