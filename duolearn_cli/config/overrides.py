"""The overrides of a command line: which ones are refused, and which values a sweep gives each key."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from duolearn_cli.config.explain import NEW_ENTRIES
from duolearn_cli.config.words import ADDED_GROUPS
from duolearn_cli.errors import ConfigError
from duolearn_cli.files import groups

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override

MAX_CHECKED_JOBS = 32
MAX_JOBS = 10_000
MAX_BRACKETS = 60
# Hydra's own settings that have an effect here. Those of SWEEP_ONLY have one only in a sweep.
SWEEP_ONLY = ("hydra.sweep.dir", "hydra.sweep.subdir", "hydra.sweeper", "hydra.launcher")
EFFECTIVE = (
    *SWEEP_ONLY,
    *("hydra.job_logging", "hydra.hydra_logging", "hydra.callbacks", "hydra.verbose"),
    *("hydra.job.name", "hydra.job.env_set", "hydra.job.env_copy", "hydra.job.config"),
)
NAMES = ", ".join(("hydra.run.dir", *EFFECTIVE))
# Why Hydra's other settings have no effect here, or do harm, and what to give instead.
REASONS = {
    "hydra.output_subdir": "a run folder has its own config.yaml and run.json; leave it out.",
    "hydra.job.chdir": "paths count from the folder that duolearn was started in, in every job; leave it out.",
    "hydra.mode": "the flag -m asks for a sweep; leave this out.",
    "hydra.searchpath": "groups of your own are given with --config-dir FOLDER.",
    "hydra.help": "duolearn COMMAND --help has a text of its own; leave it out.",
    "hydra.hydra_help": "duolearn COMMAND --help has a text of its own; leave it out.",
}
_RUN_DIR = re.compile(r"\+{0,2}hydra\.run\.dir=")
# One word is enough where a list of one is meant.
_ONE_TRACKER = re.compile(r"track=([a-z]+)")


def with_own_names(args: Sequence[str]) -> list[str]:
    """Read ``hydra.run.dir=FOLDER`` as ``run_dir=FOLDER`` and ``track=NAME`` as ``track=[NAME]``.

    pipeline/run_folder.py makes run folders, not Hydra.
    """
    return [_own(arg) for arg in args]


def _own(arg: str) -> str:
    if tracker := _ONE_TRACKER.fullmatch(arg):
        return f"track=[{tracker[1]}]"
    return _RUN_DIR.sub("run_dir=", arg) if _RUN_DIR.match(arg) else arg


def refuse_deep(overrides: Sequence[str]) -> None:
    """Raise ConfigError for brackets so deep that Hydra's parser, which calls itself, would overflow."""
    for text in overrides:
        if text.count("[") + text.count("{") > MAX_BRACKETS:
            raise ConfigError(f"{text[:80]}...: more than {MAX_BRACKETS} brackets; give a shorter value.")


