"""The paired interval of two single runs over facts."""

import numpy as np
import pytest

from duolearn_cli.evaluation.metrics.seeds import difference_over_facts, difference_over_seeds, ratio_errors

# Of so many intervals the share that misses is known to 2 points.
DRAWS = 600


def difference(first, second):
    """The difference of two accuracies; shapes [facts]."""
    errors = np.stack([ratio_errors(np.stack([run, np.ones_like(run)], -1)[None])[0] for run in (first, second)])
    return difference_over_facts(first.mean(), second.mean(), errors)


def test_it_is_the_interval_by_hand_and_narrower_than_unpaired_ones():
    first = np.array([1.0, 1.0, 0.0, 1.0, 0.0, 1.0, 1.0, 0.0])
    second = np.array([1.0, 0.0, 0.0, 1.0, 0.0, 1.0, 1.0, 0.0])
    found = difference(first, second)
    apart = (first - second - 0.125) / 8
    pseudo = (np.array([-1, 0, 0, 1]) - 0.125) / 8
    # t with seven degrees of freedom; four pseudo-facts of weight PSEUDO_FACTS / 4 each.
    from duolearn_cli.evaluation.metrics.closed_forms import PSEUDO_FACTS

    reach = 2.364624 * np.sqrt(8 / 7 * ((apart**2).sum() + PSEUDO_FACTS / 4 * (pseudo**2).sum()))
    assert found["value"] == 0.125
    assert (found["low"], found["high"]) == pytest.approx((0.125 - reach, 0.125 + reach), abs=1e-6)
    assert (
        found["high"] - found["low"] < difference(first, second[::-1])["high"] - difference(first, second[::-1])["low"]
    )


def test_one_fact_has_no_interval():
    assert difference_over_facts(1.0, 0.0, np.zeros((2, 1))) == {"value": 1.0}


def test_it_agrees_with_the_facts_arm_over_seeds_that_do_not_scatter():
    rng = np.random.default_rng(0)
    errors = rng.normal(size=(2, 20)) / 20
    alone = difference_over_facts(0.4, 0.3, errors)
    repeated = np.repeat(errors[:, None], 3, axis=1)
    together = difference_over_seeds([0.4] * 3, [0.3] * 3, repeated)
    assert (alone["low"], alone["high"]) == pytest.approx((together["low"], together["high"]))


@pytest.mark.parametrize(("facts", "shared"), [(30, 0.8), (100, 0.5), (30, 0.0)])
def test_it_covers_the_true_difference(facts, shared):
    """Facts of which the models share some answers: the first is right in 70 %, the second in 60 %."""
    rng = np.random.default_rng(1)
    held = 0
    for _ in range(DRAWS):
        common = rng.random(facts)
        first = (common < 0.7).astype(float)
        second = (np.where(rng.random(facts) < shared, common, rng.random(facts)) < 0.6).astype(float)
        found = difference(first, second)
        held += found["low"] <= 0.1 <= found["high"]
    assert held / DRAWS >= 0.93
