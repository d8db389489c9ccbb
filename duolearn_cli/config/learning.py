"""The part of the schema that says how target and gold come to be: by learning, or as the user gives them."""

from __future__ import annotations

from dataclasses import dataclass

from duolearn_cli.config.settings import MAX_COUNT, MAX_RATE, MAX_SEED, setting

# Settings of `LearnConfig` that change nothing about how a model is learned. Hashes of learned models leave them out.
ABOUT_GIVEN = ("skip", "gold", "known", "known_margin")


@dataclass
class LearnConfig:
    """Fine-tuning of the target (and of gold, on retain items only). Its own seed lets sweeps share one target."""

    seed: int = setting(
        0, "seed of initialisation and data order", minimum=0, maximum=MAX_SEED, common=("learn", "retrain")
    )
    epochs: int = setting(
        10, "passes over the training items", minimum=1, maximum=MAX_COUNT, common=("learn", "retrain")
    )
    batch_size: int = setting(
        16, "number of items in a step", minimum=1, maximum=MAX_COUNT, common=("learn", "retrain")
    )
    learning_rate: float = setting(
        1e-3, "peak learning rate (AdamW, cosine schedule)", minimum=0, maximum=MAX_RATE, common=("learn", "retrain")
    )
    warmup: float = setting(0.05, "share of steps of linear warm-up", minimum=0, maximum=1)
    max_grad_norm: float = setting(1.0, "largest norm of the gradient; longer gradients are clipped", minimum=0)
    skip: bool = setting(
        False,
        "use your model as the target (model=, and adapter= if it has one) and learn nothing. There is no gold "
        "unless learn.gold names one (docs/own-model.md)",
    )
    gold: str | None = setting(
        None, "with learn.skip: folder of an adapter or a model that never learned the forget items"
    )
    known: bool = setting(
        False,
        "with learn.skip: use only facts that the target knows in every trained phrasing, by learn.known_margin. "
        "The other facts are neither forgotten nor kept",
    )
    known_margin: float = setting(
        0.5,
        "least advantage of the right option over every wrong one, in nats a token, compared with a question "
        "without content",
    )