def parsed_overrides(overrides: Sequence[str]) -> list[Override]:
    """Parse all overrides by Hydra's grammar. Raises ConfigError for one that does not follow it."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        return OverridesParser.create().parse_overrides(list(overrides))
    except HydraException as error:
        raise ConfigError(" ".join(str(error).split())) from error


def problems(overrides: Sequence[Override], multirun: bool) -> Iterator[str]:
    """Yield what Hydra would accept silently: keys or values that are given twice, settings without an effect here."""
    if endless := list(_too_many(overrides)):  # the checks below would list every value
        yield from endless
        return
    # An override that is refused anyway gets one message, not two.
    yield from _given_twice([override for override in overrides if not _is_refused(override)])
    yield from _listed_twice(overrides) if multirun else ()
    for override in overrides:
        key = override.key_or_group
        if override.is_hydra_override():
            yield from _hydra_problems(override, multirun)
        elif _is_refused(override):
            yield f"{override.input_line}: nothing can be taken out of a configuration; leave it out, or give a value."
        elif key == "run_dir" and multirun:
            yield f"{override.input_line}: the jobs of a sweep have a folder each; give hydra.sweep.dir=FOLDER for all."
    yield from _endless(overrides)


def _too_many(overrides: Sequence[Override]) -> Iterator[str]:
    """Yield ranges that list more jobs than anyone waits for, and then all sweeps whose product does."""
    jobs = 1
    for override in overrides:
        count = _count(override)
        if count > MAX_JOBS:
            yield f"{override.input_line}: {count:,} jobs; a sweep has at most {MAX_JOBS:,}."
            return
        jobs *= max(count, 1)
    if jobs > MAX_JOBS:
        swept = " ".join(str(override.input_line) for override in overrides if override.is_discrete_sweep())
        yield f"{swept}: {jobs:,} jobs together; a sweep has at most {MAX_JOBS:,}."


def _count(override: Override) -> int:
    """How many values an override lists; 1 for one that is no sweep, or a pattern."""
    from hydra.core.override_parser.types import ChoiceSweep, RangeSweep

    value: Any = override.value()
    if isinstance(value, RangeSweep) and override.is_discrete_sweep():
        start, stop, step = value.start or 0, value.stop or 0, value.step
        if not step:
            return MAX_JOBS + 1  # it never ends
        return max(0, math.ceil((stop - start) / step))
    return len(value.list) if isinstance(value, ChoiceSweep) else 1


def _is_refused(override: Override) -> bool:
    """Whether the override deletes a setting that has to stay."""
    return (
        override.is_delete() and not override.is_hydra_override() and not override.key_or_group.startswith(NEW_ENTRIES)
    )


def _listed_twice(overrides: Sequence[Override]) -> Iterator[str]:
    """Yield values that a sweep lists more than once: they would run the same job again.

    The names that a pattern (``glob``) stands for are distinct.
    """
    for override in overrides:
        if not override.is_discrete_sweep() or _is_pattern(override):
            continue
        counts = Counter(override.sweep_string_iterator())
        repeated = [value for value, count in counts.items() if count > 1]
        if repeated:
            key, distinct = override.get_key_element(), list(counts)
            fix = f"-m {key}={','.join(distinct)}" if len(distinct) > 1 else f"{key}={distinct[0]}"
            said = f"{override.input_line}: {', '.join(repeated)} is listed twice"
            yield f"{said}, which is the same job again; give {fix}."


def _is_pattern(override: Override) -> bool:
    from hydra.core.override_parser.types import Glob

    return isinstance(override._value, Glob)  # pyright: ignore[reportPrivateUsage]


def _given_twice(overrides: Sequence[Override]) -> Iterator[str]:
    """Yield keys with two values: Hydra takes the last one. A deleted key (``~key``) may get a new value."""
    seen: dict[str, Override] = {}
    for override in overrides:
        for key in _keys(override):
            before = seen.get(key)
            if before and not (before.is_delete() and not override.is_delete()):
                both = f"{before.input_line} and {override.input_line}"
                yield f"{key} is given twice: {both}; {_one_of(before, override)}."
            seen[key] = override


def _keys(override: Override) -> list[str]:
    """Return the keys that an override sets: ``split={seed: 1}`` sets split.seed."""
    place = f"@{override.package}" if override.package is not None else ""
    value: Any = override.value() if not override.is_sweep_override() else getattr(override.value(), "list", None)
    values = value if override.is_sweep_override() and isinstance(value, list) else [value]
    return list(dict.fromkeys(key + place for one in values for key in _leaves(override.key_or_group, one)))


def _leaves(key: str, value: Any) -> Iterator[str]:
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from _leaves(f"{key}.{name}", inner)
    else:
        yield key


def _one_of(first: Override, second: Override) -> str:
    """Return the fix for two values: leave one out or, if both are plain values, sweep over all of them."""
    values = [*_plain_values(first), *_plain_values(second)]
    if not (_plain_values(first) and _plain_values(second)) or first.key_or_group != second.key_or_group:
        return "leave one of them out"
    distinct = list(dict.fromkeys(values))
    if len(distinct) == 1:
        return "leave one of them out"
    sign = "+" * (first.key_or_group in ADDED_GROUPS)
    return f"leave one of them out, or sweep over all: -m {sign}{first.key_or_group}={','.join(distinct)}"


def _plain_values(override: Override) -> list[str]:
    from hydra.core.override_parser.types import ChoiceSweep

    value: Any = override.value()
    values = value.list if isinstance(value, ChoiceSweep) else [value]
    if override.is_delete() or not all(isinstance(one, str | int | float) for one in values):
        return []
    return override.get_value_string().split(",") if _is_simple(override) else []


def _is_simple(override: Override) -> bool:
    """Whether the value consists of words and commas: no quotes, no functions, no interpolations."""
    return re.fullmatch(r"[\w.+-]+(,[\w.+-]+)*", override.get_value_string()) is not None


def _hydra_problems(override: Override, multirun: bool) -> Iterator[str]:
    key, said = override.key_or_group.replace("/", "."), override.input_line
    if key == "hydra.run.dir" or key == "hydra.run":
        yield f"{said}: give hydra.run.dir=FOLDER for a run in exactly that folder."
        return
    if not any(_is_in(key, known) for known in EFFECTIVE):
        reason = next((why for known, why in REASONS.items() if _is_in(key, known)), None)
        yield f"{said}: {reason or f'it has no effect here; what has: {NAMES}.'}"
    elif not multirun and any(_is_in(key, known) for known in SWEEP_ONLY):
        yield f"{said}: only a sweep has this; add -m, or leave it out."


def _is_in(key: str, known: str) -> bool:
    return key == known or key.startswith(f"{known}.")


def _endless(overrides: Sequence[Override]) -> Iterator[str]:
    """Yield intervals, for a sweeper that needs listed values. Hydra reports them only after all other checks."""
    if any(override.key_or_group == "hydra/sweeper" for override in overrides):
        return
    for override in overrides:
        if override.is_interval_sweep():
            value: Any = override.value()
            yield (
                f"{override.input_line}: this sweeper tries values that are listed; give "
                f"{override.get_key_element()}={value.start:g},{value.end:g} or another hydra/sweeper, which draws."
            )


def choices(overrides: Sequence[Override], extra: Path | None) -> list[list[str]]:
    """Return the distinct values that a sweep gives each key; of a very long list, the first ones and the last.

    Raises:
        ConfigError: a sweep has no value, or has a pattern of names for a key that is no group.
    """
    swept = []
    for override in overrides:
        if not override.is_sweep_override():
            swept.append([str(override.input_line)])
        elif override.is_discrete_sweep():
            key = override.get_key_element()
            values = list(dict.fromkeys(f"{key}={value}" for value in _values(override, extra)))
            if not values:
                raise ConfigError(f"{override.input_line}: this sweep has no value{_options(override, extra)}.")
            swept.append(values if len(values) <= MAX_CHECKED_JOBS else [*values[: MAX_CHECKED_JOBS - 1], values[-1]])
    return swept


def _values(override: Override, extra: Path | None) -> Iterator[str]:
    pattern: Any = override.value()
    if not _is_pattern(override):
        yield from override.sweep_string_iterator()
        return
    known = groups(extra)
    if override.key_or_group not in known:
        raise ConfigError(
            f"{override.input_line}: glob chooses among the options of a group; allowed: {', '.join(known)}."
        )
    yield from pattern.filter(sorted(known[override.key_or_group]))


def _options(override: Override, extra: Path | None) -> str:
    names = groups(extra).get(override.key_or_group)
    return f"; {override.key_or_group} has: {', '.join(names)}" if names else ""
