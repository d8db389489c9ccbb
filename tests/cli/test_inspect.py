"""What `duolearn inspect` shows of an item."""

from dataclasses import replace

import pytest

from duolearn_cli.cli.commands.inspect import find_item, token_views
from duolearn_cli.concepts.token_classes import NEUTRAL, UNLEARN
from duolearn_cli.config.schema import PromptConfig
from duolearn_cli.errors import DataError
from duolearn_cli.model.encoding import Encoder


def test_the_views_hold_every_character_once(tiny, study):
    encoder = Encoder(tiny.tokenizer, PromptConfig(form="cloze"))
    for item in study.splits.forget_train[:20]:
        text = encoder.encode(item)
        views = token_views(study, text, True, 1.0)
        assert "".join(view.text for view in views) == text.text
        assert {view.kind for view, answer in zip(views[:-1], text.is_answer, strict=False) if answer} == {UNLEARN}
        assert views[-1].kind == NEUTRAL


def test_what_a_long_question_has_lost_is_shown_as_dots(tiny, study):
    long = replace(study.splits.forget_train[0], question="Which of " + "these and those and " * 60 + "them is it?")
    text = Encoder(tiny.tokenizer, PromptConfig(form="cloze", max_tokens=100)).encode(long)
    shown = "".join(view.text for view in token_views(study, text, True, 1.0))
    assert shown.count(" ... ") == 1 and len(shown) < len(text.text) / 2
    head, tail = shown.split(" ... ")
    assert text.text.startswith(head) and text.text.endswith(tail)


def test_items_are_found_by_id_wherever_they_are(study):
    assert find_item(study, None) == (study.request.forget[0], True)
    item = study.splits.retain_heldout[0]
    assert find_item(study, item.id) == (item, False)
    used = {item.id for items in study.splits.by_name().values() for item in items}
    other = next(item for item in study.loaded.items if item.id not in used and item.subject == "Surgery")
    assert find_item(study, other.id) == (next(item for item in study.items if item.id == other.id), True)
    with pytest.raises(DataError, match="did you mean"):
        find_item(study, item.id + "x")


def test_the_command_prints_classes_and_scores(duolearn, study, tmp_path):
    done = duolearn("inspect", "+forget=surgery")
    assert done.returncode == 0, done.stderr
    assert "| U |" in done.stdout and "to forget" in done.stdout and "Score" not in done.stdout
    small = ["split.max_forget=8", "split.max_retain=12", "learn.epochs=2"]
    scored = duolearn("inspect", "+forget=surgery", "scores=true", *small)
    assert scored.returncode == 0, scored.stderr
    assert "Score (nats)" in scored.stdout
    missing = duolearn("inspect", "+forget=surgery", "item=nothing")
    assert missing.returncode == 2 and "there is no such item" in missing.stderr
    assert list(tmp_path.iterdir()) == []
