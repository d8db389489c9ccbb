"""Fine-tuning of an adapter on right answers: how the target and the gold model come about."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from accelerate import Accelerator
from transformers import get_cosine_schedule_with_warmup

from duolearn_cli import losses
from duolearn_cli.config import LearnConfig
from duolearn_cli.data.encoding import Encoded, collate
from duolearn_cli.model import LanguageModel

Advance = Callable[[Mapping[str, float]], None]


def epochs(size: int, batch_size: int, num_epochs: int, seed: int) -> Iterator[list[int]]:
    """Yield index batches: every epoch a new seeded order, the last batch of an epoch possibly smaller."""
    order = random.Random(f"{seed}:order")
    indices = list(range(size))
    for _ in range(num_epochs):
        order.shuffle(indices)
        for start in range(0, size, batch_size):
            yield indices[start : start + batch_size]


def num_steps(size: int, batch_size: int, num_epochs: int) -> int:
    """How many batches `epochs` yields."""
    return num_epochs * -(-size // batch_size)


def fine_tune(model: LanguageModel, texts: Sequence[Encoded], settings: LearnConfig, advance: Advance) -> None:
    """Train the adapter on the answers of `texts`: mean loss over answer tokens, AdamW, cosine schedule."""
    accelerator = Accelerator(cpu=model.device.type == "cpu")
    steps = num_steps(len(texts), settings.batch_size, settings.epochs)
    optimizer = torch.optim.AdamW(model.adapter, lr=settings.learning_rate, weight_decay=0.0)
    schedule = get_cosine_schedule_with_warmup(optimizer, round(settings.warmup * steps), steps)
    optimizer, schedule = accelerator.prepare(optimizer, schedule)
    model.network.train()
    for indices in epochs(len(texts), settings.batch_size, settings.epochs, settings.seed):
        batch = collate([texts[i] for i in indices], "answer").to(model.device)
        loss = losses.nll(model.head(model.hidden(batch)), batch.label).mean()
        accelerator.backward(loss)
        accelerator.clip_grad_norm_(model.adapter, settings.max_grad_norm)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        advance({"loss": loss.item()})
    model.network.eval()
