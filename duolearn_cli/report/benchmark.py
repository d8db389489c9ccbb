"""What `duolearn benchmark` found: a table, the figure of what was kept over what was forgotten, a page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from duolearn_cli.evaluation.measures import of_table
from duolearn_cli.evaluation.measures.central import FORGETTING, KEEPING
from duolearn_cli.evaluation.measures.measure import Measure
from duolearn_cli.files import write_text
from duolearn_cli.report.figures import BASE, GOLD, panels, to_svg
from duolearn_cli.report.measures import DASH, added_to, cell, cell_of, heading_of, number
from duolearn_cli.report.pareto import finish, looks, mark, reference
from duolearn_cli.report.pictures import Picture
from duolearn_cli.report.summary_page import Summary, write_summary
from duolearn_cli.report.tables import Table, markdown_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

REST = ("KS to gold (of a model like gold, at most) ↓", "changed (%)", "runs", "tries")
VOLUMES = ("Hypervolume ↑", "Behind the best", "Hypervolume with MIA ↑", "Behind the best, with MIA")
FIGURE_HEIGHT = 6.5
CAPTION = "Keeping, and likeness to gold, over forgetting; small: tries, on validation facts"


def benchmark_table(found: Mapping[str, Any]) -> Table:
    """One row a method and number of passes, best hypervolume first, and gold's."""
    has_passes = any(len(one["runs"]) > 1 for one in found["methods"].values())
    header = ("Method", *(("passes",) if has_passes else ()), *VOLUMES)
    measures = of_table("benchmark", added_to(found))
    header += (*map(heading_of, measures.values()), *REST)
    is_compared = _compared(found) > 1
    rows = [row for name in ranking(found) for row in _rows(name, found, measures, has_passes, is_compared)]
    if gold := found["references"].get("gold"):
        cells = [cell_of(measure, gold.get(key)) for key, measure in measures.items()]
        start, dashes = ("",) if has_passes else (), [DASH] * len(VOLUMES)
        rows.append(("gold", *start, *dashes, *cells, _floor(found), *[DASH] * (len(REST) - 1)))
        expected = [cell_of(measure, gold.get(measure.expected or "")) for measure in measures.values()]
        if any(text != DASH for text in expected):
            rows.append(("if members did not differ", *start, *dashes, *expected, *[DASH] * len(REST)))
    return Table(_title(found), header, tuple(rows), num_text=2 if has_passes else 1)


def ranking(found: Mapping[str, Any]) -> list[str]:
    """The methods, best hypervolume first, those without one last."""

    def value(name: str) -> float:
        known = number((found["methods"][name].get("hypervolume") or {}).get("value"))
        # No volume is negative, so methods without one come last.
        return -1.0 if known is None else known

    return sorted(found["methods"], key=lambda name: -value(name))


def _rows(
    name: str, found: Mapping[str, Any], measures: Mapping[str, Measure], has_passes: bool, is_compared: bool
) -> Iterator[tuple[str, ...]]:
    one = found["methods"][name]
    tries = str(len(one["trials"]))
    if not one["runs"]:
        nothing = [DASH] * (len(VOLUMES) + len(measures) + 2)
        yield (name, *(("",) if has_passes else ()), *nothing, _without_runs(one), tries)
    for place, (epochs, run) in enumerate(one["runs"].items()):
        volumes = [text for suffix in ("", "_mia") for text in _volume(name, one, suffix, is_compared)]
        scores = (cell_of(measure, run.get(key)) for key, measure in measures.items())
        rest = (_distance(run), _digits(run.get("changed"), 3, 100), _runs(run), tries if not place else "")
        first = (name, *volumes) if not place else [""] * (1 + len(volumes))
        yield (first[0], *((epochs,) if has_passes else ()), *first[1:], *scores, *rest)


def _compared(found: Mapping[str, Any]) -> int:
    """How many methods have a volume."""
    return sum(1 for one in found["methods"].values() if one.get("hypervolume"))


def _volume(name: str, one: Mapping[str, Any], suffix: str, is_compared: bool) -> tuple[str, str]:
    """A method's volume, and how far it is behind the best one's, if there is another."""
    is_best = is_compared and one.get(f"best{suffix}") == name
    behind = "best" if is_best else cell(one.get(f"behind{suffix}"), 1, 3)
    return cell(one.get(f"hypervolume{suffix}"), 1, 3), behind


