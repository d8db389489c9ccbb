"""The form of answers: which tokens begin one, and the line that is fitted to wrong options."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from duolearn_cli.training.answer_form import MIN_OPTIONS, AnswerForm, answer_starts


def tokens(seed, shift, count=MIN_OPTIONS):
    """Return made-up nlls of the first tokens of wrong options, under base and target [count]."""
    random = np.random.default_rng(seed)
    base = random.gamma(3, 2, count)
    target = np.clip(base * random.uniform(0.3, 0.9) + random.normal(0, 0.5, count) + shift, 0, None)
    return torch.tensor(base), torch.tensor(target)


def test_an_answer_begins_where_the_token_before_is_of_none():
    found = answer_starts([False, True, True, True, False, False, True, True, False, True])
    assert found.nonzero().flatten().tolist() == [1, 6, 9]
    assert answer_starts([True, True]).tolist() == [True, False]
    assert answer_starts([]).tolist() == []


@given(st.integers(0, 10_000))
def test_first_tokens_are_on_the_line_of_least_squares(seed):
    base, target = tokens(seed, -1.0)
    form = AnswerForm.fit(base, target)
    line = np.polyfit(base.numpy(), target.numpy(), 1)
    assert (form.slope, form.intercept) == pytest.approx(tuple(line), rel=1e-6, abs=1e-8)
    opening = torch.arange(MIN_OPTIONS) % 2 == 0
    expected = np.where(opening, np.clip(np.polyval(line, base), 0, None), base)
    np.testing.assert_allclose(form.adjust(base, opening), expected)


def test_where_wrong_options_became_no_likelier_nothing_is_allowed_for():
    base, target = tokens(0, 9.0)
    assert AnswerForm.fit(base, target) is None
    assert AnswerForm.fit(base, base) is None
    assert AnswerForm.fit(base, base - 1e-3) is not None


def test_too_few_wrong_options_tell_nothing():
    assert AnswerForm.fit(*tokens(0, -1.0, MIN_OPTIONS - 1)) is None
    assert AnswerForm.fit(*tokens(0, -1.0, MIN_OPTIONS)) is not None


def test_tokens_that_the_base_finds_alike_get_their_mean():
    base = torch.full((MIN_OPTIONS,), 4.0)
    form = AnswerForm.fit(base, torch.linspace(0, 2, MIN_OPTIONS))
    torch.testing.assert_close(form.adjust(base, torch.ones(MIN_OPTIONS, dtype=torch.bool)), torch.ones(MIN_OPTIONS))
