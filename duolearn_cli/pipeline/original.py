"""The target that a chain of requests began with: what it answered, before anything was forgotten."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

from duolearn_cli.config.given_target import base_is_target
from duolearn_cli.evaluation.scoring import Answer
from duolearn_cli.model.adapter_files import ADAPTER_FILE
from duolearn_cli.pipeline import keys
from duolearn_cli.pipeline.answers import answers
from duolearn_cli.pipeline.as_read import as_read
from duolearn_cli.pipeline.laboratory import Laboratory
from duolearn_cli.pipeline.model_cache import ModelCache, alone
from duolearn_cli.pipeline.requests import read_chain
from duolearn_cli.pipeline.study import Study


def _with_given_target(study: Study, cache: ModelCache, after: Path) -> Study:
    """Return the first study with the adapter that its request began with as target, if the user had given one.

    The record has the adapter's hash alone, and the cache a copy of the adapter under it.
    """
    chain = read_chain(after)
    digest = chain.entries[0].get("began_with") if chain else None
    if digest is None:
        return study
    config = copy.deepcopy(study.config)
    config.adapter = str(cache.root / "models" / f"target-{keys.content_hash([cache.base_key, digest])}")
    return replace(study, config=config)


def original_answers(lab: Laboratory) -> dict[str, Answer]:
    """Answers of the original target by item id; empty for a first request, and where the cache has lost the model.

    It is never learned again for this: its training items hold what earlier requests forgot.
    """
    if lab.study.first is None:
        return {}
    after = Path(str(lab.study.config.after))
    if lab.study.config.merged and not lab.study.config.origin:
        lab.display.note(
            "the first request's base model is not on this machine: the report has no gold, and cannot compare with "
            "the original target. Give model.path=FOLDER_OR_HUB_ID to have both"
        )
        return {}
    if lab.study.config.merged:
        lab = lab.on_origin(lab.study.first)
        study, cache = lab.study, lab.cache
    else:
        study, _ = as_read(lab.study.first, lab.model)
        cache = replace(lab.cache, study=study)
    study = _with_given_target(study, cache, after)
    cache = replace(cache, study=study)
    folder = cache.folder("target")
    # With learn.skip the first target may be the base as it stands, which needs no learning.
    if not base_is_target(study.config) and not (folder / ADAPTER_FILE).is_file():
        lab.display.note("the original target is not in the cache: what was known before any request is not told")
        return {}
    # The lock says when the model was last used. Not `lab.load`, which would name it as the target in run.json.
    folder.parent.mkdir(parents=True, exist_ok=True)
    with alone(folder, lab.display.note):
        if not (folder / ADAPTER_FILE).is_file():
            lab.model.initialise(study.config.learn.seed)
            lab.model.save_adapter(folder)
        original = lab.load_from("target", folder, cache)
    return {answer.id: answer for rows in answers(original).values() for answer in rows}
