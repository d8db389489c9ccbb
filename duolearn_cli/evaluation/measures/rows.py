"""Every measure in one row: its place in metrics.json, its formula, its meaning, and the tables that show it.

metrics.json, the tables of runs, sweeps and benchmarks, the report and docs/metrics.md read these rows. A new one is a
row in a file beside this one.
"""

from __future__ import annotations

from collections.abc import Mapping

from duolearn_cli.evaluation.measures.known import BY_LEVEL, KNOWN, PLAIN
from duolearn_cli.evaluation.measures.measure import SHARE, Measure, Table
from duolearn_cli.evaluation.measures.membership import MEMBERSHIP, OTHER_ATTACKS
from duolearn_cli.evaluation.measures.signs import SIGNS
from duolearn_cli.evaluation.measures.splits import BY_SPLIT, EARLIER, OF_SPLIT

# By key, in the order of the results table.
MEASURES: dict[str, Measure] = {
    measure.key: measure
    for measure in (*BY_SPLIT, *KNOWN, *EARLIER, *BY_LEVEL, *MEMBERSHIP, *PLAIN, *OTHER_ATTACKS, *SIGNS)
}


def of_table(table: Table, added: Mapping[str, Measure] | None = None) -> dict[str, Measure]:
    """The measures that a table shows, by key, in the order of its rows or columns; `added` ones last."""
    every = MEASURES | dict(added or {})
    return {key: measure for key, measure in every.items() if table in measure.tables}


def limits_of(*names: str) -> tuple[float, float]:
    """The least and the most that a figure can be, by the first of its names that is a measure's, else a share."""
    from duolearn_cli.evaluation.metrics.seeds import LIMITS

    for name in names:
        for known in (MEASURES.get(name), OF_SPLIT.get(name)):
            if known is not None:
                return known.limits
        if name in LIMITS:
            return LIMITS[name]
    return SHARE
