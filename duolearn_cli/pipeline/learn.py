"""Learning of a target or gold model: fine-tune a fresh adapter on right answers and put it into the cache."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from typing import Any

from duolearn_cli.config.environment import FILE as ENVIRONMENT
from duolearn_cli.config.environment import environment
from duolearn_cli.data.order import num_steps
from duolearn_cli.files import write_json, write_jsonl
from duolearn_cli.model.encoding import Encoded, Encoder
from duolearn_cli.model.language_model import LanguageModel
from duolearn_cli.model.manifest import moved_into_place
from duolearn_cli.pipeline.document_texts import learned_texts
from duolearn_cli.pipeline.model_cache import ModelCache
from duolearn_cli.pipeline.privacy_plan import group, plan_learning
from duolearn_cli.pipeline.study import Study
from duolearn_cli.privacy.account import Account
from duolearn_cli.privacy.mechanism import Mechanism
from duolearn_cli.privacy.randomness import Secure, Seeded
from duolearn_cli.report.terminal import Display
from duolearn_cli.training.finetune import fine_tune
from duolearn_cli.training.per_example_probe import check_per_example
from duolearn_cli.training.private.finetune import learn_privately

STAGES = {"target": "learn", "gold": "retrain"}


def learn(model: LanguageModel, encoder: Encoder, cache: ModelCache, which: str, display: Display) -> None:
    """Learn ``target`` or ``gold`` and write its folder of `cache`: adapter, history, environment and privacy account.

    The folder is written under another name and renamed at the end, so it is complete whenever it exists.
    """
    study, folder = cache.study, cache.folder(which)
    settings = study.config.learn
    texts = learned_texts(study, encoder, which)
    steps = num_steps(len(texts), settings.batch_size, settings.epochs)
    kind = "items and windows of documents" if study.documents.learned else "items"
    display.stage(f"{STAGES[which].capitalize()}: {which} model from {len(texts)} {kind}, {steps} steps")
    model.initialise(settings.seed)
    history: list[dict[str, Any]] = []
    started = time.monotonic()
    account = plan_learning(study) if which == "target" else None
    with display.progress(STAGES[which], steps) as advance:

        def record(values: Any) -> None:
            history.append({"stage": STAGES[which], "step": len(history) + 1, **values})
            advance(values)

        if account:
            _learn_privately(model, texts, study, account, record)
        else:
            fine_tune(model, texts, settings, record, mixed=bool(study.documents.learned))
    # A killed process leaves its part behind. Learning keeps no state of its optimiser, so it begins anew.
    part = folder.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    if account:  # written before the adapter, which must never exist without its account
        part.mkdir()
        account.began_with(cache.folder("base").name).write(part)
    model.save_adapter(part)
    write_jsonl(part / "history.jsonl", history)
    write_json(part / ENVIRONMENT, environment(model.device))
    write_json(
        part / "learn.json",
        {"schema": 1, "seconds": time.monotonic() - started, "items": len(texts), "steps": steps},
    )
    shutil.rmtree(folder, ignore_errors=True)
    moved_into_place(part, folder)


def _learn_privately(
    model: LanguageModel, texts: Sequence[Encoded], study: Study, account: Account, record: Callable[[Any], None]
) -> None:
    check_per_example(model)
    config, entry = study.config, account.last
    units = list(group(study.training_items("target"), config).values())
    is_seeded = entry.randomness == "seeded"
    terms = Mechanism.of(entry, Seeded(config.seed, account.stage) if is_seeded else Secure(Secure.new_key()))
    learn_privately(model, texts, units, config.learn, terms, account.num_steps, record)
