"""What `duolearn compare` found: its content as JSON, and the same as tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from duolearn_cli.data.items import Item
from duolearn_cli.evaluation.measures import MEASURES, of_table
from duolearn_cli.evaluation.measures.measure import Measure
from duolearn_cli.report.averages import difference_of_runs, difference_over_jobs
from duolearn_cli.report.changed_items import Changes, changes, listed, read_choices
from duolearn_cli.report.compared import Compared, differing, remarks
from duolearn_cli.report.job_lights import lights_table
from duolearn_cli.report.jobs import Job, added_by, heading, is_seed, shown, value_of, varying
from duolearn_cli.report.lights import lights_of
from duolearn_cli.report.measures import DASH, arrow, cell_of, number
from duolearn_cli.report.sweep import by_settings
from duolearn_cli.report.tables import Table

SCHEMA = 1
# More runs than that are the rows of a table, not its columns.
MOST_COLUMNS = 5
UNPAIRED = " (not paired)"


@dataclass(frozen=True, eq=False)
class Comparison:
    """Runs and how each of them differs from the first.

    Attributes:
        differences: by label of each other run and key of a measure, its value less the first run's.
        over_seeds: by the settings of a group of runs, the same of means over the seeds that it shares with the first
            group; empty if runs do not differ by their seeds.
        changed: by label of each other run the items of both sides.
        items: by label the changed items with their texts, where these may be shown.
        is_hidden: items have changed whose texts may not be shown.
    """

    runs: Sequence[Compared]
    measures: Mapping[str, Measure]
    differences: Mapping[str, Mapping[str, Mapping[str, Any]]]
    over_seeds: Mapping[str, Mapping[str, Mapping[str, Any]]]
    changed: Mapping[str, Sequence[Changes]]
    items: Mapping[str, Sequence[Mapping[str, Any]]]
    is_hidden: bool

    @classmethod
    def of(cls, runs: Sequence[Compared], items: Callable[[], Mapping[str, Item] | None]) -> Comparison:
        """Compare runs. `items` returns the items by id, None if their texts may not be shown.

        It is called only if an item has changed: reading the data takes time.
        """
        first, jobs = runs[0], [run.job for run in runs]
        known = {key: one for key, one in _measures(jobs).items() if any((job.scores or {}).get(key) for job in jobs)}
        choices = {run.label: read_choices(run.folder) for run in runs}
        changed = {run.label: changes(choices[first.label], choices[run.label]) for run in runs[1:]}
        texts = items() if any(one.has_any for own in changed.values() for one in own) else {}
        return cls(
            runs,
            known,
            {run.label: _differences(first, run, known) for run in runs[1:]},
            differences_over_seeds(runs, known),
            changed,
            {label: listed(own, texts or {}) for label, own in changed.items()},
            texts is None,
        )

    def as_dict(self) -> dict[str, Any]:
        """The content of compare.json."""
        return {
            "schema": SCHEMA,
            "runs": [_run(run) for run in self.runs],
            "settings": {
                key: dict(zip(self.labels, values, strict=True)) for key, values in differing(self.runs).items()
            },
            "measures": {key: self._measure(key) for key in self.measures},
            "over_seeds": self.over_seeds,
            "changes": {
                label: {one.side: one.as_dict() for one in own} | {"items": self.items[label]}
                for label, own in self.changed.items()
            },
            "remarks": list(remarks(self.runs)),
        }

    @property
    def labels(self) -> list[str]:
        return [run.label for run in self.runs]

    def _measure(self, key: str) -> dict[str, Any]:
        return {
            "name": self.measures[key].name,
            "values": {run.label: (run.job.scores or {}).get(key) for run in self.runs},
            "differences": {label: own.get(key) for label, own in self.differences.items()},
        }


def _run(run: Compared) -> dict[str, Any]:
    sentence, lights = lights_of(run.metrics, {"verdict": (run.job.verdict or {}).get("limits")})
    return {
        "label": run.label,
        "title": run.title,
        "folder": str(run.folder),
        "tags": list(run.info.get("tags") or ()),
        "created": run.info.get("created"),
        **{name: run.metrics.get(name) for name in ("forget", "dataset", "model", "method", "seed", "privacy")},
        "verdict": sentence or None,
        "lights": {light.key: light.state for light in lights},
    }


def _measures(jobs: Sequence[Job]) -> dict[str, Measure]:
    """The measures of a comparison: the columns of a sweep, the rows of a terminal, and what both are made of."""
    chosen = {**of_table("sweep"), **of_table("terminal"), **of_table("runs")}
    names = (*chosen, "forgetting_against_gold", "forget_accuracy", "retain_accuracy")
    return {key: one for key, one in MEASURES.items() if key in names} | added_by(jobs)


def _differences(first: Compared, run: Compared, measures: Mapping[str, Measure]) -> dict[str, dict[str, Any]]:
    answers = [run.answers, first.answers]
    found = {key: difference_of_runs(run.job, first.job, measure, answers) for key, measure in measures.items()}
    return {key: one for key, one in found.items() if one}


def differences_over_seeds(
    runs: Sequence[Compared], measures: Mapping[str, Measure]
) -> dict[str, dict[str, dict[str, Any]]]:
    """Compare groups of runs that differ in more than their seeds, on the seeds that each shares with the first group.

    Returns:
        By the group's settings and by measure ``value``, ``low`` and ``high`` (from three seeds on) and ``seeds``, the
        number of shared seeds. Empty unless some group shares two seeds or more with the first one.
    """
    jobs = [run.job for run in runs]
    settings, by_label = [key for key in varying(jobs) if not is_seed(key)], {run.label: run for run in runs}
    groups = [{_seeds(job): by_label[job.name] for job in group} for group in by_settings(jobs, settings).values()]
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for group in groups[1:]:
        shared = [seed for seed in groups[0] if seed in group]
        if len(shared) > 1:
            name = " ".join(f"{heading(key)}={shown(group[shared[0]].job, key)}" for key in settings)
            ours, theirs = ([own[seed] for seed in shared] for own in (group, groups[0]))
            found[name] = {
                key: {**one, "seeds": len(shared)}
                for key, measure in measures.items()
                if (one := _over_seeds(ours, theirs, measure))
            }
    return found


def _over_seeds(ours: Sequence[Compared], theirs: Sequence[Compared], measure: Measure) -> dict[str, Any] | None:
    """The difference of a measure's means; None unless every run has a value."""
    both = (*ours, *theirs)
    values = [((run.job.scores or {}).get(measure.key) or {}).get("value") for run in both]
    if any(number(value) is None for value in values):
        return None
    answers = [run.answers for run in both]
    return difference_over_jobs([run.job for run in ours], [run.job for run in theirs], measure, answers)


