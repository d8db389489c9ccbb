"""Views of a hierarchy: as a tree, as counts, and as mentions in a text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from duolearn_cli.concepts.concept import LEVELS, Concept
from duolearn_cli.concepts.hierarchy import Hierarchy, Target
from duolearn_cli.concepts.matcher import Mention
from duolearn_cli.report.figures import FORGET, GOLD, RETAIN

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text
    from rich.tree import Tree

LEVEL_COLOURS = {1: "#56B4E9", 2: "#009E73", 3: "#E69F00", 4: "#CC79A7"}
STATE_COLOURS = {"forget": FORGET, "boundary": "#E69F00", "kept": GOLD, "other": RETAIN}


def state(concept_id: str, target: Target | None) -> str:
    """Return the state of a concept under a forget target: forget, boundary, kept or other; "" without a target."""
    if target is None:
        return ""
    for name in ("forget", "boundary", "kept"):
        if concept_id in getattr(target, name):
            return name
    return "other"


def tree(hierarchy: Hierarchy, target: Target | None, node: str | None, depth: int) -> Tree:
    """Return the tree below `node`, or all trees if it is None, to a depth of `depth` levels.

    In the view of all trees, concepts without children are only counted, except for roots.
    """
    from rich.tree import Tree

    if node is not None:
        top = Tree(_label(hierarchy, node, target))
        _grow(top, hierarchy, hierarchy.children(node), target, depth - 1, whole=True)
        return top
    top = Tree(f"{len(hierarchy):,} concepts")
    roots = [concept.id for concept in hierarchy.concepts.values() if not concept.parents]
    for root in roots:
        branch = top.add(_label(hierarchy, root, target))
        _grow(branch, hierarchy, hierarchy.children(root), target, depth - 1, whole=False)
    return top


def _grow(
    branch: Tree, hierarchy: Hierarchy, nodes: Sequence[str], target: Target | None, depth: int, *, whole: bool
) -> None:
    if depth < 1:
        return
    shown = [node for node in nodes if whole or hierarchy.children(node)]
    for node in shown:
        below = branch.add(_label(hierarchy, node, target))
        _grow(below, hierarchy, hierarchy.children(node), target, depth - 1, whole=whole)
    if left := len(nodes) - len(shown):
        branch.add(f"{left:,} more without children")


def _label(hierarchy: Hierarchy, node: str, target: Target | None) -> Text:
    from rich.text import Text

    concept, become = hierarchy[node], state(node, target)
    label = Text(concept.name, style=STATE_COLOURS[become] if become in ("forget", "boundary", "kept") else "")
    label.append(f"  {concept.id}" if concept.id != concept.name else "", style="dim")
    label.append(f"  level {concept.level}", style=LEVEL_COLOURS[concept.level])
    if below := len(hierarchy.descendants([node])) - 1:
        label.append(f"  {below:,} below", style="dim")
    if become and become != "other":
        label.append(f"  [{become}]", style=STATE_COLOURS[become])
    return label


def marked(text: str, mentions: Sequence[Mention], target: Target | None) -> Text:
    """Return the text with each mention in brackets, coloured by the state of its concept."""
    from rich.text import Text

    shown, end = Text(), 0
    for mention in mentions:
        shown.append(text[end : mention.start])
        colour = STATE_COLOURS[state(mention.concept, target) or "other"]
        shown.append(f"[{text[mention.start : mention.end]}]", style=f"bold {colour}")
        end = mention.end
    return shown.append(text[end:])


def mentions_table(text: str, mentions: Sequence[Mention], hierarchy: Hierarchy, target: Target | None) -> Table:
    """Return the table of mentions: words, concept, level, name, path to a root, and state under the target."""
    from rich.table import Table
    from rich.text import Text

    table = Table("words", "concept", "level", "name", "path", *(["target"] if target else []))
    for mention in mentions:
        concept = hierarchy[mention.concept]
        path = " > ".join(reversed(path_to_root(hierarchy, concept.id)))
        cells = [text[mention.start : mention.end], concept.id, str(concept.level), concept.name, path]
        become = state(concept.id, target)
        table.add_row(*map(Text, cells), *([Text(become, style=STATE_COLOURS[become])] if become else []))
    return table


def path_to_root(hierarchy: Hierarchy, node: str) -> list[str]:
    """Return the concept and its ancestors up to a root, following first parents."""
    path = [node]
    while parents := hierarchy[path[-1]].parents:
        path.append(parents[0])
    return path


def counts_table(hierarchy: Hierarchy) -> Table:
    """Return the table of the numbers of concepts and terms by level."""
    from rich.table import Table

    concepts = Counter(concept.level for concept in hierarchy.concepts.values())
    terms: Counter[int] = Counter()
    for concept in hierarchy.concepts.values():
        terms[concept.level] += len(concept.terms)
    table = Table("level", "name", "concepts", "terms")
    for level, name in LEVELS.items():
        table.add_row(str(level), name, f"{concepts[level]:,}", f"{terms[level]:,}")
    table.add_row("", "all", f"{concepts.total():,}", f"{terms.total():,}")
    return table


def facts(concepts: Sequence[Concept]) -> Iterator[str]:
    """Yield further counts, one line each: roots, concepts with several parents, mapped subjects."""
    yield f"{sum(not concept.parents for concept in concepts):,} roots"
    yield f"{sum(len(concept.parents) > 1 for concept in concepts):,} concepts with several parents"
    labels = {label for concept in concepts for label in concept.subjects}
    yield f"{len(labels):,} subjects mapped" + (f": {', '.join(sorted(labels))}" if labels else "")
