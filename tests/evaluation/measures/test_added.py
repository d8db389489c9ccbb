"""Measures that are added: each of conf/measure, the example of CONTRIBUTING.md, and how wrong ones are told."""

import json
import math
import random
from dataclasses import dataclass

import pytest
from omegaconf import OmegaConf

from duolearn_cli.benchmarks.methods.record import Result, read_record, write_record
from duolearn_cli.benchmarks.methods.results import figures
from duolearn_cli.config.components import component
from duolearn_cli.config.compose import compose
from duolearn_cli.errors import ConfigError, RunError
from duolearn_cli.evaluation.measures import AddedMeasure
from duolearn_cli.evaluation.measures.added import add_measures, estimate
from duolearn_cli.evaluation.metrics.intervals import Estimate
from duolearn_cli.files import finite, groups
from duolearn_cli.report.averages import mean_over_jobs
from duolearn_cli.report.benchmark import benchmark_table
from duolearn_cli.report.jobs import Job
from duolearn_cli.report.measures import added_to, cell_of, heading_of
from duolearn_cli.report.sweep import over_seeds, sweep_table, verdicts
from duolearn_cli.report.tables import measures_table
from tests.benchmarks.methods.folders import leave_run
from tests.contributing import leave_example
from tests.evaluation.measures.made_up import models

SHIPPED = sorted(groups()["measure"])
ANSWERS = models()


