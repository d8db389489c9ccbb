"""Private fine-tuning with DP-SGD (Abadi et al. 2016): the guarantee then covers the training of the target too."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from transformers import get_cosine_schedule_with_warmup

from duolearn_cli.config.schema import LearnConfig
from duolearn_cli.model import losses
from duolearn_cli.model.encoding import Encoded, collate
from duolearn_cli.model.host_to_device import send
from duolearn_cli.model.language_model import LanguageModel
from duolearn_cli.privacy.mechanism import Mechanism, clipped_sum, unit_means
from duolearn_cli.training.coordinates import Coordinates
from duolearn_cli.training.per_example import GradientRows


def learn_privately(
    model: LanguageModel,
    texts: Sequence[Encoded],
    units: Sequence[Sequence[int]],
    settings: LearnConfig,
    mechanism: Mechanism,
    num_steps: int,
    advance: Callable[[Mapping[str, float]], None],
) -> None:
    """Train the adapter privately on the answers of `texts`: AdamW, cosine schedule.

    A unit's loss is the mean over its texts of their mean nll over answer tokens. Dropout stays off.

    Args:
        units: the indices of each protected unit's texts.
        mechanism: its set ``retain`` holds the terms for all training items, forget items included.
        num_steps: the number of steps that the accounting covers.
        advance: receives the mean loss (nats) of each step, NaN for a step without units.

    Raises:
        ModelError: some modules of the adapter have no gradient in the first step that has units.
    """
    model.renew_mark("an adapter in training")
    coordinates = Coordinates(model.named_adapter, experts=model.experts)
    optimizer = torch.optim.AdamW([coordinates.values], lr=settings.learning_rate, weight_decay=0.0)
    schedule = get_cosine_schedule_with_warmup(optimizer, round(settings.warmup * num_steps), num_steps)
    recorder = GradientRows(model.network, coordinates.parameters)
    for step in range(1, num_steps + 1):
        chosen = [units[i] for i in mechanism.sample("retain", step)]
        own = [texts[i] for unit in chosen for i in unit]
        # A step in which no unit joins still adds noise: leaving it out would show that nobody joined.
        total, loss = torch.zeros_like(coordinates.values), float("nan")
        if own:
            batch = collate(own, "answer").to(model.device)
            with recorder.recording():
                nll = losses.nll(model.head(model.hidden(batch)), batch.label)
            value = losses.sum_of_means(nll, torch.ones_like(nll), batch.sequence, len(own))
            with recorder.rows(batch, range(len(own))) as (rows, _):
                recorder.backward([value])
            if not coordinates.reached:
                coordinates.mark(recorder.received)
                model.check_reached(coordinates.reached)
            owner = send(torch.tensor([k for k, unit in enumerate(chosen) for _ in unit]), model.device)
            total, _ = clipped_sum(unit_means(rows, owner, len(chosen)), mechanism.max_grad_norm, mechanism.clipping)
            loss = value.item() / len(own)
        coordinates.values.grad = mechanism.privatise("retain", step, total)
        optimizer.step()
        schedule.step()
        coordinates.write()
        advance({"loss": loss})