def _seeds(job: Job) -> tuple[str, ...]:
    return tuple(value_of(job, key) for key in job.settings if is_seed(key))


def verdicts_table(found: Comparison) -> Table:
    """The settings that differ and the lights of each run."""
    table = lights_table([run.job for run in found.runs])
    return replace(table, header=(*table.header[:-1], "run"))


def runs_table(found: Comparison) -> Table:
    """Which run each letter stands for."""
    rows = [
        (run.label, run.title, *(str(run.metrics.get(name) or DASH) for name in ("method", "model")), str(run.folder))
        for run in found.runs
    ]
    return Table("Runs", ("Run", "Name", "Method", "Model", "Folder"), tuple(rows), num_text=5)


def settings_table(found: Comparison) -> Table:
    """The settings that differ."""
    rows = [(key, *values) for key, values in differing(found.runs).items()]
    return _turned("Settings that differ", "Setting", found.labels, rows, num_text=len(found.runs) + 1)


def values_table(found: Comparison) -> Table:
    """Each measure in each run."""
    rows = [
        (f"{one.label}{arrow(one)}", *(cell_of(one, (run.job.scores or {}).get(key)) for run in found.runs))
        for key, one in found.measures.items()
    ]
    return _turned("Measures of the unlearned models, with 95 % intervals", "Measure", found.labels, rows)


def differences_table(found: Comparison) -> Table:
    """Each measure's difference from the first run."""
    first, *others = found.labels
    rows = [
        (measure.label, *(difference_cell(measure, found.differences[label].get(key)) for label in others))
        for key, measure in found.measures.items()
    ]
    names = [f"{label} - {first}" for label in others]
    return _turned(f"Differences from {first}, with paired 95 % intervals", "Measure", names, rows)


def seeds_table(found: Comparison, measures: Mapping[str, Measure]) -> Table | None:
    """Differences of means of `measures` over seeds; None if there are none."""
    groups = found.over_seeds
    if not groups:
        return None
    rows = [
        (measure.label, *(difference_cell(measure, own.get(key)) for own in groups.values()))
        for key, measure in measures.items()
    ]
    counts = {name: max((one["seeds"] for one in own.values()), default=0) for name, own in groups.items()}
    names = [f"{name}, {count} seeds" for name, count in counts.items()]
    title = f"Means over seeds, less those of the settings of {found.labels[0]}, with paired 95 % intervals"
    return _turned(title, "Measure", names, rows)


def difference_cell(measure: Measure, estimate: Mapping[str, Any] | None) -> str:
    """A difference in the measure's unit, or in points of per cent; it says if no interval could be paired."""
    if not estimate:
        return DASH
    # The limits of a measure are not those of its differences.
    scale, digits = (100, 1) if measure.percent else (1, 3)
    ends = [estimate.get(name) for name in ("value", "low", "high")]
    value, low, high = (None if end is None else f"{scale * end:+z.{digits}f}" for end in ends)
    if value is None:
        return DASH
    return f"{value}{UNPAIRED}" if low is None or high is None else f"{value} [{low}, {high}]"


def _turned(
    title: str, corner: str, columns: Sequence[str], rows: Sequence[tuple[str, ...]], num_text: int = 1
) -> Table:
    """A table whose columns become rows if there are too many of them for a page."""
    if len(columns) <= MOST_COLUMNS:
        return Table(title, (corner, *columns), tuple(rows), num_text)
    cells = [row[1:] for row in rows]
    turned = tuple((name, *(own[place] for own in cells)) for place, name in enumerate(columns))
    return Table(title, ("Run", *(row[0] for row in rows)), turned, num_text if num_text == 1 else len(rows) + 1)