@pytest.fixture(params=[*SHIPPED, "margin"])
def named(request, tmp_path, monkeypatch):
    """A measure's name with a configuration that has it."""
    leave_example("measure", tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    given = [f"+measure={request.param}", "plugins=[margin]"]
    return request.param, compose("unlearn", ["+forget=surgery", *given], str(tmp_path / "groups"))


def measure_of(named):
    key, config = named
    return component(config.measures[key], config.plugins)


def test_it_is_right_and_its_values_are_within_its_limits(named):
    measure = measure_of(named)
    assert list(measure.wrong_as(named[0])) == []
    low, high = measure.limits
    for name in ANSWERS:
        found = estimate(named[0], measure, name, ANSWERS)
        assert low <= found.low <= found.value <= found.high <= high
        assert found.higher_is_better == measure.higher_is_better and found.facts == found.n > 0


def test_the_order_of_items_does_not_matter_to_it(named):
    measure, rng = measure_of(named), random.Random(0)
    orders = {split: rng.sample(range(len(rows)), len(rows)) for split, rows in ANSWERS["base"].items()}
    mixed = {
        name: {split: [rows[k] for k in orders[split]] for split, rows in own.items()} for name, own in ANSWERS.items()
    }
    for name in ANSWERS:
        first, second = (estimate(named[0], measure, name, answers) for answers in (ANSWERS, mixed))
        assert (first.value, first.low, first.high) == pytest.approx((second.value, second.low, second.high))


def test_without_items_it_has_no_value(named):
    assert estimate(named[0], measure_of(named), "gold", {"gold": {}, "target": {}}) is None


def run_of(config, answers=ANSWERS):
    """What a run's metrics.json holds of added measures, read again."""
    entries = {name: {"scores": {}} for name in answers}
    found = {"models": entries} | add_measures(config, answers, entries)
    return json.loads(json.dumps(finite(found)))


def test_it_is_in_every_table_with_interval_and_direction(named, tmp_path):
    key, config = named
    metrics = run_of(config)
    row = added_to(metrics)[key]
    assert row.limits == measure_of(named).limits and row.name in heading_of(row)
    (line,) = measures_table(metrics).rows
    scores = metrics["models"]["unlearned"]["scores"]
    assert line[0].startswith(heading_of(row)) and line[1] == cell_of(row, scores[key]) and "[" in line[1]
    jobs = [Job(str(seed), {"seed": seed}, scores, measures={key: row}) for seed in range(3)]
    assert sweep_table(jobs).header[-2] == heading_of(row) and sweep_table(jobs).rows[0][-2] == line[1]
    assert over_seeds(jobs).header[-2] == heading_of(row) and "[" in over_seeds(jobs).rows[0][-2]
    assert row.name in verdicts(jobs)[0]
    found = compared(metrics, tmp_path)
    place = found.header.index(heading_of(row))
    assert "[" in found.rows[0][place] and [line[0] for line in found.rows] == ["npo", "gold"]
    assert found.rows[1][place] == cell_of(row, metrics["models"]["gold"]["scores"][key])


def compared(metrics, folder):
    """The table of a benchmark with three runs of one method."""
    runs = []
    for seed in range(3):
        leave_run(folder / f"seed-{seed}", 0.6, 0.9, seed=seed)
        path = folder / f"seed-{seed}" / "metrics.json"
        left = json.loads(path.read_text())
        for name, entry in left["models"].items():
            entry["scores"] |= metrics["models"][name]["scores"]
        path.write_text(json.dumps(left | {"measures": metrics["measures"]}))
        runs.append(Result.read(path.parent))
    about = {"forget": "surgery", "dataset": "minimed", "model": "tiny", "seeds": [0, 1, 2]}
    found = figures(about | {"methods": {"npo": {"trials": []}}}, {"npo": {1: runs}})
    assert found["measures"] == metrics["measures"]
    write_record(folder / "answers.json.gz", found, {"npo": {1: runs}})
    told, again = read_record(folder / "answers.json.gz")
    assert figures(about | {"methods": {"npo": {"trials": []}}}, again) == found
    return benchmark_table(told)


def test_means_end_where_its_values_do():
    row = Spread().row("spread")
    jobs = [Job(str(k), {"seed": k}, {"spread": {"value": 0.9, "low": 0.2, "high": 1.9}}) for k in range(3)]
    assert mean_over_jobs(jobs, row, [None] * 3)["high"] == 1.5


@dataclass
class Spread(AddedMeasure):
    """A measure that does what `does` says."""

    does: str = "nothing"
    only: str = "unlearned"

    name = "Spread"
    definition = "Nothing much."
    limits = (0.0, 1.5)

    def measure(self, model, answers):
        found = {
            "fails": lambda: 1 / 0,
            "a number": lambda: 0.5,
            "nan": lambda: {"a": math.nan},
            "words": lambda: {"a": "much"},
            "too much": lambda: {"a": 0.5, "b": 2.0},
            "half an interval": lambda: Estimate(0.5, 0.1, None, 3),
            "an estimate": lambda: Estimate(0.5, 0.1, 0.9, 3, facts=3),
            "few facts": lambda: {"a": 0.5},
            "nothing": lambda: None,
        }
        return found[self.does]() if model == self.only else None


WRONG = {
    "fails": r"measures.spread failed on unlearned: ZeroDivisionError: division by zero (test_added.py, line ",
    "a number": "returned 0.5; allowed: numbers by fact",
    "nan": "returned nan for the fact a; allowed: a finite number",
    "words": "returned 'much' for the fact a; allowed: a finite number",
    "too much": "returned 2.0 for the fact b; its limits are 0 to 1.5.",
    "half an interval": "allowed: an interval of two finite numbers",
}


@pytest.mark.parametrize("does", WRONG)
def test_what_it_gives_wrongly_is_told_with_its_name(does):
    (problem,) = Spread(does).wrong_as("spread")
    assert "measures.spread" in problem and WRONG[does] in problem and "made-up answers" in problem
    with pytest.raises(RunError) as refused:
        estimate("spread", Spread(does), "unlearned", ANSWERS)
    assert WRONG[does] in str(refused.value)


def test_an_estimate_of_its_own_stays_and_one_fact_has_no_interval():
    found = estimate("spread", Spread("an estimate"), "unlearned", ANSWERS)
    assert (found.value, found.low, found.high, found.higher_is_better) == (0.5, 0.1, 0.9, None)
    alone = estimate("spread", Spread("few facts"), "unlearned", ANSWERS)
    assert alone.value == 0.5 and alone.low is None and alone.n == 1
    assert estimate("spread", Spread("an estimate"), "gold", ANSWERS) is None


@dataclass
class Nameless(AddedMeasure):
    limits = (1.0, 0.0)

    def measure(self, model, answers):
        return None


@dataclass
class Misspelt(AddedMeasure):
    higher_is_beter = True
    percent = "yes"


@dataclass
class Picky(Spread):
    def __post_init__(self):
        raise ValueError("no such thing")


@pytest.mark.parametrize(
    ("node", "said"),
    [
        ({"_target_": f"{__name__}.Nameless"}, "Nameless.name is empty; needed: a text."),
        ({"_target_": f"{__name__}.Nameless"}, "Nameless.limits is (1.0, 0.0); allowed: two numbers"),
        (
            {"_target_": f"{__name__}.Misspelt"},
            "Misspelt.higher_is_beter is no hook, so nothing would read it; did you",
        ),
        ({"_target_": f"{__name__}.Misspelt"}, "Misspelt.percent is of type str; needed: bool."),
        ({"_target_": f"{__name__}.Misspelt"}, "Misspelt.measure is missing; define it."),
        ({"_target_": f"{__name__}.Picky"}, "Picky refuses its settings: ValueError: no such thing."),
        ({"_target_": f"{__name__}.Spread", "does": "fails"}, "measures.spread failed on unlearned: ZeroDivisionError"),
        ({"_target_": "duolearn_cli.methods.npo.NPO"}, "NPO does not derive from AddedMeasure"),
        ({"_target_": f"{__name__}.Spread", "dose": "x"}, "measures.spread.dose: there is no such setting"),
    ],
)
def test_a_wrong_measure_is_refused_before_anything_is_loaded(node, said):
    given = ",".join(f"{key}:{value}" for key, value in node.items())
    with pytest.raises(ConfigError) as refused:
        compose("unlearn", ["+forget=surgery", f"+measures.spread={{{given}}}", f"plugins=[{__name__}]"])
    assert said in str(refused.value)


@pytest.mark.parametrize("key", ["hmta", "accuracy", "changed"])
def test_a_name_of_ours_is_refused(key):
    (problem,) = Spread().wrong_as(key)
    assert f"{key} is a name of duolearn's own" in problem and "# @package measures.NAME" in problem


def test_a_measure_that_fails_on_real_answers_is_told_with_its_name():
    config = OmegaConf.create({"measures": {"spread": {"_target_": f"{__name__}.Spread", "does": "fails"}}})
    config.plugins = [__name__]
    with pytest.raises(RunError, match=r"measures\.spread failed on unlearned: ZeroDivisionError.*evaluate run=FOLDER"):
        add_measures(config, ANSWERS, {name: {"scores": {}} for name in ANSWERS})


def test_a_run_without_added_measures_says_nothing_of_them():
    assert add_measures(compose("unlearn", ["+forget=surgery"]), ANSWERS, {}) == {}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("measure=truth_ratio", "it is added with a plus: +measure=truth_ratio"),
        ("+measure=[truth_ratio,truth]", "there is no such measure; allowed: truth_ratio"),
        ("+measure=truth_ratio,truth_ratio", "for several in one run write +measure=[truth_ratio,truth_ratio]"),
        ("+measures.mine=3", "measures.mine=3: allowed: a component"),
    ],
)
def test_a_choice_that_cannot_be_is_refused(given, said):
    with pytest.raises(ConfigError) as refused:
        compose("unlearn", ["+forget=surgery", given])
    assert said in str(refused.value)


