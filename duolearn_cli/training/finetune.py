"""Fine-tuning of an adapter on right answers. It makes the target and the gold model."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from accelerate import Accelerator
from transformers import get_cosine_schedule_with_warmup

from duolearn_cli.config.schema import LearnConfig
from duolearn_cli.data.order import epochs, num_steps
from duolearn_cli.errors import RunError
from duolearn_cli.model import losses
from duolearn_cli.model.encoding import Encoded, collate
from duolearn_cli.model.language_model import LanguageModel

Advance = Callable[[Mapping[str, float]], None]


def fine_tune(model: LanguageModel, texts: Sequence[Encoded], settings: LearnConfig, advance: Advance) -> None:
    """Train the adapter on the answers of `texts`: mean nll over answer tokens, AdamW, cosine schedule.

    `advance` receives the loss (nats) after each step.

    Raises:
        RunError: the loss is no longer finite.
        ModelError: some modules of the adapter have no gradient in the first step.
    """
    model.renew_mark("an adapter in training")
    accelerator = Accelerator(cpu=model.device.type == "cpu")
    steps = num_steps(len(texts), settings.batch_size, settings.epochs)
    optimizer = torch.optim.AdamW(model.adapter, lr=settings.learning_rate, weight_decay=0.0)
    schedule = get_cosine_schedule_with_warmup(optimizer, round(settings.warmup * steps), steps)
    optimizer, schedule = accelerator.prepare(optimizer, schedule)
    model.network.train()
    is_first = True
    # Dropout only draws from the global generator, so it is seeded inside a fork, which restores its state afterwards.
    with torch.random.fork_rng():
        torch.manual_seed(settings.seed)
        for indices in epochs(len(texts), settings.batch_size, settings.epochs, settings.seed):
            batch = collate([texts[i] for i in indices], "answer").to(model.device)
            loss = losses.nll(model.head(model.hidden(batch)), batch.label).mean()
            accelerator.backward(loss)
            # In the first step, because an adapter that takes no part should fail before hours of training.
            if is_first:
                model.check_reached([parameter for parameter in model.adapter if parameter.grad is not None])
                is_first = False
            accelerator.clip_grad_norm_(model.adapter, settings.max_grad_norm)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            value = loss.item()
            if not math.isfinite(value):
                raise RunError(
                    f"the learning loss became {value}; give a lower learn.learning_rate than {settings.learning_rate}."
                )
            advance({"loss": value})
    model.network.eval()
