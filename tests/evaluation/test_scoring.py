"""Scores agree with a loop over full logits, one text at a time."""

import copy
import json
import math
import zlib
from dataclasses import replace

import pytest
import torch

from duolearn_cli.concepts.token_classes import CLASS_NAMES
from duolearn_cli.config.schema import PromptConfig
from duolearn_cli.data.items import LETTERS
from duolearn_cli.errors import ConfigError, RunError
from duolearn_cli.evaluation.answer import Answer, shares_of_highest
from duolearn_cli.evaluation.scoring import score
from duolearn_cli.model import encoding
from duolearn_cli.model.encoding import Encoder, collate
from duolearn_cli.model.lora import initialise
from duolearn_cli.model.packing import batches_by_length
from tests.evaluation.test_summary import answers


def full_log_probabilities(model, text):
    ids = torch.tensor([text.ids])
    with torch.no_grad():
        return torch.log_softmax(model.network(input_ids=ids).logits[0].double(), -1)


@pytest.mark.parametrize("batch_tokens", [64, 4096])
def test_cloze_scores(fresh, study, batch_tokens):
    encoder = Encoder(fresh.tokenizer, PromptConfig(form="cloze"))
    items = study.splits.forget_train[:6]
    for item, answer in zip(items, score(fresh, encoder, items, batch_tokens), strict=True):
        naive, greedy = [], []
        for option in range(4):
            text = encoder.encode(item, option)
            log_p = full_log_probabilities(fresh, text)
            places = text.labels("answer")
            naive.append(sum(log_p[i - 1, text.ids[i]].item() for i in places) / len(places))
            greedy.append(all(int(log_p[i - 1].argmax()) == text.ids[i] for i in places))
        assert answer.scores == pytest.approx(naive, abs=1e-4)
        assert answer.prediction == max(range(4), key=naive.__getitem__)
        assert answer.nll == pytest.approx(-naive[item.answer], abs=1e-4)
        assert answer.valid == any(greedy)
        assert answer.recalled == greedy[item.answer]


def test_letter_scores(fresh, study):
    encoder = Encoder(fresh.tokenizer, PromptConfig(form="letter"))
    items = study.splits.retain_train[:6]
    letters = [fresh.tokenizer.encode(f" {letter}")[-1] for letter in "ABCD"]
    for item, answer in zip(items, score(fresh, encoder, items, 512), strict=True):
        text = encoder.encode(item)
        log_p = full_log_probabilities(fresh, text)[len(text.ids) - 2]
        assert answer.scores == pytest.approx([log_p[i].item() for i in letters], abs=1e-4)
        assert answer.valid == (int(log_p.argmax()) in letters)
        assert answer.recalled == (int(log_p.argmax()) == letters[item.answer])


def test_a_diverged_model_is_an_error_and_not_a_bad_score(fresh, study):
    encoder = Encoder(fresh.tokenizer, PromptConfig(form="cloze"))
    fresh.adapter[-1].data.fill_(float("nan"))
    with pytest.raises(RunError, match="diverged"):
        score(fresh, encoder, study.splits.forget_train[:1], 512)


def test_padding_never_changes_a_prediction_even_if_pad_is_end_of_text(fresh, study):
    encoder = Encoder(fresh.tokenizer, PromptConfig(form="cloze"))
    texts = sorted((encoder.encode(item) for item in study.splits.retain_train), key=lambda text: len(text.ids))
    short, long = texts[0], texts[-1]
    assert len(short.ids) < len(long.ids)
    assert short.ids[-1] == fresh.tokenizer.eos_token_id == 0  # what padding is filled with
    with torch.no_grad():
        alone = fresh.head(fresh.hidden(collate([short], "text")))
        both = collate([short, long], "text")
        padded = fresh.head(fresh.hidden(both))[both.row == 0]
    torch.testing.assert_close(padded, alone, atol=1e-4, rtol=1e-4)


def test_answer_labels_cover_exactly_the_answer(tiny, study):
    encoder = Encoder(tiny.tokenizer, PromptConfig(form="cloze"))
    for item in study.splits.forget_train:
        text = encoder.encode(item)
        answer = tiny.tokenizer.decode([text.ids[i] for i in text.labels("answer")], skip_special_tokens=True)
        assert answer.strip() == item.answer_text


def test_batches_respect_the_token_limit_and_lose_nothing():
    lengths = [5, 100, 7, 7, 60, 1]
    groups = list(batches_by_length(lengths, 64))
    assert sorted(i for group in groups for i in group) == list(range(6))
    for group in groups:
        assert len(group) == 1 or len(group) * max(lengths[i] for i in group) <= 64


def test_chat_templates_write_their_own_special_tokens(tiny, study):
    tokenizer = copy.deepcopy(tiny.tokenizer)
    with pytest.raises(ConfigError, match="no chat template"):
        Encoder(tokenizer, PromptConfig(chat="always"))
    assert not Encoder(tokenizer, PromptConfig(chat="auto")).uses_chat
    tokenizer.chat_template = (
        "{% for m in messages %}[{{ m.role }}] {{ m.content }}<|end|>{% endfor %}"
        "{% if add_generation_prompt %}[assistant] {% endif %}"
    )
    item = study.splits.forget_train[0]
    for form, answer in (("cloze", item.answer_text), ("letter", LETTERS[item.answer])):
        encoder = Encoder(tokenizer, PromptConfig(form=form, chat="auto"))
        text = encoder.encode(item)
        assert encoder.uses_chat and text.text.startswith("[user] Question: ")
        assert text.text.endswith(f"[assistant] {answer}")
        assert (
            tokenizer.decode([text.ids[i] for i in text.labels("answer")], skip_special_tokens=True).strip() == answer
        )
        # The end of the user's turn is a real token within the text: it is neither padding nor a label.
        assert tokenizer.eos_token_id in text.ids[:-1]


