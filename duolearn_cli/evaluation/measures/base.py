"""The base class of a user's own measure: one class in their module, one YAML in their conf/measure.

CONTRIBUTING.md has a complete example.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from duolearn_cli.config.declarations import declaration_problems
from duolearn_cli.errors import UserError
from duolearn_cli.evaluation.measures.measure import EVERYWHERE, SHARE, Measure
from duolearn_cli.evaluation.measures.rows import MEASURES, OF_SPLIT
from duolearn_cli.evaluation.measures.trial import try_out

if TYPE_CHECKING:
    from duolearn_cli.evaluation.answer import Answers
    from duolearn_cli.evaluation.metrics.intervals import Estimate

# Other keys of a method's runs in benchmark.json.
RESERVED = ("finished", "diverged", "planned", "ks", "ks_same", "changed", "flags")


class AddedMeasure(ABC):
    """A measure that ``+measure=NAME`` adds. A subclass is a dataclass: its fields are its settings.

    What this class declares are hooks. A measure sets those that it needs by a class attribute, a property or, where
    users may set it, a field.

    Attributes:
        name: its name in tables, without the unit. Every measure sets it.
        definition: a sentence for the reader of the report. Every measure sets it.
        origin: the source of the definition, a sentence.
        higher_is_better: None if neither is better.
        percent: show it in per cent, not as a number with three digits.
        limits: the lowest and highest possible value.
    """

    name: str = ""
    definition: str = ""
    origin: str = "Not duolearn's own."
    higher_is_better: bool | None = None
    percent: bool = True
    limits: tuple[float, float] = SHARE

    @abstractmethod
    def measure(self, model: str, answers: Mapping[str, Answers]) -> Mapping[str, float] | Estimate | None:
        """Measure one model.

        Args:
            model: ``base``, ``target``, ``gold`` or ``unlearned``.
            answers: the answers of every model that was scored, by model and split (docs/metrics.md). All models
                answered the same items in the same order.

        Returns:
            One number for each fact (`Answer.fact`): duolearn takes the mean, with a bootstrap interval over facts. Or
            an estimate with its own interval, such as `metrics.intervals.bootstrap` returns. Or None, or an empty
            mapping, for a model without a value.
        """

    def problems(self) -> Iterator[str]:
        """Yield settings that are fine alone and impossible together, one line each, without ``measures.NAME.``."""
        yield from ()

    @classmethod
    def class_problems(cls) -> Iterator[str]:
        """Yield what makes this class no usable measure, whatever its settings, one line each."""
        yield from declaration_problems(cls, AddedMeasure)

    def row(self, key: str) -> Measure:
        """Its row: what tables and metrics.json need to know."""
        return Measure(
            key,
            self.name,
            self.definition,
            None,
            self.origin,
            higher_is_better=self.higher_is_better,
            percent=self.percent,
            limits=self.limits,
            tables=EVERYWHERE,
        )

    def wrong_as(self, key: str) -> Iterator[str]:
        """Yield what is wrong with it as the measure `key`, one sentence each.

        Configuration checks call this before anything is loaded. If nothing else is wrong, the measure is tried on
        made-up answers.
        """
        problems = [*_wrong_key(key), *self._wrong_values()]
        yield from problems
        if not problems:
            try:
                try_out(key, self)
            except UserError as error:
                yield str(error)

    def _wrong_values(self) -> Iterator[str]:
        own = type(self).__name__
        for hook in ("name", "definition", "origin"):
            if not getattr(self, hook).strip():
                yield f"{own}.{hook} is empty; needed: a text."
        if not _are_limits(self.limits):
            yield f"{own}.limits is {self.limits!r}; allowed: two numbers, the lowest and the highest possible value."


def _wrong_key(key: str) -> Iterator[str]:
    if not key.isidentifier():
        yield f"{key!r} is no name; allowed: letters, digits and `_`, a letter first."
    elif key in (*MEASURES, *OF_SPLIT, *RESERVED):
        yield f"{key} is a name of duolearn's own; choose another in its YAML's first line: # @package measures.NAME."


def _are_limits(limits: tuple[float, float]) -> bool:
    if len(limits) != 2 or not all(isinstance(end, int | float) for end in limits):
        return False
    return limits[0] < limits[1]  # false for NaN