def _distance(run: Mapping[str, Any]) -> str:
    """KS to gold, and what a model that does not differ from gold would have at most in 95 % of cases."""
    same = number(run.get("ks_same"))
    return _digits(run.get("ks"), 2) + ("" if same is None else f" ({same:.2f})")


def _floor(found: Mapping[str, Any]) -> str:
    """KS of golds of different seeds from each other, where there are several."""
    return _digits((found["references"].get("floor") or {}).get("ks"), 2)


def _without_runs(one: Mapping[str, Any]) -> str:
    is_open = any(trial["status"] not in ("finished", "diverged") for trial in one["trials"])
    return "not chosen yet" if is_open else "no try is worth anything"


def _runs(run: Mapping[str, Any]) -> str:
    parts = [str(run["finished"])]
    parts += [f"{run['diverged']} diverged"] if run["diverged"] else []
    still = run["planned"] - run["finished"] - run["diverged"]
    return ", ".join(parts + ([f"{still} to do"] if still else []))


def _digits(value: float | None, digits: int, scale: float = 1) -> str:
    return DASH if number(value) is None else f"{scale * number(value):.{digits}f}"  # type: ignore[operator]


def _title(found: Mapping[str, Any]) -> str:
    return (
        f"{found['forget']}, {found['dataset']}, {found['model']}: tried on validation facts, seeds "
        f"{', '.join(map(str, found['seeds']))} on test facts, with 95 % intervals"
    )


def pareto(found: Mapping[str, Any]) -> Figure | None:
    """Over forgetting: keeping, of each method's runs with intervals, its tries (small), gold and target; below it how
    much like gold's the losses on forget items are.
    """
    names = [name for name in ranking(found) if any(run["finished"] for run in found["methods"][name]["runs"].values())]
    if not names:
        return None

    def keeping(axes: Axes) -> None:
        for name, (color, marker) in looks(names, "duolearn").items():
            one = found["methods"][name]
            tries = [t for t in one["trials"] if None not in (number(t.get("forgetting")), number(t.get("keeping")))]
            across = [100 * trial["forgetting"] for trial in tries]
            axes.plot(across, [100 * t["keeping"] for t in tries], ".", color=color, alpha=0.35, markersize=4)
            for run in one["runs"].values():
                mark(axes, run, color, marker)
            # For the legend: one entry for each method, however many runs it has.
            axes.plot([], [], marker, color=color, linestyle="", label=name)
        for name, color in (("gold", GOLD), ("target", BASE)):
            if point := reference(found["references"].get(name) or {}, is_target=name == "target"):
                axes.plot(*point, "*", color=color, markersize=13, linestyle="", label=name)
        axes.set_ylabel(KEEPING.label)
        axes.figure.legend(loc="outside right upper")

    def likeness(axes: Axes) -> None:
        for name, (color, marker) in looks(names, "duolearn").items():
            for run in found["methods"][name]["runs"].values():
                across, apart = run.get(FORGETTING.key), number(run.get("ks"))
                if across and apart is not None:
                    # Turned round, so that higher is better, as in the panel above.
                    axes.plot(100 * across["value"], 100 * (1 - apart), marker, color=color, markersize=7)
        if point := reference(found["references"].get("gold") or {}, is_target=False):
            axes.plot(point[0], 100, "*", color=GOLD, markersize=13)
        axes.set_ylabel("100 - KS to gold (%)")

    return panels([keeping, likeness], FIGURE_HEIGHT, finish)


def write_page(folder: Path, found: Mapping[str, Any]) -> None:
    """Write benchmark.html and benchmark.md for people, and beside them pareto.svg where there is anything to draw."""
    figure, said = pareto(found), remarks(found)
    pictures = [Picture("pareto", CAPTION, to_svg(figure))] if figure else []
    summary = Summary(
        f"Benchmark: {found['forget']}",
        sentence(found),
        warnings(found),
        said,
        [benchmark_table(found), choices_table(found)],
        pictures,
    )
    write_summary(folder / "benchmark.html", summary)
    parts = [f"# Benchmark: {markdown_text(found['forget'])}", benchmark_table(found).markdown()]
    parts.append("\n".join(f"- {markdown_text(remark)}" for remark in [*said, *warnings(found)]))
    for picture in pictures:
        write_text(folder / f"{picture.name}.svg", picture.svg)
        parts.append(f"![{picture.caption}]({picture.name}.svg)")
    parts.append(choices_table(found).markdown())
    write_text(folder / "benchmark.md", "\n\n".join(parts) + "\n")


