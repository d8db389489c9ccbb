"""What holds for every measure of ours: where it is, its range, its direction, order of items, tables, docs."""

import math
import random

import pytest

from duolearn_cli.evaluation.measures import MEASURES, OF_SPLIT, limits_of, of_table
from duolearn_cli.evaluation.measures.measure import ALL
from duolearn_cli.evaluation.summary import summarise
from duolearn_cli.report.jobs import Job
from duolearn_cli.report.measures import heading_of
from duolearn_cli.report.sweep import sweep_table
from duolearn_cli.report.tables import measures_table
from tests.evaluation.measures.made_up import evidence, levels, model, models
from tests.scripts import load

SOUND = models()
# Forgets nothing and loses what is to be kept; always answers in the first place.
BROKEN = models(unlearned=model(7, 0.95, 0.2))
STUCK = models(unlearned=model(8, 0.1, 0.9, stuck=True))
MUTE = models(unlearned=model(9, 0.1, 0.1))
# Of texts in the model's own words, which are no answers to items.
MADE = [key for key, measure in MEASURES.items() if measure.path[0] != "written"]
DIRECTED = [key for key in MADE if MEASURES[key].higher_is_better is not None]


def estimate(key, answers, name="unlearned"):
    return MEASURES[key].estimate(evidence(name, answers))


@pytest.fixture(scope="module")
def summaries():
    return summarise(SOUND, {"Surgery"}, levels(SOUND["target"]))


def test_every_measure_of_answers_has_a_formula():
    assert all((measure.formula is None) == (key not in MADE) for key, measure in MEASURES.items())


@pytest.mark.parametrize("key", MADE)
def test_metrics_have_it_where_the_row_says_and_for_those_models(key, summaries):
    measure = MEASURES[key]
    for name, entry in summaries.items():
        found, own = measure.find(entry), measure.estimate(evidence(name, SOUND))
        if "majority" in measure.needs:  # the summary does not know the commonest answer
            assert found is None and (own is not None) == (name in measure.models)
            continue
        assert (found is not None) == (own is not None) == (name in measure.models)
        if found is not None and own is not None:
            told = own.as_dict()
            assert all(told[end] == found[end] or told["value"] != told["value"] for end in ("value", "low", "high"))


@pytest.mark.parametrize("key", MADE)
@pytest.mark.parametrize("answers", [SOUND, BROKEN, STUCK], ids=["sound", "broken", "stuck"])
def test_values_and_intervals_are_within_the_limits(key, answers):
    low, high = MEASURES[key].limits
    for name in ALL:
        found = estimate(key, answers, name)
        if found is not None and math.isfinite(found.value):
            assert low <= found.value <= high
        if found is not None and found.low is not None and found.high is not None:
            assert low <= found.low <= found.value <= found.high


@pytest.mark.parametrize("key", DIRECTED)
def test_a_model_that_is_worse_is_worse_by_the_direction(key):
    broken = STUCK if "position" in key else MUTE if key == "invalid_rate" else BROKEN
    sound, worse = estimate(key, SOUND), estimate(key, broken)
    if key.startswith("mia_tpr"):  # so few non-members allow no false positive
        assert math.isnan(sound.value)
        return
    assert (sound.value > worse.value) == MEASURES[key].higher_is_better and sound.value != worse.value
    assert sound.higher_is_better == MEASURES[key].higher_is_better


@pytest.mark.parametrize("key", MADE)
def test_without_items_there_is_no_value_and_no_error(key):
    empty = {name: {split: [] for split in own} for name, own in SOUND.items()}
    for name in ALL:
        found = estimate(key, empty, name)
        assert found is None or (math.isnan(found.value) and found.low is found.high is None)


@pytest.mark.parametrize("key", MADE)
def test_the_order_of_items_does_not_matter(key):
    orders = {split: random.Random(3).sample(range(len(rows)), len(rows)) for split, rows in SOUND["base"].items()}
    mixed = {
        name: {split: [rows[k] for k in orders[split]] for split, rows in own.items()} for name, own in SOUND.items()
    }
    for name in ALL:
        first, second = estimate(key, SOUND, name), estimate(key, mixed, name)
        if first is None or second is None:
            assert first is second
            continue
        for end in ("value", "low", "high"):
            one, other = getattr(first, end), getattr(second, end)
            assert (one is None) == (other is None)
            assert one is None or one == pytest.approx(other, rel=1e-9, abs=1e-12, nan_ok=True)


@pytest.mark.parametrize("key", OF_SPLIT)
def test_figures_of_a_split_are_within_their_limits(key):
    low, high = OF_SPLIT[key].limits
    for own in SOUND.values():
        found = OF_SPLIT[key].of(own["forget_train"])
        assert found.low is None or low <= found.low <= found.value <= found.high <= high
    assert math.isnan(OF_SPLIT[key].of([]).value)


def test_every_table_has_the_measures_that_name_it(summaries):
    shown = {row[0] for row in measures_table({"models": summaries}).rows}
    told = of_table("results")
    # The first is made where the commonest answer is known, the second is shown of older runs.
    missing = {"forgetting_above_majority", "invalid_rate"}
    assert {name.partition(", n ")[0] for name in shown} == {
        heading_of(measure) for key, measure in told.items() if key not in missing
    }
    swept = sweep_table([Job("0", {"seed": 0}, summaries["unlearned"]["scores"])])
    assert swept.header == (*map(heading_of, of_table("sweep").values()), "job")


def test_a_measure_beside_which_another_stands_names_one():
    for measure in MEASURES.values():
        assert measure.expected is None or "references" in MEASURES[measure.expected].tables
        assert measure.unless is None or measure.unless in MEASURES


def test_limits_go_by_the_first_name_that_is_known():
    assert limits_of("knowledge_preservation") == (0, math.inf) and limits_of("accuracy", "target") == (0, 1)
    assert limits_of("0.5", "recovered") == (-math.inf, math.inf) and limits_of("unheard of") == (0, 1)


def test_the_page_has_the_rows():
    table = load("measures_table")
    page = table.PAGE.read_text(encoding="utf-8")
    assert table.with_tables(page) == page, "python scripts/measures_table.py writes the tables"
    scores = [key for key, measure in MEASURES.items() if measure.path == ("scores", key)]
    assert all(f"| `{key}` |" in page for key in (*scores, *OF_SPLIT))
