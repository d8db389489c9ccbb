"""Print the packages of `duolearn_cli` by storey; fail where imports form a cycle.

Every import counts: at the top of a module, inside a function, under TYPE_CHECKING. Importing ``a.b.c`` from outside
``a.b`` also imports ``a.b``, whose ``__init__`` runs first. The storey of a package is the length of the longest chain
of packages below it.

    python scripts/import_graph.py [FOLDER]
"""

from __future__ import annotations

import argparse
import ast
from collections.abc import Collection, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from importlib.util import resolve_name
from pathlib import Path

# From a module or package to what it imports, both by dotted name.
Graph = Mapping[str, Collection[str]]
ROOT = Path(__file__).parents[1] / "duolearn_cli"


def main() -> int:
    """Print the packages of the folder on the command line; return 1 where imports form a cycle."""
    parser = argparse.ArgumentParser(description="Print packages by storey; fail where imports form a cycle.")
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT, help="the folder of a package")
    modules = module_graph(parser.parse_args().folder)
    packages = package_graph(modules)
    for graph in (modules, packages):
        if cycle := find_cycle(graph):
            print("imports form a cycle:", " -> ".join(cycle))
            return 1
    for storey, name in sorted(((storey, name) for name, storey in storeys(packages).items()), reverse=True):
        print(f"{storey:3}  {name:12} {', '.join(sorted(packages[name]))}".rstrip())
    print(f"{len(packages)} packages, {len(modules)} modules, {sum(map(len, modules.values()))} imports, no cycle")
    return 0


def module_graph(folder: Path) -> dict[str, set[str]]:
    """What each module of the package in `folder` imports from that package."""
    paths = {_name(path.relative_to(folder.parent)): path for path in folder.rglob("*.py")}
    graph: dict[str, set[str]] = {}
    for name, path in paths.items():
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        tree = ast.parse(path.read_text(encoding="utf-8"))
        graph[name] = set(_executed(_imported(tree, package, paths), name)) - {name}
    return graph


def _name(path: Path) -> str:
    return ".".join(path.parent.parts if path.name == "__init__.py" else path.with_suffix("").parts)


def _imported(tree: ast.Module, package: str, known: Collection[str]) -> Iterator[str]:
    """The known modules that import statements name; `package` is what relative ones start from."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom):
            module = resolve_name("." * node.level + (node.module or ""), package)
            names = (f"{module}.{alias.name}" for alias in node.names)
            yield from (found for name in names if (found := name if name in known else module) in known)


def _executed(modules: Iterator[str], importer: str) -> Iterator[str]:
    """`modules` and the packages around them, except those that `importer` itself is in."""
    for module in modules:
        yield module
        parts = module.split(".")
        packages = (".".join(parts[:depth]) for depth in range(1, len(parts)))
        yield from (package for package in packages if not f"{importer}.".startswith(f"{package}."))


def package_graph(modules: Graph) -> dict[str, set[str]]:
    """What the packages right below the root import from each other; modules beside them count as packages."""
    graph: dict[str, set[str]] = {}
    for module, imported in modules.items():
        name = _package(module)
        graph.setdefault(name, set()).update(set(map(_package, imported)) - {name})
    return graph


def _package(module: str) -> str:
    return [*module.split("."), "__init__"][1]


def find_cycle(graph: Graph) -> list[str]:
    """A cycle, its first name repeated at the end; empty where there is none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return error.args[1][::-1]
    return []


def storeys(graph: Graph) -> dict[str, int]:
    """For each name of a graph without cycles, how long the longest chain of imports below it is."""
    found: dict[str, int] = {}
    for name in TopologicalSorter(graph).static_order():
        found[name] = max((found[below] + 1 for below in graph[name]), default=0)
    return found


if __name__ == "__main__":
    raise SystemExit(main())
