"""Relearning attacks: teach a few forget facts again and see whether the others come back (Deeb and Roger 2024).

Source: arXiv 2410.08827. A fact that comes back without being taught was hidden, not forgotten.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from duolearn_cli.audits.robustness.attack import Attack, Scorer, Skipped, verdicts
from duolearn_cli.audits.robustness.material import Lesson, Material, lessons
from duolearn_cli.audits.robustness.restoring import adapter_restored
from duolearn_cli.config.schema import LearnConfig, RunConfig
from duolearn_cli.data.order import num_steps, sample
from duolearn_cli.errors import RunError
from duolearn_cli.evaluation.perplexity import encode_text, plain_texts
from duolearn_cli.model.encoding import Encoded
from duolearn_cli.pipeline.loaded_model import LoadedModel
from duolearn_cli.pipeline.study import Study
from duolearn_cli.training.finetune import fine_tune

NAME = "relearn"


def attacks(study: Study, material: Material) -> Iterator[Attack | Skipped]:
    """One attack for each lesson and each control, one with plain text; or the reason why there is none."""
    config = study.config
    drawn = lessons(study.splits, config.audit.robustness.relearn_shares, config.seed)
    facts = {item.fact_id for item in material.forget}
    if not drawn or facts <= drawn[0].facts:
        yield Skipped(NAME, "all", "no forget fact is left to ask beside those that are taught")
        return
    settings = learn_settings(config)
    yield from (_lesson(lesson, settings) for lesson in drawn)
    # As many plain texts as the largest lesson has, so that training time does not explain a difference.
    paragraphs = sample(plain_texts(), max(len(lesson.items) for lesson in drawn), config.seed)
    yield _plain(paragraphs, settings, drawn[0].facts, config.prompt.max_tokens)


def learn_settings(config: RunConfig) -> LearnConfig:
    """Settings that fine-tune as the run's target was, with the audit's own epochs and learning rate."""
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
    """A control that teaches everyday English: any training at all may undo a change, whatever it is about."""
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
    """An attack that fine-tunes the adapter on `texts` and restores it afterwards.

    Gold gets the same lessons: what it answers then, the lesson has taught it.
    """

    @contextmanager
    def apply(loaded: LoadedModel) -> Iterator[Scorer]:
        model, batch_tokens = loaded.model, loaded.study.config.evaluation.batch_tokens
        with adapter_restored(model):
            try:
                fine_tune(model, texts(loaded), settings, lambda values: None)
            except RunError as error:
                # The fix in the original message names `learn.learning_rate`, which is not the setting used here.
                fix = f"lower audit.robustness.relearn_learning_rate={settings.learning_rate}"
                raise RunError(f"relearn: {str(error).partition(';')[0]}; {fix}.") from error
            # The handle is stale here: the attacked weights are nobody's.
            yield lambda items: verdicts(model, loaded.encoder, items, batch_tokens)

    schedule = {
        "epochs": settings.epochs,
        "learning_rate": settings.learning_rate,
        "steps": num_steps(details["examples"], settings.batch_size, settings.epochs),
    }
    return Attack(NAME, variant, apply, models=("gold", "unlearned"), used=used, details={**details, **schedule})
