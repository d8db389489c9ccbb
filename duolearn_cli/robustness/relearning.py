"""Relearning: a few forget facts are taught again; do the others come back (Deeb and Roger 2024, arXiv 2410.08827)?"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from duolearn_cli.config import LearnConfig, RunConfig
from duolearn_cli.data.streams import num_steps
from duolearn_cli.errors import RunError
from duolearn_cli.protocol import Laboratory
from duolearn_cli.robustness.attack import Attack, Scorer, Skipped, scorer
from duolearn_cli.robustness.material import Lesson, Material, lessons
from duolearn_cli.robustness.restoring import kept
from duolearn_cli.study import Study
from duolearn_cli.training import fine_tune

NAME = "relearn"


def attacks(study: Study, material: Material) -> Iterator[Attack | Skipped]:
    """One attack for each lesson, or the reason why there is none."""
    found = lessons(study.splits, study.config.audit.robustness.relearn_shares, study.config.seed)
    asked = {item.fact_id for item in material.forget}
    if not found or asked <= found[0].facts:
        yield Skipped(NAME, "all", "no forget fact is left to ask beside those that are taught")
        return
    settings = learn_settings(study.config)
    yield from (_teaching(lesson, settings) for lesson in found)


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


def _teaching(lesson: Lesson, settings: LearnConfig) -> Attack:
    @contextmanager
    def during(lab: Laboratory) -> Iterator[Scorer]:
        with kept(lab.model):
            texts = [lab.encoder.encode(item) for item in lesson.items]
            try:
                fine_tune(lab.model, texts, settings, lambda values: None)
            except RunError as error:
                mend = f"lower audit.robustness.relearn_learning_rate={settings.learning_rate}"
                raise RunError(f"relearn: {str(error).partition(';')[0]}; {mend}.") from error
            yield scorer(lab)

    details = {
        "material": lesson.material,
        "share": lesson.share,
        "examples": len(lesson.items),
        "facts": len({item.fact_id for item in lesson.items}),
        "epochs": settings.epochs,
        "learning_rate": settings.learning_rate,
        "steps": num_steps(len(lesson.items), settings.batch_size, settings.epochs),
    }
    variant = f"{len(lesson.items)} {lesson.material} items"
    return Attack(NAME, variant, during, models=("gold", "unlearned"), used=lesson.facts, details=details)
