"""How answers look, apart from what they say."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from duolearn_cli.answer_form import END, FEWEST, INSIDE, OPENING, OUTSIDE, PLACES, AnswerForm, places


def tokens(seed, shift, count=FEWEST):
    """Nlls of wrong options' tokens under base and target, and their places; `shift` by place."""
    random = np.random.default_rng(seed)
    place = np.repeat(PLACES, count)
    base = random.gamma(3, 2, len(place))
    target = np.clip(base * random.uniform(0.3, 0.9) + random.normal(0, 0.5, len(place)) + shift[place], 0, None)
    return torch.tensor(base), torch.tensor(target), torch.tensor(place)


def test_an_answer_has_a_first_token_a_last_one_and_those_between():
    found = places([False, True, True, True, True, False, False, True, True, False, True])
    inner = [OUTSIDE, OPENING, INSIDE, INSIDE, END, OUTSIDE, OUTSIDE, OPENING, END, OUTSIDE, OPENING]
    assert found == inner
    assert places([]) == []


@given(st.integers(0, 10_000))
def test_each_place_has_the_line_of_least_squares(seed):
    base, target, place = tokens(seed, np.array([-1.0, -2.0, -3.0]))
    form = AnswerForm.fit(base, target, place)
    for each, line in zip(PLACES, form.lines, strict=True):
        own = place == each
        known = base[own].numpy()
        assert line == pytest.approx(np.polyfit(known, target[own].numpy(), 1), rel=1e-6, abs=1e-8)
        expected = np.clip(np.polyval(line, known), 0, known)
        np.testing.assert_allclose(form.formed(base, place)[own], expected)


def test_where_wrong_options_became_no_likelier_nothing_is_allowed_for():
    base, target, place = tokens(0, np.array([9.0, -2.0, 9.0]))
    form = AnswerForm.fit(base, target, place)
    assert [line is None for line in form.lines] == [True, False, True]
    formed = form.formed(base, place)
    assert torch.equal(formed[place != INSIDE], base[place != INSIDE])
    assert (formed[place == INSIDE] < base[place == INSIDE]).any()


def test_too_few_tokens_tell_nothing():
    few = FEWEST - 1
    assert AnswerForm.fit(*tokens(0, np.array([-1.0, -2.0, -3.0]), few)).lines == [None, None, None]


def test_tokens_that_the_base_finds_alike_get_their_mean():
    base, place = torch.full((FEWEST,), 4.0), torch.full((FEWEST,), END)
    form = AnswerForm.fit(base, torch.linspace(0, 2, FEWEST), place)
    torch.testing.assert_close(form.formed(base, place), torch.ones(FEWEST))


def test_what_is_no_answer_is_measured_against_the_base():
    base, target, place = tokens(0, np.array([-1.0, -2.0, -3.0]))
    form = AnswerForm.fit(base, target, place)
    assert torch.equal(form.formed(base, torch.full_like(place, OUTSIDE)), base)