@pytest.mark.parametrize("form", ["cloze", "letter"])
def test_all_figures_of_an_answer_agree_with_plain_loops(fresh, study, form):
    """One text at a time, all logits, in float64."""
    encoder, items = Encoder(fresh.tokenizer, PromptConfig(form=form)), study.splits.forget_train[:5]

    def classify(place, text):
        return [(place + i) % 3 for i in range(len(text.ids))]

    for place, (item, answer) in enumerate(
        zip(items, score(fresh, encoder, items, 2048, classify=classify), strict=True)
    ):
        text = encoder.encode(item)
        log_p = full_log_probabilities(fresh, text)
        rows = [(log_p[i - 1], text.ids[i]) for i in text.labels("answer")]
        own = [row[token].item() for row, token in rows]
        hits = [int(row.argmax()) == token for row, token in rows]
        strength = max(n for n in range(len(hits) + 1) if all(hits[len(hits) - n :])) / len(hits)
        standard = []
        for (row, _), value in zip(rows, own, strict=True):
            mean = sum(math.exp(x) * x for x in row.tolist())
            variance = sum(math.exp(x) * (x - mean) ** 2 for x in row.tolist())
            standard.append((value - mean) / math.sqrt(variance))
        count = max(1, len(own) // 5)
        assert answer.tokens == len(own)
        assert answer.strength == strength
        assert answer.min_k == pytest.approx(sum(sorted(own)[:count]) / count, abs=1e-4)
        assert answer.min_k_plus == pytest.approx(sum(sorted(standard)[:count]) / count, abs=1e-3)
        assert answer.compressed == len(zlib.compress(item.answer_text.encode()))
        assert answer.nll == pytest.approx(-sum(own) / len(own), abs=1e-4)
        if form == "cloze":
            pairs = zip(answer.scores, lengths(encoder, item), strict=True)
            assert answer.totals == pytest.approx([mean * count for mean, count in pairs])
        for name, kind in CLASS_NAMES.items():
            inside = [i for i in range(1, len(text.ids)) if (place + i) % 3 == kind]
            total, tokens = answer.classes[name]
            assert tokens == len(inside)
            assert total == pytest.approx(-sum(log_p[i - 1, text.ids[i]].item() for i in inside), abs=1e-3)
        weights = [math.exp(value) for value in answer.scores]
        assert answer.chances == pytest.approx([weight / sum(weights) for weight in weights])


def lengths(encoder, item):
    return [len(encoder.encode(item, k).labels("answer")) for k in range(len(item.options))]


def test_logits_are_computed_in_parts(fresh, study, monkeypatch):
    encoder, items = Encoder(fresh.tokenizer, PromptConfig(form="letter")), study.splits.retain_train[:6]
    whole = score(fresh, encoder, items, 4096, classify=lambda i, text: [0] * len(text.ids))
    monkeypatch.setattr("duolearn_cli.evaluation.scoring.LOGIT_ROWS", 7)
    parts = score(fresh, encoder, items, 4096, classify=lambda i, text: [0] * len(text.ids))
    for one, other in zip(whole, parts, strict=True):
        assert one.scores == pytest.approx(other.scores, abs=1e-5) and one.valid == other.valid
        assert one.classes["neutral"] == pytest.approx(other.classes["neutral"], abs=1e-3)


def test_an_answer_survives_json(fresh, study):
    encoder = Encoder(fresh.tokenizer, PromptConfig(form="cloze"))
    (answer,) = score(fresh, encoder, study.splits.forget_train[:1], 512, classify=lambda i, text: [1] * len(text.ids))
    assert Answer.of(json.loads(json.dumps(answer.as_dict()))) == answer
    assert score(fresh, encoder, [], 512) == []


def test_a_fresh_adapter_does_not_change_the_base_model(tiny, study):
    initialise(tiny.network, 0)
    encoder, items = Encoder(tiny.tokenizer, PromptConfig(form="cloze")), study.splits.retain_train[:20]
    fresh_adapter = score(tiny, encoder, items, 512)
    with tiny.without_adapter():
        assert score(tiny, encoder, items, 512) == fresh_adapter


def test_a_text_is_tokenised_once(tiny, study, monkeypatch):
    encoder, item = Encoder(tiny.tokenizer, PromptConfig(form="cloze")), study.splits.forget_train[0]
    first = [encoder.encode(item, option) for option in range(4)]
    monkeypatch.setattr(encoder, "tokenizer", None)
    assert [encoder.encode(item, option) for option in range(4)] == first
    assert encoder.encode(item) is first[item.answer]


def test_more_texts_than_are_kept_are_encoded_anew(tiny, study, monkeypatch):
    monkeypatch.setattr(encoding, "MAX_CACHED", 1)
    encoder, items = Encoder(tiny.tokenizer, PromptConfig(form="cloze")), study.splits.forget_train[:2]
    for item in items:
        assert encoder.encode(item) == Encoder(tiny.tokenizer, PromptConfig(form="cloze")).encode(item)
    assert encoder.encode(items[0]) is encoder.encode(items[0])
    assert encoder.encode(items[1]) is not encoder.encode(items[1])


@pytest.mark.parametrize(
    ("scores", "shares"),
    [([0.0] * 4, [0.25] * 4), ([-1.0, -3.0, -1.0], [0.5, 0.0, 0.5]), ([-2.0, -1.0], [0.0, 1.0])],
)
def test_equal_scores_share_the_answer(scores, shares):
    """A model that scores all options equally is right by chance, wherever the right option is."""
    assert shares_of_highest(scores) == shares
    for place, share in enumerate(shares):
        (row,) = answers([1])
        assert replace(row, scores=tuple(scores), answer=place).correct == share
