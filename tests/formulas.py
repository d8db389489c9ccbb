"""The formulas of measures by name, applied to marks of items (1 right, 0 wrong) instead of answers."""

from duolearn_cli.evaluation.measures import MEASURES
from duolearn_cli.evaluation.measures.measure import Ratio, Share


def share(key, marks, facts):
    formula = MEASURES[key].formula
    assert isinstance(formula, Share)
    return formula.of(marks, facts)


def ratio(key, before, after, facts, floor=()):
    formula = MEASURES[key].formula
    assert isinstance(formula, Ratio)
    return formula.of(before, after, facts, floor)


def parts(key):
    """The formula of a measure as sums over facts take it."""
    from duolearn_cli.report.answers import by_item

    found = by_item(MEASURES[key])
    assert found is not None
    return found
