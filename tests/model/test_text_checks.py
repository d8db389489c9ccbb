"""Texts that a tokenizer cannot distinguish, does not know or has no room for are noted, left out or refused."""

import re
from dataclasses import replace

import pytest

from duolearn_cli.config.schema import PromptConfig
from duolearn_cli.data.items import Item
from duolearn_cli.errors import ConfigError, ModelError
from duolearn_cli.model.encoding import Encoder
from duolearn_cli.model.text_checks import read_texts
from tests.concepts.small_tokenizers import with_control_tokens
from tests.model.test_encoding import item_with_words

SHORT = Item("short", "the inguinal ligament is above the femoral artery?", ("hernia", "vitamin", "X-ray", "mg"), 0)


def read(items, family="gpt2", **prompt):
    return read_texts(Encoder(with_control_tokens(family), PromptConfig(**prompt)), items)


def settings(message):
    """Yield the fixes that a message proposes, each as keyword arguments of PromptConfig."""
    for fix in message.partition("Fix: ")[2].rstrip(".").split(" or "):
        yield {
            key: float(value) if "." in value else int(value)
            for key, value in re.findall(r"prompt\.(\w+)=([\d.]*\d)", fix)
        }


def test_ordinary_texts_need_no_note():
    texts = read([SHORT, item_with_words(20)])
    assert texts.is_ordinary and not list(texts.sentences())
    assert texts.as_dict() == {
        "cut": 0,
        "cut_share": 0.0,
        "longest": texts.longest,
        "special_tokens": 0,
        "mostly_unknown": 0,
        "rejected": {},
    }
    texts.check(None)


@pytest.mark.parametrize("context", [None, 10_000, 150, 90])
def test_too_many_cut_items_are_refused_and_every_fix_works(context):
    items = [item_with_words(150), item_with_words(100), item_with_words(40), SHORT]
    items = [replace(item, id=f"{place}") for place, item in enumerate(items)]
    prompt = {"max_tokens": 80}
    texts = read(items, **prompt)
    assert len(texts.cut) == 2 and not texts.is_ordinary
    (note,) = texts.sentences()
    assert note.startswith("2 of 4 items (50.0%) are longer than prompt.max_tokens=80 and lose words in the middle")
    with pytest.raises(
        ConfigError, match=r"2 of 4 items \(50.0%\) are longer .* prompt.max_cut=0.05 is allowed"
    ) as error:
        texts.check(context)
    fixes = list(settings(str(error.value)))
    assert len(fixes) == 2
    for fix in fixes:
        read(items, **(prompt | fix)).check(context)
    if context is None:
        assert fixes[0] == {"max_tokens": max(texts.cut.values())}
        assert not read(items, **fixes[0]).cut


def test_a_few_cut_items_are_noted_and_counted():
    items = [item_with_words(150), *(replace(SHORT, id=str(number)) for number in range(19))]
    texts = read(items, max_tokens=80)
    texts.check(None)
    assert texts.as_dict()["cut"] == 1 and texts.cut_share == 0.05


def test_texts_that_are_too_long_for_the_model_are_refused_and_the_fix_works():
    items = [item_with_words(150), SHORT]
    with pytest.raises(ModelError, match=r"made for 90 \(max_position_embeddings\)") as error:
        read(items).check(90)
    (fix,) = settings(str(error.value))
    assert fix == {"max_tokens": 90, "max_cut": 0.5}
    read(items, **fix).check(90)


def test_an_answer_that_leaves_no_room_is_rejected_by_row():
    long = replace(item_with_words(20), options=("X-ray " * 100, "mg"), source="mine.csv", row=7)
    texts = read([SHORT, long], max_tokens=100, max_cut=1.0)
    (row,) = texts.rejected
    assert (row.id, row.source, row.row, row.reason) == (long.id, "mine.csv", 7, "too_long")
    assert "leave no room for the question in prompt.max_tokens=100" in row.detail
    assert "1 items left out (too_long), see rejected.jsonl; the first, item 0: " in list(texts.sentences())[-1]


@pytest.mark.parametrize(("family", "form"), [("unigram", "cloze"), ("wordpiece", "cloze"), ("wordpiece", "letter")])
def test_options_that_become_the_same_tokens_are_rejected(family, form):
    greek = Item("greek", "Which drug treats a hernia?", ("\u03b1-blocker", "\u03b2-blocker", "vitamin"), 1)
    texts = read([SHORT, greek], family, form=form)
    (row,) = texts.rejected
    assert (row.id, row.reason) == ("greek", "options_tokenise_alike")
    assert row.detail == "options 1 and 2 become the same tokens: '\u03b1-blocker' and '\u03b2-blocker'"
    assert not read([SHORT, greek], "gpt2", form=form).rejected


