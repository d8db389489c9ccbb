"""The model that a run begins with or scores: what earlier requests have removed from it, and the checks of that."""

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
    """Check that ``adapter=`` is an adapter, and that ``forgotten=`` names all that it has forgotten.

    Return what the model has forgotten according to its run folder, for `check_words`. `forgotten` is required: items
    about those subjects would otherwise be kept and learned again. Only with ``learn.skip`` an adapter without such a
    run folder counts as one that has forgotten nothing.

    Raises:
        RunError: the folder holds no adapter; or `forgotten` is missing, or leaves out something. The message has the
            fix.
    """
    folder = Path(config.adapter)
    check_adapter(folder)
    hierarchy = load_hierarchy(cast(RunConfig, config))
    recorded = recorded_by(folder, hierarchy)
    if config.forgotten is None and config.learn.skip and not recorded:
        config.forgotten = []  # the user's own adapter: no run of ours has removed anything from it
    if config.forgotten is None:
        raise RunError(_question(folder, recorded))
    expand(config, config_dir)
    missing = [word for word in recorded or [] if not _is_covered(word, config.forgotten, hierarchy)]
    if missing:
        # A word without meaning that resembles a missing one is a typo; do not propose it, it would be refused next.
        meant = [word for word in config.forgotten if covers(word, hierarchy) or not nearest(word, missing)]
        raise RunError(
            f"{as_override(config.forgotten)}: the run that made adapter={folder} has forgotten {', '.join(missing)} "
            f"too, which would be learned again; allowed: {as_override([*meant, *missing])}."
        )
    return recorded or []


def check_words(study: Study, recorded: Sequence[str]) -> None:
    """Check that each word of ``forgotten=`` means something here: a preset, a concept or a label.

    Words `recorded` by the model's run are accepted: they meant something there.

    Raises:
        ConfigError: a word means nothing; the message has the nearest name.
    """
    for word in study.forgotten.unknown:
        if word not in recorded:
            labels = sorted({item.subject for item in study.items if item.subject})
            hint = study.hierarchy.suggestion(word, [*presets(), *labels])
            raise ConfigError(
                f"{as_override(list(study.config.forgotten or []))}: {word!r} is not a forget preset "
                f"({', '.join(presets())}), a concept of the hierarchy or a label of the data{hint}."
            )


def note_of(study: Study, recorded: Sequence[str]) -> str:
    """Return a note about subjects that the scored model has forgotten but whose items count as kept; else "".

    `recorded` is what the model has forgotten according to its run folder.
    """
    config = study.config
    named = [*(config.forgotten or []), *words_of(spec_of(cast(DictConfig, config.forget)), study.hierarchy)]
    missing = [word for word in recorded if not _is_covered(word, named, study.hierarchy)]
    if not missing:
        return ""
    fix = as_override([*(config.forgotten or []), *missing])
    return f"adapter={config.adapter} has forgotten {', '.join(missing)} too: {fix} leaves that out of what is kept"


def _question(folder: Path, recorded: list[str] | None) -> str:
    why = "what it has forgotten would be kept, and learned again"
    if recorded is None:
        return (
            f"adapter={folder}: what has this model forgotten? Without an answer, {why}. Give forgotten=[NAME,...] "
            f"with names out of {', '.join(presets())}, concepts or data labels; or forgotten=[] if it has forgotten "
            "nothing."
        )
    if not recorded:
        return f"adapter={folder}: its run has forgotten nothing; confirm that with {as_override(recorded)}."
    named = ", ".join(recorded)
    return (
        f"adapter={folder}: its run has forgotten {named}; unless you name that, {why}. Give {as_override(recorded)}."
    )


def as_override(words: list[str]) -> str:
    """Return ``forgotten=[...]`` as it is typed in a shell, with quotes around words that need them."""
    plain = [word if re.fullmatch(r"[\w./-]+", word) else quoted_value(word) for word in words]
    typed = f"forgotten=[{','.join(plain)}]"
    return typed if plain == words else '"' + re.sub(r'(["$`\\])', r"\\\1", typed) + '"'


def recorded_by(adapter: Path, hierarchy: Hierarchy) -> list[str] | None:
    """Return what the run that made `adapter`, and the runs before it, have forgotten; None without a run folder.

    A gold model counts as having forgotten its target: it was never taught it, so no later run may teach it.
    """
    run = Run.around(adapter)
    if run is None:
        return None
    _, saved = run
    if saved.command not in ("learn", "retrain", "unlearn") or OmegaConf.is_missing(saved.forget, "name"):
        return None
    if saved.command != "learn" and (saved.forget.get("patients") or saved.forget.get("dates")):
        raise ConfigError(
            f"adapter={adapter}: its run has forgotten what is about some patients or days, which forgotten= cannot "
            f"say. Continue its record instead: after={run[0].folder}."
        )
    # A target was taught what its `forget` names, so it has not forgotten that.
    own = words_of(spec_of(saved.forget), hierarchy) if saved.command != "learn" else []
    before = saved.forgotten
    if before is None and saved.adapter:
        before = recorded_by(Path(saved.adapter), hierarchy)
    return list(dict.fromkeys([*(before or []), *own]))


def _is_covered(word: str, named: list[str], hierarchy: Hierarchy) -> bool:
    """Return whether the words `named` cover all that `word` does. A data label must be among them literally."""
    if word in named:
        return True
    targets = covers(word, hierarchy)
    others = [target for other in named for target in covers(other, hierarchy)]
    labels = {*named, *(label for target in others for label in target.labels)}
    concepts = {concept for target in others for concept in target.forget}
    return bool(targets) and all(target.labels <= labels and target.forget <= concepts for target in targets)


def expand(config: DictConfig, config_dir: str | None) -> None:
    """Replace the user's own presets in ``forgotten=`` by their concepts and labels.

    Saved configurations are read without `config_dir`, so names of the user's presets would mean nothing later.
    """
    own = groups(Path(config_dir)).get("forget", {}) if config_dir else {}
    names = [word for word in config.forgotten or [] if word in own and word not in presets()]
    if not names or not config_dir:
        return
    hierarchy = load_hierarchy(cast(RunConfig, config))
    expanded: list[str] = []
    for word in config.forgotten:
        if word in names:
            document = cast(DictConfig, OmegaConf.load(Path(config_dir) / "forget" / f"{word}.yaml"))
            expanded += words_of(spec_of(document.forget), hierarchy)
        else:
            expanded.append(word)
    config.forgotten = list(dict.fromkeys(expanded))
