"""The target that a chain of requests began with: what it answered, before anything was forgotten."""

from __future__ import annotations

from dataclasses import replace

from duolearn_cli.evaluation.scoring import Answer
from duolearn_cli.model.adapter_files import ADAPTER_FILE
from duolearn_cli.pipeline.answers import answers
from duolearn_cli.pipeline.laboratory import Laboratory, as_read
from duolearn_cli.pipeline.model_cache import alone


def original_answers(lab: Laboratory) -> dict[str, Answer]:
    """Answers of the original target by item id; empty for a first request, and where the cache has lost the model.

    It is never learned again for this: its training items hold what earlier requests forgot.
    """
    if lab.study.first is None:
        return {}
    study, _ = as_read(lab.study.first, lab.model)
    cache = replace(lab.cache, study=study)
    if not (cache.folder("target") / ADAPTER_FILE).is_file():
        lab.display.note("the original target is not in the cache: what was known before any request is not told")
        return {}
    # The lock says when the model was last used. Not `lab.load`, which would name it as the target in run.json.
    with alone(cache.folder("target"), lab.display.note):
        original = lab.load_from("target", cache.folder("target"), cache)
    return {answer.id: answer for rows in answers(original).values() for answer in rows}