def test_options_that_differ_in_case_are_the_same_only_to_an_uncased_tokenizer():
    case = Item("case", "Which of these is the artery?", ("PT", "pT", "mg"), 0)
    assert not read([case], "gpt2").rejected
    (row,) = read([case], "wordpiece").rejected
    assert row.reason == "options_tokenise_alike" and "'PT' and 'pT'" in row.detail


def test_two_questions_that_become_the_same_are_both_rejected():
    first, second = item_with_words(150, 1), item_with_words(150, 2)
    assert not read([first, second]).rejected
    texts = read([SHORT, first, second], max_tokens=80, max_cut=1.0)
    assert [(row.id, row.reason) for row in texts.rejected] == [
        (first.id, "questions_tokenise_alike"),
        (second.id, "questions_tokenise_alike"),
    ]
    assert f"equals that of item {second.id}" in texts.rejected[0].detail
    # A question with other options, or in another case, is still the same question.
    again = replace(first, id="again", question=first.question.upper().lower(), options=("mg", "vitamin"))
    assert not read([first, again], max_tokens=80, max_cut=1.0).rejected


@pytest.mark.parametrize("form", ["cloze", "letter"])
def test_two_questions_are_ambiguous_even_if_they_are_cut_at_different_places(form):
    """Longer options mean a longer cut. The prompts differ, although both cuts remove all that distinguishes them."""
    first, second = item_with_words(150, 1), item_with_words(150, 2)
    longer = tuple(f"{option} of the artery" for option in second.options)
    settled = {"max_tokens": 110, "max_cut": 1.0, "form": form}
    if form == "letter":
        # The prompt shows the options, and these differ. With equal options the questions become the same.
        assert not read([SHORT, first, replace(second, options=longer)], **settled).rejected
    else:
        second = replace(second, options=longer)
        encoder = read([SHORT, first, second], **settled).encoder
        assert len({encoder.encode(item).labels("answer")[0] for item in (first, second)}) == 2
    texts = read([SHORT, first, second], **settled)
    assert [(row.id, row.reason) for row in texts.rejected] == [
        (item.id, "questions_tokenise_alike") for item in (first, second)
    ]
    assert f"that of item {second.id}" in texts.rejected[0].detail
    (note,) = (text for text in texts.sentences() if "left out" in text)
    (fix,) = settings(note)
    assert not read([SHORT, first, second], form=form, **fix).rejected


def test_a_cut_question_that_may_equal_a_whole_one_is_left_out_and_the_whole_one_stays():
    long, settled = item_with_words(150, 1), {"max_tokens": 80, "max_cut": 1.0}
    head, tail = read([SHORT, long], **settled).encoder.remaining(long)
    assert long.question.startswith(head) and long.question.endswith(tail) and "vitamin" not in head + tail
    whole = Item("whole", f"{head} mg {tail}", ("mg", "X-ray"), 1)
    texts = read([SHORT, long, whole], **settled)
    assert list(texts.cut) == [long.id] == [row.id for row in texts.rejected]
    assert texts.encoder.remaining(SHORT) is None
    # A question with another beginning or end is distinct.
    for other in (f"mg {whole.question}", f"{whole.question} mg"):
        assert not read([SHORT, long, replace(whole, question=other)], **settled).rejected


def test_questions_of_unknown_words_are_noted():
    greek = Item("greek", "\u03b1 \u03b2 \u03b3", ("hernia", "mg"), 0)
    texts = read([SHORT, greek], "wordpiece")
    assert texts.unknown == ["greek"]
    assert "1 of 2 questions are mostly unknown to this tokenizer: greek" in texts.sentences()
    assert not read([SHORT, greek], "gpt2").unknown


def test_items_that_spell_control_tokens_are_noted():
    trap = Item("trap", "Is <s>5 mg</s> the dose?", ("hernia", "x<|im_end|>"), 0)
    texts = read([SHORT, trap])
    assert not texts.rejected and not texts.is_ordinary
    assert list(texts.sentences()) == [
        "1 items spell control tokens of this tokenizer (</s>, <s>, <|im_end|>); they are read as plain text: trap"
    ]


def test_letters_with_the_same_first_token_are_refused():
    """This tokenizer writes the space before a letter as a separate token, which would be scored for all letters."""
    with pytest.raises(ConfigError, match=r"begins several letters with the same token.* Fix: prompt.form=cloze"):
        read([SHORT], "unigram", form="letter")
    assert read([SHORT], "gpt2", form="letter").is_ordinary
