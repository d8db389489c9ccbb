"""A wording changes the words that it names, and nothing else."""

import copy
import random
from dataclasses import replace

import pytest

from duolearn_cli.audits.robustness.attack import Attack, Skipped
from duolearn_cli.audits.robustness.prompts import _RewordedAttacks as Reworded
from duolearn_cli.audits.robustness.wording import (
    DIGITS,
    FRAMES,
    RewordedEncoder,
    Wording,
    confused_labels,
    expert,
    last_letters,
)
from duolearn_cli.config.schema import PromptConfig
from duolearn_cli.data.shuffling import reordered
from duolearn_cli.evaluation.scoring import score
from duolearn_cli.model.encoding import Encoder
from tests.audits.robustness.stand_in import item

TEMPLATE = (
    "{% for m in messages %}[{{ m.role }}] {{ m.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}[assistant] {% endif %}"
)


@pytest.fixture(params=[False, True], ids=["plain", "chat"])
def tokenizer(request, tiny):
    own = copy.deepcopy(tiny.tokenizer)
    own.chat_template = TEMPLATE if request.param else None
    return own


@pytest.mark.parametrize("form", ["cloze", "letter"])
def test_the_default_wording_equals_the_plain_encoder(tokenizer, study, form):
    prompt = PromptConfig(form=form, chat="auto")
    usual, reworded = Encoder(tokenizer, prompt), RewordedEncoder(tokenizer, prompt, Wording())
    for one in study.splits.forget_train:
        for option in range(4):
            assert reworded.encode(one, option) == usual.encode(one, option)


@pytest.mark.parametrize("form", ["cloze", "letter"])
@pytest.mark.parametrize("wording", [*FRAMES.values(), Wording(before="You are kind.", labels=DIGITS)])
def test_question_options_and_answer_are_unchanged(tokenizer, study, form, wording):
    encoder = RewordedEncoder(tokenizer, PromptConfig(form=form, chat="auto"), wording)
    one = study.splits.forget_train[0]
    text = encoder.encode(one)
    assert one.question in text.text and wording.before in text.text
    answer = tokenizer.decode([text.ids[i] for i in text.labels("answer")], skip_special_tokens=True).strip()
    assert answer == (wording.labels[one.answer] if form == "letter" else one.answer_text)
    assert (wording.tail in text.text) != encoder.uses_chat
    if form == "letter":
        for label, option in zip(wording.labels, one.options, strict=False):
            assert f"{label}. {option}" in text.text


def test_braces_in_a_question_are_text(tiny):
    encoder = RewordedEncoder(tiny.tokenizer, PromptConfig(), Wording())
    assert "what of {x}{}?" in encoder.question(item("{x}{}"))


def test_shots_are_asked_and_answered_first(tokenizer, study):
    shots = (study.splits.retain_train[0], study.splits.retain_train[-1])
    one = study.splits.forget_train[0]
    encoder = RewordedEncoder(tokenizer, PromptConfig(chat="auto"), Wording(before="Role.", shots=shots))
    text = encoder.question(one)
    offsets = [text.index(part) for shot in shots for part in (shot.question, shot.answer_text)]
    assert offsets == sorted(offsets) and text.index(one.question) > offsets[-1]
    assert text.count("Role.") == 1 and text.index("Role.") < offsets[0]
    assert one.answer_text not in text[text.index(one.question) + len(one.question) :]
    assert text.endswith("[assistant] " if encoder.uses_chat else "\nAnswer:")
    assert text.count("[assistant]") == (3 if encoder.uses_chat else 0)


def test_other_letters_are_scored_by_their_own_tokens(fresh, study):
    """A letter prompt is scored by the first token of each label in use."""
    items = study.splits.forget_train[:5]
    letters = last_letters(items)
    assert letters == "WXYZ"
    plain, prompt = Wording(), PromptConfig(form="letter")
    for labels in (letters, DIGITS):
        other = score(fresh, RewordedEncoder(fresh.tokenizer, prompt, Wording(labels=labels)), items, 4096)
        usual = score(fresh, RewordedEncoder(fresh.tokenizer, prompt, plain), items, 4096)
        assert [one.scores for one in other] != [one.scores for one in usual]
        assert confused_labels(RewordedEncoder(fresh.tokenizer, prompt, Wording(labels=labels)), items) is None


def test_labels_that_the_tokenizer_cannot_distinguish_are_reported(tiny, study):
    prompt = PromptConfig(form="letter")
    same = RewordedEncoder(tiny.tokenizer, prompt, Wording(labels="AAAA"))
    assert "same token" in str(confused_labels(same, study.splits.forget_train))
    several = RewordedEncoder(tiny.tokenizer, prompt, Wording(labels=["A b c"] * 4))  # type: ignore[arg-type]
    assert "several tokens" in str(confused_labels(several, study.splits.forget_train))


def test_reordered_options_move_the_right_one():
    one = item("x", options=5, answer=2)
    for seed in range(20):
        other = reordered(one, random.Random(seed))
        assert sorted(other.options) == sorted(one.options) and other.answer != one.answer
        assert other.answer_text == one.answer_text and (other.id, other.question) == (one.id, one.question)
    assert reordered(one, random.Random(1)) == reordered(one, random.Random(1))


def test_the_role_comes_from_the_targets_name():
    assert expert("mental_health") == "You are an expert in mental health. Give the right answer."


def test_cut_questions_are_counted_and_a_question_without_room_skips_the_attack(tiny):
    items = [item("x"), replace(item("y"), question="what of " + "long and longer and " * 40 + "y?")]
    for size, expected in ((512, {}), (100, {"cut": 1})):
        attack = Reworded(tiny.tokenizer, items)("role", PromptConfig(max_tokens=size), Wording(before="Role."), {})
        assert isinstance(attack, Attack) and attack.details == expected
    skipped = Reworded(tiny.tokenizer, items)("role", PromptConfig(max_tokens=20), Wording(before="Role. " * 9), {})
    assert isinstance(skipped, Skipped)
    assert skipped.reason == "2 items are too long in these words; raise prompt.max_tokens=20"
