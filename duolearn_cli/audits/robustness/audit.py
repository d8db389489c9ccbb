"""Run all attacks on all models of a finished run, one model after the other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from duolearn_cli.audits.robustness import probing, prompts, quantising, relearning
from duolearn_cli.audits.robustness.attack import Attack, Skipped, scorer
from duolearn_cli.audits.robustness.material import SIDES, Material
from duolearn_cli.audits.robustness.results import NONE, summarise
from duolearn_cli.config.components import dataset_name
from duolearn_cli.config.given_target import given_models
from duolearn_cli.config.version import __version__
from duolearn_cli.pipeline.answers import as_key
from duolearn_cli.pipeline.keys import TOKENS, learning_settings
from duolearn_cli.pipeline.laboratory import Laboratory
from duolearn_cli.pipeline.study import Study

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Planned:
    """The plan of an audit: the items, the attacks to try, and those that do not apply."""

    material: Material
    attacks: tuple[Attack, ...]
    skipped: tuple[Skipped, ...]

    @classmethod
    def of(cls, study: Study, tokenizer: Any) -> Planned:
        """Plan the attacks that the configuration lists. This needs the tokenizer, but no model."""
        settings, seed = study.config.audit.robustness, study.config.seed
        material = Material.of(study.splits, settings.max_items, seed)
        makers = {
            relearning.NAME: lambda: relearning.attacks(study, material),
            quantising.NAME: lambda: quantising.attacks(settings),
            prompts.NAME: lambda: prompts.attacks(study, tokenizer, material),
            probing.NAME: lambda: probing.attacks(material, settings.probe_c, seed),
        }
        made = [one for name, make in makers.items() if name in settings.attacks for one in make()]
        checked = [or_skipped(one, material) if isinstance(one, Attack) else one for one in made]
        return cls(
            material,
            tuple(one for one in checked if isinstance(one, Attack)),
            tuple(one for one in checked if isinstance(one, Skipped)),
        )


def or_skipped(attack: Attack, material: Material) -> Attack | Skipped:
    """Return `attack`, or skip it if it cannot ask any item of a side, since all their options refer to each other."""
    for side in SIDES:
        items = material.side(side, attack.phrasings)
        if items and not any(attack.vary(item) for item in items):
            return Skipped(attack.name, attack.variant, f"the options of all {side} items speak of each other")
    return attack


def robustness(lab: Laboratory, adapter: Path, planned: Planned) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Try all attacks on all models.

    Target and gold are learned first if the cache does not hold them.

    Args:
        lab: the laboratory of the audited run.
        adapter: the folder of the unlearned adapter.
        planned: what to try.

    Returns:
        The rows of robustness.jsonl, and the content of robustness.json.
    """
    rows: list[dict[str, Any]] = []
    for model in (*given_models(lab.study.config), "unlearned"):
        rows += _tried_on(lab, adapter, planned, model)
    config = lab.study.config
    header = {
        "schema": SCHEMA,
        "duolearn": __version__,
        "forget": lab.study.target.name,
        "model": config.model.name,
        "dataset": dataset_name(config.dataset),
        "method": str(config.method._target_).rpartition(".")[2],
        "form": config.prompt.form,
        "seed": config.seed,
    }
    return rows, header | summarise(rows, planned.attacks, planned.skipped)


def _tried_on(lab: Laboratory, adapter: Path, planned: Planned, model: str) -> Iterator[dict[str, Any]]:
    """The rows of all attacks on one model, beginning with those without an attack."""
    attacks = [attack for attack in planned.attacks if model in attack.models]
    # No attack is compared with the base's own answers, so the base is not asked without an attack.
    if model != "base":
        attacks.insert(0, Attack(NONE, NONE, lambda loaded: nullcontext(scorer(loaded))))
    if not attacks:
        return
    loaded = lab.load_from("unlearned", adapter) if model == "unlearned" else lab.load(model)
    lab.display.stage(f"Attack {model}: {len(attacks) - (model != 'base')} attacks")
    with lab.display.progress(f"attack {model}", len(attacks)) as advance:
        for attack in attacks:
            # Rows about base, target and gold are cached: they are the same for every run that shares these models.
            key = _key(lab.study, planned.material, attack)
            yield from loaded.keep("attack", key, lambda attack=attack: list(attack.rows(loaded, planned.material)))
            advance(n=1)


def _key(study: Study, material: Material, attack: Attack) -> list[Any]:
    """The cache key of an attack's rows: everything that determines them, except the model."""
    # Fields of an item that no prompt shows are blanked, so that they do not make another key.
    config = study.config
    settings: list[Any] = [OmegaConf.to_container(config.audit.robustness), learning_settings(config.learn)]
    # Which other attacks are tried changes nothing, and the items that `max_items` leaves are part of the key below.
    settings[0] |= {"attacks": None, "max_items": None}
    shown = [[as_key(item) for item in side] for side in (material.forget, material.retain)]
    taught = [[item.id for item in side] for side in (study.splits.forget_train, study.splits.retain_train)]
    key = [attack.name, attack.variant, attack.phrasings, config.seed, settings, shown, taught]
    # Earlier versions cut long prompts at their start, chat header included: rows of cut prompts need another key.
    return [*key, TOKENS] if "cut" in attack.details else key
