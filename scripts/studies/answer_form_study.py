"""How well the form of answers, told from wrong options, foretells what gold makes of answers that it never saw.

    answer_form_study.py OVERRIDE...    two tables, as Markdown, for the study that these overrides compose

Target and gold are learned where the cache has none; nothing is unlearned.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from torch import Tensor

from duolearn_cli.cli.commands.common import prepared
from duolearn_cli.concepts.token_classes import UNLEARN
from duolearn_cli.config.compose import component, compose
from duolearn_cli.errors import UserError
from duolearn_cli.evaluation.metrics.intervals import Estimate, bootstrap, ratio
from duolearn_cli.model.encoding import Encoded
from duolearn_cli.pipeline.examples import answer_form, answer_tokens, wrong_options
from duolearn_cli.pipeline.laboratory import Laboratory
from duolearn_cli.pipeline.run_folder import Run
from duolearn_cli.report.tables import Table, cell
from duolearn_cli.report.terminal import Display


def changes(title: str, texts: Sequence[Encoded], base: Tensor, other: Tensor, opening: Tensor) -> tuple[str, ...]:
    """A row: the base's mean nll of answers' first tokens, last ones and those between, and how far the other's is."""
    last = torch.zeros_like(opening)
    last[np.cumsum([len(text.labels("answer")) for text in texts]) - 1] = True
    places = (opening, ~opening & ~last, ~opening & last)
    return (title, *(f"{base[place].mean():.2f} {(other - base)[place].mean():+.2f}" for place in places))


def errors(title: str, foretold: Tensor, gold: Tensor, item: np.ndarray) -> tuple[str, ...]:
    """A row: mean and root mean square of items' foretold losses less gold's, with bootstrap intervals over items."""
    away = np.bincount(item, (foretold - gold).numpy()) / np.bincount(item)

    def root(squares: np.ndarray, counts: np.ndarray, axis: int = -1) -> np.ndarray:
        return np.sqrt(ratio(squares, counts, axis))

    found: list[Estimate] = [
        bootstrap([values, np.ones(len(away))], statistic, n=len(away))
        for values, statistic in ((away, ratio), (away**2, root))
    ]
    return (title, *(cell(asdict(one), 1, 2) for one in found))


def main(overrides: Sequence[str]) -> None:
    """Print both tables."""
    config = compose("unlearn", list(overrides))
    study = prepared(config)
    lab = Laboratory.open(study, Display(Console(file=io.StringIO())), Run(Path()), is_main=False)
    right = [lab.encoder.encode(item) for item in study.request.forget]
    base, gold, opening = answer_tokens(lab.load("gold"), right)
    target = lab.load("target")
    rows = [changes("gold, right options of forget items", right, base, gold, opening)]
    for name, items in (("retain", study.request.retain), ("forget", study.request.forget)):
        texts = wrong_options(lab.encoder, items)
        rows.append(changes(f"target, wrong options of {name} items", texts, *answer_tokens(target, texts)))
    header = ("Base, and change from it (nats)", "first token", "between", "last token")
    print(f"{Table('', header, tuple(rows)).markdown()}\n")
    # What forgetting moves: not the end-of-text token.
    kinds = [study.label(text, True)[0] for text in right]
    answers = [(own, text.labels("answer")) for text, own in zip(right, kinds, strict=True)]
    moved = torch.tensor([own[i] == UNLEARN for own, places in answers for i in places])
    item = np.repeat(np.arange(len(right)), [len(text.labels("answer")) for text in right])[moved.numpy()]
    form = answer_form(target, component(config.method, config.plugins))
    foretold = [errors("the base", base[moved], gold[moved], item)]
    if form:
        foretold.append(errors("the base, form allowed for", form.adjust(base, opening)[moved], gold[moved], item))
    header = ("Foretold by", "mean error (nats a token)", "root mean square")
    print(Table("", header, tuple(foretold)).markdown())


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except UserError as error:
        sys.exit(f"error: {error}")
