"""The parts of a row of `MEASURES`. NumPy and SciPy are imported only when a formula is applied."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from duolearn_cli.evaluation.answer import Answer
    from duolearn_cli.evaluation.measures.evidence import Evidence
    from duolearn_cli.evaluation.metrics.intervals import Estimate

ALL = ("base", "target", "gold", "unlearned")
# The least and the most that a value can be.
SHARE, POSITIVE, ANY = (0.0, 1.0), (0.0, math.inf), (-math.inf, math.inf)

# Sources of definitions.
OWN = "This project's own; the paper gives none."
NAMED = "The paper (arXiv 2511.19498) names it; its equation is not available to us: the definition is this project's."
USUAL = "The usual definition."
GREEDY = "The usual definition, with the end of the text as part of the answer."
ACCURACY = "Plain accuracy; asking each fact as it was trained and otherwise is this project's protocol."

# Where a measure is shown. results: of one run, always; warning: there, if a warning is about it; sweep: as a column;
# verdict: in the sentence about each group of a sweep's jobs; benchmark: as a column; runs: the mean over a method's
# runs in benchmark.json; terminal: a few, for narrow screens; references: the values of gold and target there.
Table = Literal["results", "warning", "sweep", "verdict", "benchmark", "runs", "references", "terminal"]
EVERYWHERE: tuple[Table, ...] = ("results", "sweep", "verdict", "benchmark", "runs", "terminal")

Formula = Callable[["Evidence"], "Estimate | None"]
# (before, after, floor) of an item -> what it adds to the numerator and the denominator. Takes numbers and arrays.
Parts = Callable[[Any, Any, Any], tuple[Any, Any]]


def same(value: Any) -> Any:
    return value


@dataclass(frozen=True, slots=True)
class SplitMeasure:
    """A mean over the answers to one split. metrics.json has it for every split.

    Attributes:
        key: its name in the split's entry.
        value: what the mean is taken of. If `is_share`, it is from 0 to 1 and the interval is Wilson's over facts; if
            not, it is 0 or more and the interval is Hall's.
        origin, higher_is_better: as in `Measure`.
    """

    key: str
    definition: str
    value: Callable[[Answer], float]
    origin: str
    is_share: bool = True
    higher_is_better: bool | None = None

    @property
    def limits(self) -> tuple[float, float]:
        return SHARE if self.is_share else POSITIVE

    def of(self, rows: Sequence[Answer]) -> Estimate:
        from duolearn_cli.evaluation.metrics.intervals import mean, proportion

        average = proportion if self.is_share else mean
        values, facts = [float(self.value(row)) for row in rows], [row.fact for row in rows]
        return average(values, facts, higher_is_better=self.higher_is_better)


@dataclass(frozen=True, slots=True)
class InSplit:
    """A `SplitMeasure` of one split; None if the model has no answers in it."""

    split: str
    measure: SplitMeasure

    def __call__(self, evidence: Evidence) -> Estimate | None:
        rows = evidence.answers.get(self.split)
        return self.measure.of(rows) if rows else None


@dataclass(frozen=True, slots=True)
class Share:
    """The mean of `hit` over the items of a side, with Wilson's interval over facts.

    Attributes:
        side: ``forget``, ``retain`` or ``both``: the trained facts of that side, in all their phrasings.
        mark: the field of `Answer` that `hit` takes. It is 0 or 1, or between them if options tie.
    """

    side: str
    mark: str = "correct"
    hit: Callable[[Any], Any] = same

    def __call__(self, evidence: Evidence) -> Estimate:
        return self.of(evidence.marks(self.side, self.mark), evidence.facts(self.side))

    def of(self, marks: Sequence[float], facts: Sequence[str]) -> Estimate:
        """The estimate from the mark and the fact of each item."""
        from duolearn_cli.evaluation.metrics.intervals import proportion

        return proportion([self.hit(mark) for mark in marks], facts)

    def parts(self, before: Any, after: Any, floor: Any) -> tuple[Any, Any]:
        """The share in the form of `Ratio.parts`: every item adds 1 to the denominator."""
        return self.hit(after), 0 * after + 1


@dataclass(frozen=True, slots=True)
class Ratio:
    """A ratio of sums over the items of a side: the target's marks are "before", those of the model "after".

    Attributes:
        side, mark: as in `Share`.
        parts: what each item adds to both sums.
        floor: the third argument of `parts`, the mark that needs no knowledge: ``chance`` (`Evidence.floors`), ``gold``
            (gold's mark), ``majority`` (the rate of the commonest answer, or chance if that is higher). None: 0.
        least: the lowest possible value.
    """

    side: str
    parts: Parts
    mark: str = "correct"
    floor: Literal["chance", "gold", "majority"] | None = None
    least: float = -math.inf

    def __call__(self, evidence: Evidence) -> Estimate:
        before, after = (evidence.marks(self.side, self.mark, model) for model in ("target", evidence.model))
        return self.of(before, after, evidence.facts(self.side), evidence.floor(self.side, self.mark, self.floor))

    def of(
        self, before: Sequence[float], after: Sequence[float], facts: Sequence[str], floor: Sequence[float] = ()
    ) -> Estimate:
        """The estimate with Fieller's interval, from the marks, the fact and the floor of each item."""
        from duolearn_cli.evaluation.metrics.knowledge import ratio

        return ratio(self.parts, before, after, facts, floor, is_answered=self.floor == "gold", least=self.least)


@dataclass(frozen=True, slots=True)
class Measure:
    """One measure: its place in metrics.json, its formula, its meaning, and the tables that show it.

    Attributes:
        key: its name in flags, on the command line and, unless `at` is set, in metrics.json.
        name: its name in tables, without the unit.
        definition: one or two sentences for the reader of a report.
        formula: computes it from a model's answers. None: it is not computed from answers to items.
        origin: the source of the definition, a sentence.
        at: the keys that lead to it in a model's entry of metrics.json. Empty: ``scores`` and `key`.
        higher_is_better: the direction in metrics.json; None if neither is better.
        percent: show it in per cent, not as a number with three digits.
        limits: its lowest and highest possible value.
        best: the best value as tables show it, if more and less are both worse. Empty: there is no single best value.
        models: the models that can have it.
        needs: other models that must have been scored. ``majority``: the commonest answer is right more than by chance.
        tables: where it is shown.
        unless: the key of a measure that replaces it in the results.
        expected: the key of the measure that has its value for a model like gold.
    """

    key: str
    name: str
    definition: str
    formula: Formula | None = None
    origin: str = OWN
    at: tuple[str, ...] = ()
    higher_is_better: bool | None = None
    percent: bool = True
    limits: tuple[float, float] = SHARE
    best: str | None = None
    models: tuple[str, ...] = ALL
    needs: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ("results",)
    unless: str | None = None
    expected: str | None = None

    @property
    def path(self) -> tuple[str, ...]:
        """The keys that lead to it in a model's entry of metrics.json."""
        return self.at or ("scores", self.key)

    @property
    def label(self) -> str:
        """The name with its unit."""
        return f"{self.name} (%)" if self.percent else self.name

    def find(self, model: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """The estimate in a model's entry of metrics.json, or None."""
        entry: Any = model
        for key in self.path:
            entry = (entry or {}).get(key)
        return entry

    @classmethod
    def from_dict(cls, key: str, entry: Mapping[str, Any]) -> Measure:
        """A measure that the user added, from its entry in metrics.json. Every table shows it."""
        low, high = (edge if end is None else end for end, edge in zip(entry["limits"], ANY, strict=True))
        texts = {name: entry[name] for name in ("name", "definition", "origin")}
        units = {name: entry[name] for name in ("percent", "higher_is_better")}
        return cls(key, **texts, **units, limits=(low, high), tables=EVERYWHERE)

    def as_dict(self) -> dict[str, Any]:
        """The entry in metrics.json of a measure that the user added; None stands for an infinite limit."""
        return {
            "name": self.name,
            "definition": self.definition,
            "origin": self.origin,
            "percent": self.percent,
            "higher_is_better": self.higher_is_better,
            "limits": [end if math.isfinite(end) else None for end in self.limits],
        }

    def estimate(self, evidence: Evidence) -> Estimate | None:
        """The measure of one model; None if the model has no such measure."""
        if self.formula is None or evidence.model not in self.models or not all(map(evidence.knows, self.needs)):
            return None
        found = self.formula(evidence)
        return None if found is None else replace(found, higher_is_better=self.higher_is_better)
