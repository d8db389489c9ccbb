"""Features agree with full forward passes, probes find a planted direction, and none judges a fact it was fitted on."""

import numpy as np
import pytest
import torch

from duolearn_cli.audits.robustness.attack import Skipped
from duolearn_cli.audits.robustness.material import Material
from duolearn_cli.audits.robustness.probing import FOLDS, CrossFitted, Probe, attacks, states
from duolearn_cli.config.schema import PromptConfig
from duolearn_cli.model.encoding import Encoder
from tests.audits.robustness.stand_in import item


@pytest.mark.parametrize("batch_tokens", [64, 4096])
def test_states_are_means_over_the_options_own_tokens(fresh, study, batch_tokens):
    encoder, items = Encoder(fresh.tokenizer, PromptConfig()), study.splits.forget_train[:3]
    for one, features in zip(items, states(fresh, encoder, items, batch_tokens), strict=True):
        assert features.shape == (4, fresh.network.config.hidden_size)
        for option in range(4):
            text = encoder.encode(one, option)
            with torch.no_grad():
                output = fresh.network(input_ids=torch.tensor([text.ids]), output_hidden_states=True)
            own = [i for i in text.labels("answer") if text.offsets[i][1] > text.offsets[i][0]]
            assert len(own) == len(text.labels("answer")) - 1
            naive = output.hidden_states[-1][0, own].mean(0)
            assert features[option] == pytest.approx(naive.double().numpy(), abs=1e-4)


def planted(count, seed=0, strength=3.0):
    """Items with random features: a large part common to all options; the right one is shifted along a direction."""
    draw = np.random.default_rng(seed)
    items = [item(str(i), f"fact{i // 2}", answer=int(draw.integers(4))) for i in range(count)]
    direction = draw.normal(size=8)
    features = []
    for one in items:
        common = 50 * draw.normal(size=8)
        own = draw.normal(size=(4, 8)) + common
        own[one.answer] += strength * direction / np.linalg.norm(direction)
        features.append(own)
    return items, features


def test_a_planted_direction_generalises_to_unseen_facts():
    items, features = planted(200)
    probes = CrossFitted.fit(items[:120], features[:120], 1.0, seed=0)
    for part in (slice(0, 120), slice(120, 200)):
        verdicts = probes.answer(items[part], features[part])
        assert np.mean([one.correct for one in verdicts]) > 0.8
        assert {one.chance for one in verdicts} == {0.25} and {one.nll for one in verdicts} == {None}


def test_without_a_signal_the_probe_is_at_chance():
    items, features = planted(300, strength=0.0)
    probes = CrossFitted.fit(items, features, 1.0, seed=0)
    assert 0.15 < np.mean([one.correct for one in probes.answer(items, features)]) < 0.36


def test_no_item_is_judged_by_a_probe_fitted_on_its_fact(monkeypatch):
    items, features = planted(40)
    seen = []
    fit = Probe.fit.__func__
    monkeypatch.setattr(
        Probe,
        "fit",
        classmethod(lambda cls, items, *rest: seen.append({i.fact_id for i in items}) or fit(cls, items, *rest)),
    )
    probes = CrossFitted.fit(items, features, 1.0, seed=0)
    for fold in range(FOLDS):
        assert seen[fold] == {fact for fact, own in probes.fold_of.items() if own != fold}
    assert sorted(probes.fold_of.values()) == sorted(i % FOLDS for i in range(20))


def test_probes_are_reproducible():
    items, features = planted(40)
    one, other = (CrossFitted.fit(items, features, 1.0, seed=0).whole.weights for _ in range(2))
    assert np.array_equal(one, other)


def test_with_too_few_facts_the_probe_is_skipped():
    (skipped,) = attacks(Material((item("a"),), (item("b"), item("c"))), 1.0, 0)
    assert isinstance(skipped, Skipped) and "fewer than 5" in skipped.reason
