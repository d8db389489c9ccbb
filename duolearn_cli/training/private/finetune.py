"""Private fine-tuning (DP-SGD, Abadi et al. 2016): a target whose own training is part of the promise."""

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
    """Train the adapter on the answers of `texts`, whose `units` are protected: AdamW, cosine schedule.

    A unit's loss is the mean over its texts of the mean loss over answer tokens. The mechanism's set is ``retain``,
    whose terms are those of all training items. Dropout stays off.
    """
    coordinates = Coordinates(model.named_adapter, experts=model.experts)
    optimizer = torch.optim.AdamW([coordinates.values], lr=settings.learning_rate, weight_decay=0.0)
    schedule = get_cosine_schedule_with_warmup(optimizer, round(settings.warmup * num_steps), num_steps)
    watch = GradientRows(model.network, coordinates.parameters)
    for step in range(1, num_steps + 1):
        chosen = [units[i] for i in mechanism.sample("retain", step)]
        own = [texts[i] for unit in chosen for i in unit]
        total, loss = torch.zeros_like(coordinates.values), float("nan")
        if own:
            batch = collate(own, "answer").to(model.device)
            with watch.watching():
                nll = losses.nll(model.head(model.hidden(batch)), batch.label)
            value = losses.sum_of_means(nll, torch.ones_like(nll), batch.sequence, len(own))
            with watch.rows(batch, range(len(own))) as (rows, _):
                watch.backward([value])
            if not coordinates.reached:
                coordinates.mark(watch.received)
                model.check_reached(coordinates.reached)
            owner = send(torch.tensor([k for k, unit in enumerate(chosen) for _ in unit]), model.device)
            total, _ = clipped_sum(unit_means(rows, owner, len(chosen)), mechanism.max_grad_norm, mechanism.clipping)
            loss = value.item() / len(own)
        coordinates.values.grad = mechanism.privatise("retain", step, total)
        optimizer.step()
        schedule.step()
        coordinates.write()
        advance({"loss": loss})
