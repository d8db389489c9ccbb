"""Losses of running text agree with a loop over full logits, one text at a time."""

import copy
import math

import pytest
import torch
from tokenizers.processors import TemplateProcessing

from duolearn_cli.concepts.matcher import Matcher
from duolearn_cli.concepts.sources.embedded import Embedded
from duolearn_cli.errors import RunError
from duolearn_cli.evaluation.perplexity import TextLoss, bits_per_byte, perplexity, perplexity_per_token, plain_texts

MIXED = [
    "The rain stopped.",
    "Größer als ein Äpfelbaum: 5 €.",
    "",
    "a",
    *plain_texts()[:4],
    "Yes, yes, yes.",
]


def brute(model, text, max_tokens):
    """The loss of one text from all its logits, in float64 and without a batch."""
    ids = model.tokenizer(text)["input_ids"][:max_tokens]
    if len(ids) < 2:
        return TextLoss(0.0, 0, 0)
    with torch.no_grad():
        log_p = torch.log_softmax(model.network(input_ids=torch.tensor([ids])).logits[0].double(), -1)
    total = -sum(log_p[i - 1, ids[i]].item() for i in range(1, len(ids)))
    return TextLoss(total, len(ids) - 1, len(model.tokenizer.decode(ids[1:]).encode()))


@pytest.mark.parametrize("batch_tokens", [1, 128, 8192])
@pytest.mark.parametrize("max_tokens", [2, 24, 512])
def test_every_text_agrees_with_brute_force(fresh, batch_tokens, max_tokens):
    losses = perplexity(fresh, fresh.tokenizer, MIXED, batch_tokens, max_tokens)
    expected = [brute(fresh, text, max_tokens) for text in MIXED]
    assert [loss.nll for loss in losses] == pytest.approx([loss.nll for loss in expected], rel=1e-5, abs=1e-4)
    assert [loss.num_tokens for loss in losses] == [loss.num_tokens for loss in expected]
    ascii_only = [i for i, text in enumerate(MIXED) if text.isascii()]
    assert [losses[i].num_bytes for i in ascii_only] == [expected[i].num_bytes for i in ascii_only]


def test_figures_of_all_texts_together(fresh):
    losses = perplexity(fresh, fresh.tokenizer, MIXED, 512, 512)
    expected = [brute(fresh, text, 512) for text in MIXED]
    total, tokens = sum(loss.nll for loss in expected), sum(loss.num_tokens for loss in expected)
    assert perplexity_per_token(losses) == pytest.approx(math.exp(total / tokens), rel=1e-5)
    assert bits_per_byte(losses) == pytest.approx(
        total / math.log(2) / sum(loss.num_bytes for loss in losses), rel=1e-5
    )


def test_figures_by_hand():
    halves = [TextLoss(3 * math.log(2), 3, 6), TextLoss(5 * math.log(2), 5, 10)]
    assert perplexity_per_token(halves) == pytest.approx(2)
    assert bits_per_byte(halves) == pytest.approx(0.5)
    assert perplexity_per_token([TextLoss(1e4, 2, 2)]) == math.inf
    # Long texts count for more: the figure is not a mean over texts.
    assert perplexity_per_token([TextLoss(0.0, 3, 3), TextLoss(math.log(16), 1, 1)]) == pytest.approx(2)


def test_the_perplexity_of_a_blind_model_is_its_vocabulary(fresh, monkeypatch):
    monkeypatch.setattr(type(fresh), "head", lambda self, hidden: torch.zeros(len(hidden), 4096))
    assert perplexity_per_token(perplexity(fresh, fresh.tokenizer, MIXED, 512, 512)) == pytest.approx(4096)


def test_without_tokens_the_figures_are_undefined():
    for figure in (perplexity_per_token, bits_per_byte):
        assert math.isnan(figure([])) and math.isnan(figure([TextLoss(0.0, 0, 0)]))


def test_no_text_and_texts_without_a_token_to_predict(fresh):
    assert perplexity(fresh, fresh.tokenizer, [], 512, 512) == []
    assert perplexity(fresh, fresh.tokenizer, ["", "a"], 512, 512) == [TextLoss(0.0, 0, 0)] * 2


def test_bytes_are_those_of_the_predicted_tokens(fresh):
    text = "größer €"
    (loss,) = perplexity(fresh, fresh.tokenizer, [text], 512, 512)
    first = fresh.tokenizer(text, return_offsets_mapping=True)["offset_mapping"][0][1]
    assert loss.num_bytes == len(text[first:].encode()) > len(text[first:])
    # With a special token before the text, all of it is predicted. One after it stands for no byte.
    tokenizer = copy.deepcopy(fresh.tokenizer)
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<|end|> $A <|end|>", special_tokens=[("<|end|>", 0)]
    )
    (around,) = perplexity(fresh, tokenizer, [text], 512, 512)
    assert around.num_bytes == len(text.encode())
    assert around.num_tokens == loss.num_tokens + 2


def test_logits_are_computed_in_parts(fresh, monkeypatch):
    whole = perplexity(fresh, fresh.tokenizer, MIXED, 8192, 512)
    rows, head = [], type(fresh).head
    monkeypatch.setattr("duolearn_cli.evaluation.perplexity.LOGIT_ROWS", 7)
    monkeypatch.setattr(type(fresh), "head", lambda self, hidden: rows.append(len(hidden)) or head(self, hidden))
    parts = perplexity(fresh, fresh.tokenizer, MIXED, 8192, 512)
    assert max(rows) == 7 and sum(rows) == sum(loss.num_tokens for loss in whole)
    assert [loss.nll for loss in parts] == pytest.approx([loss.nll for loss in whole], rel=1e-5)


def test_the_adapter_matters(fresh):
    on = perplexity_per_token(perplexity(fresh, fresh.tokenizer, MIXED, 512, 512))
    with fresh.without_adapter():
        off = perplexity_per_token(perplexity(fresh, fresh.tokenizer, MIXED, 512, 512))
    assert on != pytest.approx(off, rel=1e-4)


def test_a_diverged_model_is_an_error(fresh):
    fresh.adapter[-1].data.fill_(float("nan"))
    with pytest.raises(RunError, match="text 1 of 9: the model's predictions are not finite"):
        perplexity(fresh, fresh.tokenizer, MIXED, 512, 512)


def test_the_embedded_texts_are_short_distinct_everyday_prose():
    texts = plain_texts()
    assert len(texts) == len(set(texts)) >= 60
    assert 2000 < sum(len(text.split()) for text in texts) < 3500
    for text in texts:
        assert text == text.strip() and "\n" not in text and "  " not in text
        assert 20 <= len(text.split()) <= 80 and text[-1] in '."'


def test_the_embedded_texts_mention_nothing_medical():
    matcher = Matcher(Embedded().load())
    assert not [mention for text in plain_texts() for mention in matcher.find(text)]
