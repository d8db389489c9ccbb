"""Relearning: a few forget facts are taught again; do the others come back (Deeb and Roger 2024, arXiv 2410.08827)?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from duolearn_cli.audits.robustness.attack import Attack, Scorer, Skipped, scorer
from duolearn_cli.audits.robustness.material import Lesson, Material, lessons
from duolearn_cli.audits.robustness.restoring import kept
from duolearn_cli.config.schema import LearnConfig, RunConfig
from duolearn_cli.data.order import num_steps, sample
from duolearn_cli.errors import RunError
from duolearn_cli.evaluation.perplexity import encode_text, plain_texts
from duolearn_cli.model.encoding import Encoded
from duolearn_cli.pipeline.laboratory import LoadedModel
from duolearn_cli.pipeline.study import Study
from duolearn_cli.training.finetune import fine_tune

NAME = "relearn"


def attacks(study: Study, material: Material) -> Iterator[Attack | Skipped]:
    """One attack for each lesson and one with plain text, or the reason why there is none."""
    config = study.config
    found = lessons(study.splits, config.audit.robustness.relearn_shares, config.seed)
    asked = {item.fact_id for item in material.forget}
    if not found or asked <= found[0].facts:
        yield Skipped(NAME, "all", "no forget fact is left to ask beside those that are taught")
        return
    settings = learn_settings(config)
    yield from (_lesson(lesson, settings) for lesson in found)
    paragraphs = sample(plain_texts(), max(len(lesson.items) for lesson in found), config.seed)
    yield _plain(paragraphs, settings, found[0].facts, config.prompt.max_tokens)


def learn_settings(config: RunConfig) -> LearnConfig:
    """Fine-tuning as the run's targets were, with this audit's epochs, learning rate and seed."""
    own, learn = config.audit.robustness, config.learn
    rate = learn.learning_rate if own.relearn_learning_rate is None else own.relearn_learning_rate
    return LearnConfig(
        seed=config.seed,
        epochs=own.relearn_epochs,
        batch_size=learn.batch_size,
        learning_rate=rate,
        warmup=learn.warmup,
        max_grad_norm=learn.max_grad_norm,
    )


def _lesson(lesson: Lesson, settings: LearnConfig) -> Attack:
    details = {
        "material": lesson.material,
        "share": lesson.share,
        "examples": len(lesson.items),
        "facts": len({item.fact_id for item in lesson.items}),
    }

    def texts(loaded: LoadedModel) -> list[Encoded]:
        return [loaded.encoder.encode(item) for item in lesson.items]

    return _teaching(f"{len(lesson.items)} {lesson.material} items", texts, settings, lesson.facts, details)


def _plain(paragraphs: Sequence[str], settings: LearnConfig, used: frozenset[str], max_tokens: int) -> Attack:
    """Everyday English: any training at all may undo a change, whatever it is about."""
    details = {"material": "plain", "share": None, "examples": len(paragraphs), "facts": 0}

    def texts(loaded: LoadedModel) -> list[Encoded]:
        return [encode_text(loaded.model.tokenizer, text, max_tokens) for text in paragraphs]

    return _teaching(f"{len(paragraphs)} plain texts", texts, settings, used, details)


def _teaching(
    variant: str,
    texts: Callable[[LoadedModel], list[Encoded]],
    settings: LearnConfig,
    used: frozenset[str],
    details: Mapping[str, Any],
) -> Attack:
    @contextmanager
    def during(loaded: LoadedModel) -> Iterator[Scorer]:
        with kept(loaded.model):
            try:
                fine_tune(loaded.model, texts(loaded), settings, lambda values: None)
            except RunError as error:
                mend = f"lower audit.robustness.relearn_learning_rate={settings.learning_rate}"
                raise RunError(f"relearn: {str(error).partition(';')[0]}; {mend}.") from error
            yield scorer(loaded)

    course = {
        "epochs": settings.epochs,
        "learning_rate": settings.learning_rate,
        "steps": num_steps(details["examples"], settings.batch_size, settings.epochs),
    }
    return Attack(NAME, variant, during, models=("gold", "unlearned"), used=used, details={**details, **course})
