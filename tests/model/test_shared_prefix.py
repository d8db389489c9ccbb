"""Options that share their question in a row: the layout is right, and every architecture scores them as one by one."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from duolearn_cli.config.schema import PromptConfig
from duolearn_cli.evaluation import scoring
from duolearn_cli.model.encoding import Encoded, Encoder, collate
from duolearn_cli.model.shared_prefix import collate_branches, num_tokens, shared_length
from tests.model.test_attention import FAMILIES, build


def text(*ids):
    return Encoded(
        "", ids, tuple((i, i + 1) for i in range(len(ids))), tuple(i >= len(ids) - 2 for i in range(len(ids)))
    )


def test_layout():
    first = [text(5, 6, 7, 8), text(5, 6, 9), text(5, 6, 7)]
    batch = collate_branches([first, [text(3, 4)]], ["text", "answer", "answer", "text"])
    assert shared_length(first) == 2 and num_tokens(first) == 6
    assert batch.ids.tolist() == [[5, 6, 7, 8, 9, 7], [3, 4, 0, 0, 0, 0]]
    assert batch.segment.tolist() == [[1, 1, 2, 2, 3, 4], [1, 2, 0, 0, 0, 0]]
    assert batch.trunk.tolist() == [[1] * 6, [1, 1, 0, 0, 0, 0]]
    assert batch.place.tolist() == [[0, 1, 2, 3, 2, 2], [0, 1, 0, 0, 0, 0]]
    assert batch.label.tolist() == [6, 7, 8, 6, 9, 6, 7, 4]
    assert batch.position.tolist() == [0, 1, 2, 0, 1, 0, 1, 0]
    assert batch.sequence.tolist() == [0, 0, 0, 1, 1, 2, 2, 3]
    assert batch.token.tolist() == [0, 1, 2, 3, 0, 1, 4, 0, 1, 5, 6, 7]
    assert batch.longest == 4 and batch.packed


texts = st.lists(st.integers(1, 3), min_size=1, max_size=7).map(lambda ids: text(*ids))


@given(st.lists(st.lists(texts, min_size=1, max_size=4), min_size=1, max_size=3))
def test_every_text_can_be_reconstructed_from_its_row(groups):
    every = [one for group in groups for one in group]
    batch = collate_branches(groups, ["text"] * len(every))
    read = batch.ids.flatten()[batch.token].split([len(one.ids) for one in every])
    assert [tuple(ids.tolist()) for ids in read] == [one.ids for one in every]
    places = batch.place.flatten()[batch.token].split([len(one.ids) for one in every])
    assert all(place.tolist() == list(range(len(place))) for place in places)
    assert all(shared_length(group) < min(len(one.ids) for one in group) for group in groups)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: "-".join(family[:2]))
def test_hidden_states_are_those_of_each_text_alone(family):
    model = build(*family)
    groups = [[text(5, 6, 7, 8, 9), text(5, 6, 7, 4), text(5, 6, 2, 3)], [text(3, 4, 8), text(9, 4)]]
    every = [one for group in groups for one in group]
    with torch.no_grad():
        shared = model.hidden(collate_branches(groups, ["text"] * len(every)))
        alone = torch.cat([model.hidden(collate([one], "text")) for one in every])
    assert model.takes_branches(5)
    torch.testing.assert_close(shared, alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("form", ["cloze", "letter"])
def test_answers_are_the_same_with_and_without(fresh, study, monkeypatch, form):
    encoder, items = Encoder(fresh.tokenizer, PromptConfig(form=form)), study.splits.forget_train[:5]

    def answers():
        scored = scoring.score(fresh, encoder, items, 256, classify=lambda place, text: [0] * len(text.ids))
        return [(a.prediction, a.recalled, a.valid, a.strength, *a.scores, a.nll, a.min_k_plus) for a in scored]

    rows = []
    original = scoring.collate_branches
    monkeypatch.setattr(scoring, "collate_branches", lambda *given: rows.append(given) or original(*given))
    shared = answers()
    assert bool(rows) == (form == "cloze")
    monkeypatch.setattr(type(fresh), "takes_branches", lambda model, longest: False)
    count = len(rows)
    for one, other in zip(shared, answers(), strict=True):
        assert one == pytest.approx(other, abs=1e-4)
    assert len(rows) == count


def test_with_a_window_that_is_too_narrow_every_text_has_its_own_row():
    windowed = next(family for family in FAMILIES if family[0] == "Mistral")
    model = build(*windowed)
    assert model.takes_branches(16) and not model.takes_branches(17)
