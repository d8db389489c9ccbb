"""What a benchmark runs: a method's tries, and the runs with the settings that were chosen. Known from its settings."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from omegaconf import DictConfig, OmegaConf

from duolearn_cli.config.explain import key_of
from duolearn_cli.errors import ConfigError
from duolearn_cli.methods.base import Search

Value = float | str
# Set by the benchmark for each of its runs.
OWN = ("seed", "benchmark", "output_dir", "run_dir", "resume", "dry_run")
# What may run code of others: of a benchmark that is resumed it counts only where the command line repeats it.
TRUST = ("plugins", "model.trust_remote_code", "hydra")


@dataclass(frozen=True, slots=True)
class Job:
    """One run of a benchmark: its subfolder, and the settings in which it differs from the others.

    `learns` says that its seed is that of learning target and gold, too.
    """

    folder: PurePosixPath
    method: str
    settings: Mapping[str, Value]
    part: str
    seed: int
    epochs: int | None = None
    quick: tuple[str, ...] = ()
    learns: bool = False

    @property
    def overrides(self) -> list[str]:
        """What the command line of this run says beside what all runs have in common."""
        chosen = [f"{key}={value}" for key, value in self.settings.items()]
        passes = [f"unlearn.epochs={self.epochs}"] if self.epochs is not None else []
        learning = [f"learn.seed={self.seed}"] if self.learns else []
        return [
            f"method={self.method}",
            *chosen,
            *passes,
            f"seed={self.seed}",
            *learning,
            f"evaluation.part={self.part}",
            *self.quick,
        ]


def common(overrides: Sequence[str]) -> list[str]:
    """The benchmark's overrides that its runs share: all but those that are its own to set.

    Raises:
        ConfigError: the command line sets what differs from run to run, other than a seed for the tries.
    """
    kept = []
    for text in overrides:
        key = key_of(text)
        if key == "ablation" or is_of(key, "method"):
            raise ConfigError(f"{text}: a benchmark compares methods as they are; name them: benchmark.methods=[...].")
        if key == "evaluation.part":
            raise ConfigError(f"{text}: a benchmark chooses on validation facts and reports on test facts.")
        if not any(is_of(key, own) for own in OWN):
            kept.append(text)
    return kept


def granted(saved: Sequence[str], given: Sequence[str]) -> list[str]:
    """Return the overrides of a resumed benchmark: the `saved` ones, but trust in code only if it is `given` again."""
    kept = [text for text in saved if not any(is_of(key_of(text), one) for one in TRUST)]
    return kept + [text for text in given if any(is_of(key_of(text), one) for one in TRUST)]


def is_of(key: str, group: str) -> bool:
    """Whether a setting is `group` or lies in it."""
    return key == group or key.startswith(f"{group}.")


def tries(config: DictConfig, search: Search, count: int, fixed: Sequence[str], seed: int) -> list[dict[str, Value]]:
    """Settings of a method's tries: its defaults (nothing set), then draws without repetition from its search space.

    Args:
        config: the composed configuration with the method's defaults, which are not drawn again.
        fixed: overrides of all runs; what they set is not searched.
        seed: of the draws.

    A space with fewer combinations than `count` is tried whole.
    """
    given = set(map(key_of, fixed))
    space = {key: values for key, values in search.items() if key not in given}
    usual = {key: OmegaConf.select(config, key) for key in space}
    combinations = [dict(zip(space, values, strict=True)) for values in itertools.product(*space.values())]
    others = [one for one in combinations if one != usual]
    # All are put in an order, so that more tries begin with those of fewer.
    random.Random(f"{seed}:search:{config.method._target_}").shuffle(others)
    return [{}, *others[: count - 1]]


def trial(method: str, number: int, settings: Mapping[str, Value], seed: int) -> Job:
    """A try, scored on validation facts alone, without answers in the model's own words or a report."""
    folder = PurePosixPath("trials", method, str(number))
    return Job(
        folder, method, settings, "validation", seed, quick=("evaluation.generate_items=0", "evaluation.report=false")
    )


def reported(
    method: str, settings: Mapping[str, Value], seeds: Sequence[int], epochs: Sequence[int], learns: bool = False
) -> Iterator[Job]:
    """The runs that are reported: every seed, at every number of passes."""
    for count, seed in itertools.product(epochs, seeds):
        name = f"epochs-{count}-seed-{seed}"
        yield Job(PurePosixPath("runs", method, name), method, settings, "test", seed, count, learns=learns)
