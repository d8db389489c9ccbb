"""One request after another: what `after=` takes from the record of the requests before."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from duolearn_cli.cli.commands.common import check_adapter
from duolearn_cli.config.explain import key_of
from duolearn_cli.config.patient_key import patient_key
from duolearn_cli.config.unlearning import FEWEST_STEPS
from duolearn_cli.errors import RunError
from duolearn_cli.model.adapter_files import ADAPTER_FILE, HELD_FILE
from duolearn_cli.pipeline.merged import begin_with_merged, check_account, is_merged, merged_base
from duolearn_cli.pipeline.request_patients import named
from duolearn_cli.pipeline.requests import INHERITED, LOOP, PLACES, Chain, read_chain
from duolearn_cli.pipeline.run_folder import Run

COMPONENTS = ("dataset", "retain_from", "hierarchy")
# Settings that may differ although the chain inherits the rest: where files lie, and trust, which is never inherited.
FREE = ("model.allow_download", "model.trust_remote_code", *PLACES)


def follow(config: DictConfig, overrides: Sequence[str]) -> DictConfig:
    """The configuration of a request that follows those recorded beside ``after``.

    Model, data and learning are those of the first request, since its target is what all of them began with.

    Raises:
        RunError: there is no record, it was tampered with, or the command line contradicts it.
    """
    given = Path(config.after)
    is_whole = is_merged(given)
    adapter = given if is_whole else adapter_folder(given)
    chain = read_chain(adapter)
    if chain is None:
        raise RunError(
            f"after={config.after}: there is no requests.json beside its weights, so nobody can tell what it has "
            "forgotten. Give adapter=FOLDER forgotten=[NAME,...] instead, which takes your word for it."
        )
    _refuse_contradictions(config, chain, overrides)
    if config.unlearn.hold and not is_whole and chain.entries[-1]["held"] and not (adapter / HELD_FILE).is_file():
        raise RunError(
            f"after={config.after}: {HELD_FILE} was left out when this adapter was exported, so nothing keeps the "
            "earlier requests forgotten. Give a copy that has it (export.held=true), or unlearn.hold=false to go on "
            "without it."
        )
    merged = _inherited(config, chain, places(adapter), overrides)
    _of_first_loop(merged, chain, overrides)
    # Data sets of notes choose by content. The data set is inherited, and its default goes with it.
    if not _is_given("forget.by", overrides):
        merged.forget.by = chain.targets[0].by
    # Later requests are often small. With retain batches as small, or with few steps, each cost what was to be kept.
    merged.unlearn.retain_batch_size = config.unlearn.retain_batch_size or merged.unlearn.batch_size
    # Whoever gives the passes, here or in the first request, gets as many, and each step of a private run is paid for.
    is_given = _is_given("unlearn.epochs", overrides) or chain.entries[0].get("epochs_given", False)
    if config.privacy.epsilon is None and not is_given:
        merged.unlearn.min_steps = config.unlearn.min_steps or FEWEST_STEPS
    # The record may come from someone else, who must not be able to make this machine run code.
    merged.model.trust_remote_code = config.model.trust_remote_code
    merged.after, merged.adapter = str(adapter), None if is_whole else str(adapter)
    targets = named(chain.targets, adapter, patient_key(config.patient_key))
    merged.requests = [OmegaConf.structured(target) for target in targets]
    if is_whole:
        check_account(adapter, chain)
        begin_with_merged(merged, adapter)
    elif weights := chain.entries[-1].get("merged"):
        # Then model.path, where it is given, says where that merged model is.
        folder = merged_base(merged.model.path, weights, chain)
        merged.model.path = chain.inherited.model.path
        begin_with_merged(merged, folder)
    return merged


def _inherited(config: DictConfig, chain: Chain, found: Mapping[str, str], overrides: Sequence[str]) -> DictConfig:
    """The configuration with the settings of the first request; paths are those given, else those `found`."""
    merged = copy.deepcopy(config)
    for name in INHERITED:
        kept = {
            key: OmegaConf.select(config, key)
            for key in FREE
            if _is_given(key, overrides) and key.startswith(f"{name}.")
        }
        # Components are replaced whole: two of them may have different settings.
        own = chain.inherited[name]
        merged[name] = own if name in COMPONENTS else OmegaConf.merge(merged[name], own)
        there = {key: path for key, path in found.items() if key.startswith(f"{name}.")}
        for key, value in (there | kept).items():
            OmegaConf.update(merged, key, value)
    return merged


def _of_first_loop(merged: DictConfig, chain: Chain, overrides: Sequence[str]) -> None:
    """Set the settings of the loop that are not given to those of the first request, which suited its model."""
    # The presets of the default model are in `merged`: another model's would be ten times too fast for SmolLM2.
    first = chain.entries[0]["settings"]["unlearn"]
    for name in LOOP:
        if name in first and not _is_given(f"unlearn.{name}", overrides):
            merged.unlearn[name] = first[name]


def places(adapter: Path) -> dict[str, str]:
    """Where the files lay that the adapter's run read, by setting. The record leaves paths out, its run folder not."""
    run = Run.around(adapter)
    values = {key: OmegaConf.select(run[1], key) for key in PLACES} if run else {}
    return {key: value for key, value in values.items() if value}


def adapter_folder(given: Path) -> Path:
    """The adapter that a run folder or an adapter folder holds. Raises RunError where there is none."""
    folder = given if (given / ADAPTER_FILE).is_file() else given / "adapter"
    check_adapter(folder)
    return folder


def _refuse_contradictions(config: DictConfig, chain: Chain, overrides: Sequence[str]) -> None:
    both = [name for name in ("adapter", "forgotten", "resume") if config.get(name) is not None]
    if both:
        raise RunError(f"after={config.after}: the record says what {both[0]} would; leave out {both[0]}=.")
    groups = (*(f"{name}." for name in INHERITED), *(f"{name}=" for name in INHERITED))
    changes = [text for text in overrides if key_of(text) not in FREE and text.lstrip("+").startswith(groups)]
    if changes:
        raise RunError(
            f"after={config.after}: model, data and learning are those of the first request ({chain.names[0]}); leave "
            f"out: {' '.join(changes)}. What may be given: {', '.join(FREE)}."
        )


def _is_given(key: str, overrides: Sequence[str]) -> bool:
    return any(key_of(text) == key for text in overrides)
