"""How large files and functions of the package are: `python scripts/house_figures.py [FIGURE ...]`.

Prints each figure beside its limit and names what exceeds a limit of parameters. Ends with status 1 where a limit is
exceeded; with FIGURE ... only these count, by the names in the table.

What is counted:
- top files: the .py files directly in duolearn_cli/.
- file lines: all lines of a .py file; `__init__.py` files are left out, for they hold a docstring alone.
- function lines: from the first statement after the docstring to the last line, comments and blank lines included.
  Methods and inner functions count as functions. Functions that have only a docstring are left out.
- parameters: all but `self` and `cls`, of functions outside duolearn_cli/cli/. The `__init__` that a dataclass gets is
  no function of the source.
- comments: lines that hold a comment for readers (not for ruff or pyright), as a share of all lines.
- found: how often a variable with that name gets a value. It has no limit.
"""

from __future__ import annotations

import ast
import io
import re
import statistics
import sys
import tokenize
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1] / "duolearn_cli"
MAX_PARAMETERS = 7
_FOR_TOOLS = re.compile(r"#\s*(type:|pyright:|noqa|ruff:|fmt:)")
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class Source:
    """A file of the package: its path below the package, its text, its syntax tree."""

    path: str
    text: str
    tree: ast.Module

    def functions(self) -> Iterator[Function]:
        """Every function, method and inner function."""
        return (node for node in ast.walk(self.tree) if isinstance(node, Function))


@dataclass(frozen=True, slots=True)
class Figure:
    """A number that is measured; `limit` says in words which values are allowed, `holds` whether this one is."""

    name: str
    value: float
    limit: str = ""
    holds: bool = True
    remark: str = ""


def sources(package: Path = PACKAGE) -> list[Source]:
    """Read every module of the package, in order of their paths."""
    read = {str(path.relative_to(package)): path.read_text("utf-8") for path in sorted(package.rglob("*.py"))}
    return [Source(path, text, ast.parse(text)) for path, text in read.items()]


def figures(modules: Sequence[Source]) -> list[Figure]:
    """Measure the modules."""
    files = [len(module.text.splitlines()) for module in modules if not module.path.endswith("__init__.py")]
    bodies = [lines for module in modules for one in module.functions() if (lines := body_lines(one))]
    wide = list(many_parameters(modules))
    top = sum("/" not in module.path for module in modules)
    lines = sum(len(module.text.splitlines()) for module in modules)
    comments = 100 * sum(comment_lines(module.text) for module in modules) / lines
    return [
        _at_most("top files", top, 5),
        _at_most("file median", statistics.median(files), 110, "about 100"),
        _at_most("file p90", percentile(files, 90), 220),
        _at_most("function median", statistics.median(bodies), 8),
        _at_most("function p90", percentile(bodies, 90), 22),
        _at_most("parameters", len(wide), 0, f"none with more than {MAX_PARAMETERS}", "; ".join(wide)),
        Figure("comments", comments, "3 to 6 %", 3 <= comments <= 6),
        Figure("found", sum(map(times_found, modules))),
    ]


def body_lines(function: Function) -> int:
    """Lines from the first statement after the docstring to the end; 0 where there is only a docstring."""
    body = function.body[1:] if ast.get_docstring(function, clean=False) is not None else function.body
    return (function.end_lineno or 0) - body[0].lineno + 1 if body else 0


def many_parameters(modules: Sequence[Source]) -> Iterator[str]:
    """Yield the place, name and number of parameters of each function outside cli/ that has too many."""
    for module in modules:
        for function in module.functions() if not module.path.startswith("cli/") else ():
            if (count := parameters(function)) > MAX_PARAMETERS:
                yield f"{module.path}:{function.lineno} {function.name} {count}"


def parameters(function: Function) -> int:
    """The number of parameters without `self` and `cls`."""
    taken = function.args
    named = [*taken.posonlyargs, *taken.args, *taken.kwonlyargs, *filter(None, (taken.vararg, taken.kwarg))]
    return sum(argument.arg not in ("self", "cls") for argument in named)


def comment_lines(text: str) -> int:
    """Lines with a comment that is for readers."""
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return sum(token.type == tokenize.COMMENT and not _FOR_TOOLS.match(token.string) for token in tokens)


def times_found(module: Source) -> int:
    """How often a variable called `found` gets a value."""
    names = (node for node in ast.walk(module.tree) if isinstance(node, ast.Name) and node.id == "found")
    return sum(isinstance(name.ctx, ast.Store) for name in names)


def percentile(values: Sequence[int], share: int) -> float:
    """The value that `share` percent of the values do not exceed."""
    return statistics.quantiles(values, n=100, method="inclusive")[share - 1]


def _at_most(name: str, value: float, limit: float, words: str = "", remark: str = "") -> Figure:
    return Figure(name, value, words or f"at most {limit:g}", value <= limit, remark)


def line(figure: Figure) -> str:
    """A figure in a line, with what exceeds its limit below it."""
    verdict = "" if not figure.limit else "  ok" if figure.holds else "  EXCEEDED"
    remark = "".join(f"\n    {one}" for one in figure.remark.split("; ") if one)
    return f"{figure.name:<16} {figure.value:7.4g}  {figure.limit}{verdict}{remark}"


def main(names: Sequence[str], measured: Sequence[Figure]) -> int:
    """Print all figures; return 1 where one of `names` (empty: any) exceeds its limit."""
    known: Mapping[str, Figure] = {figure.name: figure for figure in measured}
    if unknown := [name for name in names if name not in known]:
        print(f"no such figure: {', '.join(unknown)}; allowed: {', '.join(known)}", file=sys.stderr)
        return 2
    print("\n".join(map(line, measured)))
    return int(not all(known[name].holds for name in names or known))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], figures(sources())))
