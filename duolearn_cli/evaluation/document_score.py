"""How well a model predicts the words of a document, by what the request makes of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from duolearn_cli.evaluation.metrics.tokens import extraction_strength
from duolearn_cli.model.encoding import Encoded, collate
from duolearn_cli.model.language_model import LanguageModel
from duolearn_cli.model.packing import batches_by_length

# How many rows of logits exist at once. With a large vocabulary they are the largest tensors of an evaluation.
LOGIT_ROWS = 1024


@dataclass(frozen=True, slots=True)
class WindowScore:
    """A model's predictions of one window, each token from the true words before it.

    Attributes:
        document, patient: which text it is, and whose.
        start: the first character of the window.
        tokens: by part (`nearness.PARTS`), the sum of the nll (nats), the number of tokens that are the model's first
            choice, and their number.
        values: by part, the number of values all of whose tokens are the model's first choice, and their number.
        strength: extraction strength of the window (see metrics.tokens): the share of its end that the model says
            itself.
    """

    document: str
    patient: str | None
    start: int
    tokens: Mapping[str, tuple[float, int, int]]
    values: Mapping[str, tuple[int, int]]
    strength: float

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> WindowScore:
        """Read what `as_dict` returned, also after JSON made lists of its tuples."""
        tokens = {name: (float(nll), int(hits), int(count)) for name, (nll, hits, count) in row["tokens"].items()}
        values = {name: (int(hits), int(count)) for name, (hits, count) in row["values"].items()}
        return cls(**{**row, "tokens": tokens, "values": values})


@dataclass(frozen=True, eq=False, slots=True)
class WindowTask:
    """A window to score: its text, and for each of its tokens a part (None: not counted) and a value's number or -1."""

    document: str
    patient: str | None
    start: int
    text: Encoded
    parts: Sequence[str | None]
    values: Sequence[int]


def score_windows(
    model: LanguageModel,
    tasks: Sequence[WindowTask],
    batch_tokens: int,
    advance: Callable[[int], None] = lambda n: None,
) -> list[WindowScore]:
    """Score windows in their order. `advance` receives the number of windows of each finished batch."""
    scores: list[WindowScore | None] = [None] * len(tasks)
    with torch.no_grad():
        for indices in batches_by_length([len(task.text.ids) for task in tasks], batch_tokens):
            batch = collate([tasks[i].text for i in indices], "text").to(model.device)
            hidden = model.hidden(batch)
            columns = []
            for first in range(0, len(hidden), LOGIT_ROWS):
                log_p = model.head(hidden[first : first + LOGIT_ROWS]).log_softmax(-1)
                labels = batch.label[first : first + LOGIT_ROWS]
                own = log_p.gather(-1, labels[:, None])[:, 0]
                columns.append(torch.stack([-own.double(), (log_p.argmax(-1) == labels).double()]))
            nll, hits = torch.cat(columns, dim=1).cpu()
            for place, index in enumerate(indices):
                inside = (batch.sequence == place).cpu()
                scores[index] = _score(tasks[index], nll[inside].tolist(), hits[inside].bool().tolist())
            advance(len(indices))
    return [score for score in scores if score is not None]


def _score(task: WindowTask, nll: Sequence[float], hits: Sequence[bool]) -> WindowScore:
    """Sum up one window; both arguments have an entry for each token but the first, which nothing predicts."""
    tokens: dict[str, tuple[float, int, int]] = {}
    of_value: dict[tuple[str, int], bool] = {}
    for loss, hit, part, value in zip(nll, hits, task.parts[1:], task.values[1:], strict=True):
        if part is None:
            continue
        total, right, count = tokens.get(part, (0.0, 0, 0))
        tokens[part] = (total + loss, right + hit, count + 1)
        if value >= 0:
            of_value[part, value] = of_value.get((part, value), True) and hit
    values: dict[str, tuple[int, int]] = {}
    for (part, _), said in of_value.items():
        right, count = values.get(part, (0, 0))
        values[part] = (right + said, count + 1)
    return WindowScore(task.document, task.patient, task.start, tokens, values, extraction_strength(list(hits)))
