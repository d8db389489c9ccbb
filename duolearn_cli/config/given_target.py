"""What a configuration says about the target: learned here, or given by the user or by a chain of requests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from omegaconf import DictConfig

from duolearn_cli.config.schema import RunConfig


def target_is_given(config: RunConfig) -> bool:
    """Whether the base model itself knows what is forgotten: the user's own model, or a merged one of a chain."""
    return config.learn.skip or config.merged


def base_is_target(config: RunConfig) -> bool:
    """Whether the target is the base model itself: nothing is learned and no adapter is given."""
    return target_is_given(config) and not config.adapter


def given_models(config: RunConfig) -> tuple[str, ...]:
    """Return the models that the unlearned one is compared with, out of ``base``, ``target`` and ``gold``."""
    is_learned = not config.learn.skip and (not config.merged or bool(config.origin))
    is_there = {
        "base": not base_is_target(config),
        "target": True,
        "gold": is_learned or config.learn.gold is not None,
    }
    return tuple(name for name, is_one in is_there.items() if is_one)


def list_problems(config: DictConfig) -> Iterator[str]:
    """Yield settings that do not go together with how the target comes to be."""
    learn = config.learn
    if learn.gold is not None and not Path(learn.gold).expanduser().is_dir():
        yield f"learn.gold={learn.gold}: there is no such folder; give that of an adapter or of a model."
    if not learn.skip:
        if learn.gold is not None:
            yield f"learn.gold={learn.gold}: gold is learned here; give learn.skip=true too, or leave it out."
        if learn.known:
            yield "learn.known=true: a target that is learned here knows its facts; give learn.skip=true too."
        return
    if learn.known and config.privacy.epsilon is not None:
        yield (
            f"learn.known=true: it looks at raw answers, outside privacy={config.privacy.name}; allowed with it: false."
        )
    if config.command in ("learn", "retrain"):
        yield f"learn.skip=true: `duolearn {config.command}` does nothing but learn; use `duolearn unlearn`."
    if config.privacy.learn_epsilon is not None:
        yield (
            f"privacy.learn_epsilon={config.privacy.learn_epsilon}: with learn.skip=true nothing is learned, and no "
            "guarantee can cover how the given model was trained; leave it out. privacy.epsilon covers unlearning."
        )
    if config.benchmark.learn_seeds:
        yield "benchmark.learn_seeds=true: with learn.skip=true nothing is learned; allowed: false."
    yield from _stops(config)


def _stops(config: DictConfig) -> Iterator[str]:
    """Yield an early end at a model that is not there."""
    stop = config.unlearn.stop
    if stop == "gold" and config.learn.gold is None:
        yield "unlearn.stop=gold: with learn.skip=true there is no gold; give learn.gold=FOLDER, or unlearn.stop=none."
    if stop == "base" and not (config.adapter or config.after):
        yield "unlearn.stop=base: with learn.skip=true the base is the target itself; allowed: none."
