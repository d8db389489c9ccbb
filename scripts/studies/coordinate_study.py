"""What a first step does to right and wrong options, by how the coordinates that may change were chosen.

    coordinate_study.py OVERRIDE...    a table, as Markdown, for the study that these overrides compose

`method.sparsity` gives the budget, the damping and how many items. The target is learned where the cache has none.
Both sides are the plain nll of right options, without a method's own losses. Negative: becomes likelier.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from accelerate import Accelerator
from rich.console import Console
from torch import Tensor

from duolearn_cli.cli.commands.common import prepared
from duolearn_cli.config.compose import component, compose
from duolearn_cli.data.order import sample
from duolearn_cli.errors import UserError
from duolearn_cli.model.distributed import Processes
from duolearn_cli.model.encoding import Encoded, collate
from duolearn_cli.model.losses import nll
from duolearn_cli.pipeline.examples import wrong_options
from duolearn_cli.pipeline.laboratory import Laboratory
from duolearn_cli.pipeline.run_folder import Run
from duolearn_cli.report.tables import Table
from duolearn_cli.report.terminal import Display
from duolearn_cli.training import sparsity
from duolearn_cli.training.coordinates import Coordinates
from duolearn_cli.training.selection import FAINT


def pulls(lab: Laboratory, texts: Sequence[Encoded]) -> Iterator[tuple[Tensor, int]]:
    """Each text's gradient of its answer's mean nll, without the last token, the text's end, over the adapter [n].

    With it the number of tokens that the mean is over.
    """
    coordinates = Coordinates(lab.model.named_adapter)
    for text in texts:
        batch = collate([text], "answer")
        device = lab.model.device
        logits = lab.model.network(input_ids=batch.ids.to(device)).logits[0][batch.position.to(device)]
        found = nll(logits, batch.label.to(device))
        lab.model.network.zero_grad()
        kept = found[:-1] if len(found) > 1 else found
        kept.mean().backward()
        yield coordinates.gradient(), len(kept)


def summed(lab: Laboratory, texts: Sequence[Encoded]) -> dict[str, Tensor]:
    """Of single gradients: their mean, their mean square, that by answer, and the mean of those of norm one.

    ``whole``: the mean square of gradients of whole answers' nll, the sum over their tokens.
    """
    mean, square, whole, unit = (torch.zeros_like(Coordinates(lab.model.named_adapter).values.data) for _ in range(4))
    for one, length in pulls(lab, texts):
        mean += one / len(texts)
        square += one.square() / len(texts)
        whole += (length * one).square() / len(texts)
        unit += one / one.norm().clamp(min=FAINT) / len(texts)
    return {"mean": mean, "square": square, "whole": whole, "unit": unit}


def main(overrides: Sequence[str]) -> None:
    """Print the table."""
    config = compose("unlearn", list(overrides))
    lab = Laboratory.open(prepared(config), Display(Console(file=io.StringIO())), Run(Path()), is_main=False)
    sparse = component(config.method, config.plugins).sparsity
    lab.load("target")
    request, right, wrong = lab.study.request, {}, {}
    for side, items in (("forget", request.forget), ("retain", request.retain)):
        asked = sample(items, sparse.examples, config.seed)
        right[side] = summed(lab, [lab.encoder.encode(item) for item in asked])
        wrong[side] = summed(lab, wrong_options(lab.encoder, asked))["mean"]
    asked, cost, whole = right["forget"], right["retain"]["square"], right["retain"]["whole"]
    budget, processes = int(sparse.fraction * lab.model.num_base_parameters), Processes(Accelerator(cpu=True))
    everything = Coordinates(lab.model.named_adapter)
    of_b = {id(parameter) for name, parameter in lab.model.named_adapter if "lora_B" in name}
    is_b = torch.cat([torch.full((one.numel(),), id(one) in of_b) for one in everything.parameters])

    def row(name: str, chosen: Tensor) -> tuple[str, ...]:
        step = torch.zeros_like(cost)
        step[chosen] = asked["mean"][chosen].sign()  # as Adam's first
        gain = float(step @ asked["mean"])
        others = (wrong["forget"], right["retain"]["mean"], wrong["retain"])
        return (
            name,
            f"{100 * float(is_b[chosen].float().mean()):.0f}",
            f"{gain / float(asked['mean'].abs().sum()):.3f}",
            *(f"{float(step @ other) / gain:+.2f}" for other in others),
        )

    criteria = {
        "single items' squares": asked["square"],
        "square of the mean": asked["mean"].square(),
        "square of the mean, items of norm one": asked["unit"].square(),
    }
    rows = [row("the whole adapter", torch.arange(len(cost)))]
    for name, forget in criteria.items():
        rows.append(row(name, sparsity.choose(forget, cost, None, budget, processes, sparse.damping)))
    by_answer = sparsity.choose(asked["unit"].square(), whole, None, budget, processes, sparse.damping)
    rows.append(row("the same, over the squares of whole answers", by_answer))
    header = (
        "Chosen by, over the retain side's squares",
        "of B (%)",
        "reach",
        "wrong options, forget",
        "right options, retain",
        "wrong options, retain",
    )
    print(Table("", header, tuple(rows)).markdown())


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except UserError as error:
        sys.exit(f"error: {error}")
