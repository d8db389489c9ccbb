"""The stated criterion, and what is chosen by it."""

import pytest

from duolearn_cli.benchmark.choice import chosen, criterion


def metrics(forgetting, keeping, ks):
    scores = {"chance_corrected_forgetting": {"value": forgetting}, "knowledge_preservation": {"value": keeping}}
    return {"models": {"unlearned": {"scores": scores, "gold": {"forget": {"ks": ks}} if ks is not None else {}}}}


@pytest.mark.parametrize(
    ("parts", "worth"),
    [
        ((1.0, 1.0, 0.0), 1.0),
        ((1.4, 1.2, 0.0), 1.0),
        ((0.5, 1.0, 0.0), 3 / (1 / 0.5 + 1 + 1)),
        ((0.9, 0.6, 0.3), 3 / (1 / 0.9 + 1 / 0.6 + 1 / 0.7)),
        ((-0.1, 1.0, 0.0), 0.0),
        ((1.0, 1.0, 1.0), 0.0),
        ((None, 1.0, 0.0), None),
        ((1.0, 1.0, None), None),
    ],
)
def test_criterion(parts, worth):
    found = criterion(metrics(*parts))
    assert found is None if worth is None else found == pytest.approx(worth)


@pytest.mark.parametrize(
    ("scores", "place"), [([0.2, 0.9, 0.3], 1), ([None, 0.1], 1), ([0.5, 0.5], 0), ([None, None], None), ([0.0], 0)]
)
def test_chosen(scores, place):
    assert chosen(scores) == place
