"""What a tracker is given of a run: settings, values of steps, final measures, verdict. No text of any item."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, TypeGuard, cast

from omegaconf import DictConfig, OmegaConf

from duolearn_cli.config.components import dataset_name
from duolearn_cli.config.schema import RunConfig
from duolearn_cli.evaluation.measures import MEASURES

# Groups of settings that determine a result. Others name users, keys, folders or what is forgotten in detail.
GROUPS = (
    *("seed", "ablation", "model", "method", "privacy", "prompt", "split", "imperfect", "labels", "learn", "unlearn"),
    *("evaluation", "verdict", "runtime"),
)
# Longer texts are no settings that one would compare runs by, and MLflow takes no parameter above 6,000 characters.
LONGEST = 200

Value = float | int | str | bool


def settings(config: RunConfig) -> dict[str, Value]:
    """The settings of a run, flat. Values with a slash are left out: they are paths on the user's machine."""
    plain = cast(dict[str, Any], OmegaConf.to_container(cast(DictConfig, config), resolve=True))
    names = {
        "command": config.command,
        "forget": config.forget.name,
        "dataset": dataset_name(config.dataset),
        "hierarchy": str(config.hierarchy.name),
        "name": config.name,
        "tags": ", ".join(config.tags),
    }
    flat = names | dict(leaf for group in GROUPS for leaf in _leaves(group, plain[group]))
    return {key: value for key, value in flat.items() if _is_shown(value)}


def _leaves(key: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _leaves(f"{key}.{name}", inner)
    elif isinstance(value, list):
        yield key, ", ".join(map(str, value))
    else:
        yield key, value


def _is_shown(value: Any) -> bool:
    if isinstance(value, str):
        return 0 < len(value) <= LONGEST and not any(mark in value for mark in "/\\~")
    return isinstance(value, bool | int | float)


def of_step(line: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a line of history.jsonl, as ``STAGE/NAME``. Lists by layer stay in history.jsonl alone."""
    named = {name: value for name, value in line.items() if name not in ("stage", "step")}
    return {f"{line['stage']}/{name}": float(value) for name, value in named.items() if _is_number(value)}


def final(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Every measure of every model with its 95 % interval, as ``final/MODEL/MEASURE``, ``.../low`` and ``.../high``."""
    values = {
        f"final/{model}/{key}{end}": (measure.find(of_model) or {}).get(field)
        for model, of_model in metrics["models"].items()
        for key, measure in MEASURES.items()
        for field, end in (("value", ""), ("low", "/low"), ("high", "/high"))
    }
    costs = {f"cost/{name}": value for name, value in metrics["cost"].items()}
    return {key: float(value) for key, value in (values | costs).items() if _is_number(value)}


def verdict(metrics: Mapping[str, Any]) -> dict[str, str]:
    """The sentence of the verdict and the state of each light; empty if nothing was unlearned."""
    found = metrics.get("verdict")
    if not found:
        return {}
    return {"verdict": found["sentence"]} | {f"verdict/{one['key']}": one["state"] for one in found["lights"]}


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
