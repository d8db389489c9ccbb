"""The embedded vocabulary and its matcher, built once for all tests of a process."""

from functools import cache

from duolearn_cli.concepts.hierarchy import Hierarchy, read_hierarchy
from duolearn_cli.concepts.matcher import Matcher
from duolearn_cli.concepts.sources.embedded import FOLDER


@cache
def embedded() -> Hierarchy:
    return read_hierarchy(FOLDER / "medical4.tsv")


@cache
def embedded_matcher() -> Matcher:
    return Matcher(embedded())