def remarks(found: Mapping[str, Any]) -> list[str]:
    """How the numbers came about, and what casts doubt on them."""
    compared = _compared(found)
    said = [
        f"Chosen by: {found['criterion']}; of equals the one that keeps more. On validation facts with seed "
        f"{found['seed']}.",
        "Means over seeds, with intervals over seeds and facts together; each stands for itself: of twenty, one is "
        "expected to be off. Hypervolume: what a method's means dominate of the square of forgetting and keeping, cut "
        "to 0 to 1; with the MIA score of the cube of all three.",
    ]
    if compared > 1:
        said.append(
            f"Behind the best: the intervals hold for all differences among the {compared} methods together, so that "
            "it does not matter that the best was picked by the same facts."
        )
    said += filter(None, (_learning(found), _golds(found)))
    if found["privacy"] != "none":
        said.append(
            "The choice among tries looks at raw answers: it is no part of any run's epsilon, nor is releasing several "
            "of these models together."
        )
    for name, space in found["search"].items():
        given = ", ".join(f"{key}: {values}" for key, values in space.items())
        said.append(f"{name}: its tries after the defaults are from a space given for this benchmark ({given}).")
    return said


def warnings(found: Mapping[str, Any]) -> list[str]:
    """The warnings of every method's runs, once each."""
    said = []
    for name in ranking(found):
        flags = dict.fromkeys(flag for run in found["methods"][name]["runs"].values() for flag in run.get("flags", ()))
        said += [f"{name}: {flag}" for flag in flags]
    return said


def sentence(found: Mapping[str, Any]) -> str:
    """The result in one sentence: which method dominates most, and which ones are not shown to be behind it."""
    compared = [name for name in ranking(found) if found["methods"][name].get("hypervolume")]
    if not compared:
        return "No method has a hypervolume yet."
    best, volume = compared[0], found["methods"][compared[0]]["hypervolume"]
    first = f"{best} has the largest hypervolume, {cell(volume, 1, 3)}, of {len(compared)} methods"
    # Behind by zero or less is within the interval: the data do not tell such a method from the best.
    near = [name for name in compared[1:] if (low := _behind(found, name)) is None or low <= 0]
    return f"{first}; not shown to be behind it: {', '.join(near)}." if near else f"{first}."


def _behind(found: Mapping[str, Any], name: str) -> float | None:
    return number((found["methods"][name].get("behind") or {}).get("low"))


def _learning(found: Mapping[str, Any]) -> str:
    if found["references"] and "gold" not in found["references"]:
        return "The target was given (learn.skip=true): there is no gold, and nothing is compared with it."
    learned = found["references"].get("learned", 1)
    if learned > 1:
        return f"Targets and golds were learned with {learned} seeds: the intervals have that in them."
    return (
        "All seeds share one target and one gold: the intervals leave out what learning these anew would change. To "
        "have it in them, begin the benchmark with benchmark.learn_seeds=true."
    )


def _golds(found: Mapping[str, Any]) -> str:
    if floor := found["references"].get("floor"):
        apart = f"Golds of {floor['golds']} seeds are {floor['ks']:.2f} from each other by KS"
        return f"{apart}: no method can be expected nearer."
    if found["references"] and "gold" not in found["references"]:
        return ""
    return (
        "How far golds of different seeds are from each other is not known here: that takes several "
        "(benchmark.learn_seeds=true)."
    )


def choices_table(found: Mapping[str, Any]) -> Table:
    """Every try, with what it was worth; the chosen one is marked."""
    rows = []
    for name in ranking(found):
        one = found["methods"][name]
        for place, trial in enumerate(one["trials"]):
            settings = " ".join(f"{key}={value}" for key, value in trial["settings"].items()) or "defaults"
            points = (_digits(trial.get(key), 1, 100) for key in ("forgetting", "keeping"))
            worth = _digits(trial["distance"], 3) if trial["status"] == "finished" else trial["status"]
            rows.append((name, settings, *points, worth, "chosen" if place == one["choice"] else ""))
    header = ("Method", "Try", FORGETTING.label, KEEPING.label, "Distance ↓", "")
    return Table("Tries, on validation facts", header, tuple(rows), num_text=2)
