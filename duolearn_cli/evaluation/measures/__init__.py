"""The measures of a run, one row each, and the base class of a user's own measure.

A measure of your own takes what it needs from here: ``from duolearn_cli.evaluation.measures import AddedMeasure``.
Nothing here imports NumPy or torch, so that checking a configuration stays fast.
"""

from duolearn_cli.config.settings import setting
from duolearn_cli.evaluation.answer import FORGET, RETAIN, SIDES, Answer, Answers
from duolearn_cli.evaluation.measures.base import AddedMeasure
from duolearn_cli.evaluation.measures.measure import ANY, POSITIVE, SHARE, Measure
from duolearn_cli.evaluation.measures.rows import MEASURES, OF_SPLIT, limits_of, of_table

__all__ = [
    "ANY",
    "FORGET",
    "MEASURES",
    "OF_SPLIT",
    "POSITIVE",
    "RETAIN",
    "SHARE",
    "SIDES",
    "AddedMeasure",
    "Answer",
    "Answers",
    "Measure",
    "limits_of",
    "of_table",
    "setting",
]
