"""Apply an added measure to answers, with errors that name it. Try it on made-up answers before anything runs."""

from __future__ import annotations

import inspect
import math
import random
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from duolearn_cli.errors import RunError
from duolearn_cli.evaluation.answer import Answer, Answers
from duolearn_cli.evaluation.measures.measure import ALL

if TYPE_CHECKING:
    from duolearn_cli.evaluation.metrics.intervals import Estimate

SPLITS = ("forget_train", "forget_heldout", "forget_unseen", "retain_train", "retain_heldout", "retain_unseen")
# Of the made-up answers to each split.
FACTS, OPTIONS = 3, 4


class Measuring(Protocol):
    """The part of `AddedMeasure` that is used here."""

    limits: tuple[float, float]

    def measure(self, model: str, answers: Mapping[str, Answers]) -> Mapping[str, float] | Estimate | None: ...


def value_of(
    key: str, measure: Measuring, model: str, answers: Mapping[str, Answers]
) -> dict[str, float] | Estimate | None:
    """A measure's result for one model: values by fact, an estimate, or None.

    Raises:
        RunError: the measure fails or returns anything else; the message names it.
    """
    try:
        found: Any = measure.measure(model, answers)
    except Exception as error:  # the user's code may fail in any way
        raise RunError(
            f"measures.{key} failed on {model}: {type(error).__name__}: {error}{_place(error, measure)}."
        ) from error
    problem = _problem(found, measure)
    if problem:
        raise RunError(f"measures.{key}, {model}: {type(measure).__name__}.measure returned {problem}")
    return {str(fact): float(value) for fact, value in found.items()} or None if isinstance(found, Mapping) else found


def _place(error: BaseException, measure: Measuring) -> str:
    """Where in the measure's own file the error arose."""
    own = inspect.getsourcefile(type(measure))
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == own]
    return f" ({Path(own).name}, line {lines[-1]})" if own and lines else ""


def _problem(found: Any, measure: Measuring) -> str | None:
    """What is wrong with a measure's result, or None."""
    from duolearn_cli.evaluation.metrics.intervals import Estimate

    if isinstance(found, Estimate):
        return _wrong_interval(found) or _outside(found.value, "", measure)
    if found is not None and not isinstance(found, Mapping):
        return f"{found!r}; allowed: numbers by fact ({{fact: value}}), an Estimate, or None."
    for fact, value in (found or {}).items():
        if not _is_number(value):
            return f"{value!r} for the fact {fact}; allowed: a finite number; leave out a fact that has none."
        if problem := _outside(value, f" for the fact {fact}", measure):
            return problem
    return None


def _wrong_interval(found: Estimate) -> str | None:
    ends = [found.low, found.high]
    if ends == [None, None] or (all(map(_is_number, ends)) and ends == sorted(ends)):  # type: ignore[type-var]
        return None
    return f"{found}; allowed: an interval of two finite numbers, the lower one first, or None twice."


def _outside(value: float, where: str, measure: Measuring) -> str | None:
    low, high = measure.limits
    if math.isnan(value) or low <= value <= high:
        return None
    return f"{value}{where}; its limits are {low:g} to {high:g}."


def _is_number(value: Any) -> bool:
    try:
        return not isinstance(value, str | bool) and math.isfinite(value)
    except TypeError:
        return False


def try_out(key: str, measure: Measuring) -> None:
    """Apply a measure to made-up answers of all four models. Raises RunError like `value_of`."""
    answers = made_up_answers()
    for model in ALL:
        try:
            value_of(key, measure, model, answers)
        except RunError as error:
            raise RunError(f"{error} It was tried on made-up answers; nothing was loaded.") from error


def made_up_answers() -> dict[str, dict[str, list[Answer]]]:
    """Answers of four models to every split: three facts, two phrasings of each, four options."""
    rng = random.Random(0)
    return {model: {split: [_made_up(split, n, rng) for n in range(2 * FACTS)] for split in SPLITS} for model in ALL}


def _made_up(split: str, number: int, rng: random.Random) -> Answer:
    scores = tuple(-3 * rng.random() - 0.1 for _ in range(OPTIONS))
    best, right = scores.index(max(scores)), number % OPTIONS
    return Answer(
        id=f"{split}#{number}",
        fact=f"{split.removesuffix('_train').removesuffix('_heldout')}/{number // 2}",
        heldout=split.endswith("heldout"),
        subject="Surgery" if split.startswith("forget") else "Anatomy",
        topic=None,
        answer=right,
        prediction=best,
        scores=scores,
        nll=-scores[right],
        valid=number % 3 > 0,
        recalled=number % 3 == 1 and best == right,
        totals=tuple(2 * score for score in scores),
        tokens=2,
        strength=rng.random(),
        min_k=scores[right] - 1,
        min_k_plus=rng.gauss(0, 1),
        compressed=12,
        classes={"target": (-scores[right], 1), "general_medical": (1.0, 2), "neutral": (2.0, 4)},
    )
