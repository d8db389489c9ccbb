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

# Texts that are longer by more than this factor than the shortest of their group go into a group of their own.
LONGER = 4
Advance = Callable[[Mapping[str, float]], None]


def fine_tune(
    model: LanguageModel, texts: Sequence[Encoded], settings: LearnConfig, advance: Advance, *, mixed: bool = False
) -> None:
    """Train the adapter on the answers of `texts`: mean nll over answer tokens, AdamW, cosine schedule.

    `advance` receives the loss (nats) after each step. With `mixed` lengths, such as questions and documents, each
    batch goes through the model in groups of like length.

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
            batch = [texts[i] for i in indices]
            groups = _of_like_length(batch) if mixed else [(batch, 1.0)]
            value = sum(_share(model, group, accelerator) for group in groups)
            # In the first step, because an adapter that takes no part should fail before hours of training.
            if is_first:
                model.check_reached([parameter for parameter in model.adapter if parameter.grad is not None])
                is_first = False
            accelerator.clip_grad_norm_(model.adapter, settings.max_grad_norm)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            if not math.isfinite(value):
                raise RunError(
                    f"the learning loss became {value}; give a lower learn.learning_rate than {settings.learning_rate}."
                )
            advance({"loss": value})
    model.network.eval()


def _of_like_length(texts: Sequence[Encoded]) -> list[tuple[list[Encoded], float]]:
    """Divide a batch into groups of like length, each with its share of the batch's labels.

    Padding short questions to the length of a document would multiply the work.
    """
    ordered = sorted(texts, key=lambda text: len(text.ids))
    groups: list[list[Encoded]] = []
    for text in ordered:
        if not groups or len(text.ids) > LONGER * len(groups[-1][0].ids):
            groups.append([])
        groups[-1].append(text)
    counts = [sum(len(text.labels("answer")) for text in group) for group in groups]
    return [(group, count / sum(counts)) for group, count in zip(groups, counts, strict=True)]


def _share(model: LanguageModel, group: tuple[Sequence[Encoded], float], accelerator: Accelerator) -> float:
    """Add the gradient of a group's share of the batch's mean loss. Return that share (nats)."""
    texts, share = group
    batch = collate(texts, "answer").to(model.device)
    loss = share * losses.nll(model.head(model.hidden(batch)), batch.label).mean()
    accelerator.backward(loss)
    return loss.item()
