"""The model that a run begins with or scores: what it has forgotten, as far as the run that left it tells."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from omegaconf import DictConfig, OmegaConf

from duolearn_cli.cli.commands.common import check_adapter
from duolearn_cli.cli.positional import quoted_value
from duolearn_cli.concepts.hierarchy import Hierarchy
from duolearn_cli.config.schema import RunConfig
from duolearn_cli.data.earlier import covers, presets, spec_of, words_of
from duolearn_cli.errors import ConfigError, RunError, nearest
from duolearn_cli.files import groups
from duolearn_cli.pipeline.prepare import load_hierarchy
from duolearn_cli.pipeline.run_folder import Run
from duolearn_cli.pipeline.study import Study


def check_beginning(config: DictConfig, config_dir: str | None) -> list[str]:
    """Return what the model to begin with has forgotten, as its run tells; see `check_words`.

    Refuse an adapter to begin with unless it is said what it has forgotten, and its run does not contradict.

    Raises:
        RunError: the folder holds no adapter, or what it has forgotten is not said or contradicted; with the mend.
    """
    folder = Path(config.adapter)
    check_adapter(folder)
    hierarchy = load_hierarchy(cast(RunConfig, config))
    told = told_by(folder, hierarchy)
    if config.forgotten is None:
        raise RunError(_question(folder, told))
    expand(config, config_dir)
    missing = [word for word in told or [] if not _is_covered(word, config.forgotten, hierarchy)]
    if missing:
        # A word that stands for nothing and is nearly a missing one is a slip: it would be refused next.
        meant = [word for word in config.forgotten if covers(word, hierarchy) or not nearest(word, missing)]
        raise RunError(
            f"{as_override(config.forgotten)}: the run that left adapter={folder} has forgotten {', '.join(missing)} "
            f"too, which would be learned again; allowed: {as_override([*meant, *missing])}."
        )
    return told or []


def check_words(study: Study, told: Sequence[str]) -> None:
    """Refuse words of `forgotten` that stand for nothing here, but for those that the model's run has `told`.

    Raises:
        ConfigError: with the nearest name.
    """
    for word in study.forgotten.unknown:
        if word not in told:
            labels = sorted({item.subject for item in study.items if item.subject})
            hint = study.hierarchy.suggestion(word, [*presets(), *labels])
            raise ConfigError(
                f"{as_override(list(study.config.forgotten or []))}: {word!r} is no forget preset "
                f"({', '.join(presets())}), no concept of the hierarchy and no label of the data{hint}."
            )


def note_of(study: Study, told: Sequence[str]) -> str:
    """Of what a model that is scored has forgotten, as its run `told`, the part whose items count as kept."""
    config = study.config
    said = [*(config.forgotten or []), *words_of(spec_of(cast(DictConfig, config.forget)), study.hierarchy)]
    missing = [word for word in told if not _is_covered(word, said, study.hierarchy)]
    if not missing:
        return ""
    mend = as_override([*(config.forgotten or []), *missing])
    return f"adapter={config.adapter} has forgotten {', '.join(missing)} too: {mend} leaves that out of what is kept"


def _question(folder: Path, told: list[str] | None) -> str:
    why = "what it has forgotten would be kept, and learned again"
    if told is None:
        return (
            f"adapter={folder}: what has this model forgotten? Without it {why}. Give forgotten=[NAME,...], of "
            f"{', '.join(presets())}, concepts or data labels; or forgotten=[] if it has forgotten nothing."
        )
    if not told:
        return f"adapter={folder}: its run has forgotten nothing; say so with {as_override(told)}."
    named = ", ".join(told)
    return f"adapter={folder}: its run has forgotten {named}; unless it is said, {why}. Give {as_override(told)}."


def as_override(words: list[str]) -> str:
    """``forgotten=[...]`` as it is typed, words with other signs in quotes."""
    plain = [word if re.fullmatch(r"[\w./-]+", word) else quoted_value(word) for word in words]
    typed = f"forgotten=[{','.join(plain)}]"
    return typed if plain == words else '"' + re.sub(r'(["$`\\])', r"\\\1", typed) + '"'


def told_by(adapter: Path, hierarchy: Hierarchy) -> list[str] | None:
    """What the run that left `adapter` and those before it have forgotten; None where no run folder tells.

    Gold was never taught what it is compared on, which is the same for whoever begins with it.
    """
    found = Run.around(adapter)
    if found is None:
        return None
    _, saved = found
    if saved.command not in ("learn", "retrain", "unlearn") or OmegaConf.is_missing(saved.forget, "name"):
        return None
    own = words_of(spec_of(saved.forget), hierarchy) if saved.command != "learn" else []
    before = saved.forgotten
    if before is None and saved.adapter:
        before = told_by(Path(saved.adapter), hierarchy)
    return list(dict.fromkeys([*(before or []), *own]))


def _is_covered(word: str, given: list[str], hierarchy: Hierarchy) -> bool:
    """Whether the given words stand for all that `word` does; a data label must be among them as it is."""
    if word in given:
        return True
    targets = covers(word, hierarchy)
    others = [target for other in given for target in covers(other, hierarchy)]
    labels = {*given, *(label for target in others for label in target.labels)}
    concepts = {concept for target in others for concept in target.forget}
    return bool(targets) and all(target.labels <= labels and target.forget <= concepts for target in targets)


def expand(config: DictConfig, config_dir: str | None) -> None:
    """Put concepts and labels for the user's own presets in `forgotten`: runs are read without `config_dir`."""
    own = groups(Path(config_dir)).get("forget", {}) if config_dir else {}
    names = [word for word in config.forgotten or [] if word in own and word not in presets()]
    if not names or not config_dir:
        return
    hierarchy = load_hierarchy(cast(RunConfig, config))
    found: list[str] = []
    for word in config.forgotten:
        if word in names:
            document = cast(DictConfig, OmegaConf.load(Path(config_dir) / "forget" / f"{word}.yaml"))
            found += words_of(spec_of(document.forget), hierarchy)
        else:
            found.append(word)
    config.forgotten = list(dict.fromkeys(found))