def test_a_command_that_measures_nothing_refuses_it():
    with pytest.raises(ConfigError, match="`duolearn inspect` scores no model; leave out truth_ratio"):
        compose("inspect", ["+forget=surgery", "+measure=truth_ratio"])


def test_a_setting_that_is_not_there_is_told_with_those_that_are():
    with pytest.raises(ConfigError, match=r"measures.truth_ratio.sid: .* allowed: side \(did you mean 'side'\?\)"):
        compose("unlearn", ["+forget=surgery", "+measure=truth_ratio", "measures.truth_ratio.sid=retain"])


def test_a_file_without_its_first_line_is_told(tmp_path):
    (tmp_path / "measure").mkdir()
    (tmp_path / "measure" / "mine.yaml").write_text(f"_target_: {__name__}.Spread\n")
    with pytest.raises(
        ConfigError, match=r"\+measure: the first line of a measure's YAML is `# @package measures\.NAME`"
    ):
        compose("unlearn", ["+forget=surgery", "+measure=mine"], str(tmp_path))


def test_several_are_added_at_once(tmp_path, monkeypatch):
    leave_example("measure", tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    given = ["+forget=surgery", "+measure=[truth_ratio,margin]", "plugins=[margin]", "measures.margin.split=earlier"]
    config = compose("unlearn", given, str(tmp_path / "groups"))
    assert config.measures.margin.split == "earlier" and list(run_of(config)["measures"]) == ["truth_ratio", "margin"]
