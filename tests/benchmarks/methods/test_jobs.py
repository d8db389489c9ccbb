"""Which runs a benchmark makes: as many tries for all, defaults first, from the declared spaces, nothing twice."""

import itertools

import pytest

from duolearn_cli.benchmarks.methods.jobs import common, granted, reported, trial, tries
from duolearn_cli.config.components import component_class
from duolearn_cli.config.compose import compose
from duolearn_cli.errors import ConfigError
from duolearn_cli.files import groups


def space_of(method):
    config = compose("unlearn", ["+forget=surgery", f"method={method}"])
    return config, component_class(config.method, []).search


@pytest.mark.parametrize("method", groups()["method"])
def test_tries_are_the_defaults_and_then_draws_from_the_space(method):
    config, search = space_of(method)
    found = tries(config, search, 4, [], 0)
    assert found[0] == {} and len(found) == 4
    for one in found[1:]:
        assert set(one) == set(search) and all(one[key] in search[key] for key in one)
    drawn = [tuple(one.items()) for one in found[1:]]
    assert len(set(drawn)) == len(drawn)
    assert tries(config, search, 4, [], 0) == found


def test_a_small_space_is_tried_whole_and_the_defaults_once():
    config = compose("unlearn", ["+forget=surgery", "method=npo", "method.beta=0.1", "unlearn.learning_rate=0.001"])
    search = {"method.beta": [0.1, 0.5], "unlearn.learning_rate": [0.001, 0.005]}
    found = tries(config, search, 50, [], 0)
    whole = [dict(zip(search, values, strict=True)) for values in itertools.product(*search.values())]
    whole.remove({"method.beta": 0.1, "unlearn.learning_rate": 0.001})
    assert found[0] == {} and sorted(map(str, found[1:])) == sorted(map(str, whole))


def test_what_the_command_line_fixes_is_not_searched():
    config, search = space_of("npo")
    found = tries(config, search, 9, ["unlearn.learning_rate=0.002"], 0)
    assert len(found) > 1 and not any("unlearn.learning_rate" in one for one in found)


def test_more_tries_begin_with_those_of_fewer_and_other_seeds_draw_others():
    config, search = space_of("npo")
    assert tries(config, search, 9, [], 0)[:4] == tries(config, search, 4, [], 0)
    assert tries(config, search, 5, [], 0) != tries(config, search, 5, [], 1)


def test_overrides_of_jobs_compose_and_say_which_facts_are_scored():
    one = trial("npo", 3, {"method.beta": 0.5}, seed=2)
    config = compose("unlearn", ["+forget=surgery", *one.overrides])
    assert (config.seed, config.method.beta, config.evaluation.part) == (2, 0.5, "validation")
    assert str(one.folder) == "trials/npo/3"
    runs = list(reported("npo", {"method.beta": 0.5}, [0, 1], [2, 4]))
    assert [(run.epochs, run.seed) for run in runs] == [(2, 0), (2, 1), (4, 0), (4, 1)]
    config = compose("unlearn", ["+forget=surgery", *runs[2].overrides])
    assert (config.unlearn.epochs, config.evaluation.part, config.evaluation.report) == (4, "test", True)
    assert len({run.folder for run in runs}) == 4


def test_what_the_benchmark_sets_itself_is_not_passed_on():
    given = ["+forget=surgery", "benchmark.trials=3", "seed=4", "output_dir=x", "unlearn.epochs=2", "dry_run=true"]
    assert common(given) == ["+forget=surgery", "unlearn.epochs=2"]


@pytest.mark.parametrize(
    "text", ["method=npo", "method.beta=1", "+method.x=1", "evaluation.part=all", "+ablation=full"]
)
def test_what_would_spoil_the_comparison_is_refused(text):
    with pytest.raises(ConfigError, match="a benchmark"):
        common(["+forget=surgery", text])


def test_trust_that_a_folder_claims_counts_only_where_it_is_given_anew():
    saved = [
        "+forget=surgery",
        "plugins=[evil]",
        "+model.trust_remote_code=true",
        "hydra.searchpath=[file://x]",
        "seed=1",
    ]
    assert granted(saved, ["resume=x"]) == ["+forget=surgery", "seed=1"]
    assert granted(saved, ["resume=x", "plugins=[mine]"]) == ["+forget=surgery", "seed=1", "plugins=[mine]"]


def test_each_reported_seed_may_learn_its_own_target():
    (shared,), (own,) = (list(reported("npo", {}, [3], [8], learns)) for learns in (False, True))
    assert "learn.seed=3" in own.overrides and not any("learn.seed" in text for text in shared.overrides)
