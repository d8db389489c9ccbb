"""Texts that go through a model together do not influence each other, or a probe notices that they do."""

import logging

import pytest
import torch

from duolearn_cli.config.schema import PromptConfig
from duolearn_cli.errors import ModelError
from duolearn_cli.evaluation import scoring
from duolearn_cli.evaluation.generation import generate, takes_left_padding
from duolearn_cli.model import isolation
from duolearn_cli.model.encoding import Encoded, Encoder, collate
from duolearn_cli.model.shared_prefix import collate_branches
from tests.small_models import CAPPED, HYBRIDS, SCALED, adapted, random_base

# One model has a scan that reads padding as text, the other a bias by distance in the row.
RECURRENT = (
    "RecurrentGemma",
    {"block_types": ["recurrent", "attention"], "lru_width": 16, "attention_window_size": 64, "logits_soft_cap": 5.0},
)
BY_DISTANCE = ("Mpt", {"d_model": 16, "n_heads": 4, "n_layers": 2, "max_seq_len": 64})


def opened(family, more, tiny=None):
    """Return a random model; with `tiny`, one for texts of the embedded model's tokenizer."""
    if tiny is None:
        return adapted(random_base(family, more), TARGETS.get(family, ("q_proj", "v_proj")))
    size = {"vocab_size": len(tiny.tokenizer), "initializer_range": 0.2}
    model = adapted(random_base(family, more | size), TARGETS.get(family, ("q_proj", "v_proj")))
    model.tokenizer = tiny.tokenizer
    return model


TARGETS = {"Mpt": ("Wqkv",)}


def text(*ids):
    return Encoded("", ids, tuple((i, i + 1) for i in range(len(ids))), (True,) * len(ids))


TEXTS = [text(5, 6, 7, 8, 9, 30, 31, 2), text(5, 6, 7, 4, 11, 12), text(5, 6, 7, 2, 3, 25, 38, 17, 21)]


def distance_from_alone(model, batch):
    with torch.no_grad():
        together, alone = model.hidden(batch), torch.cat([model.hidden(collate([one], "text")) for one in TEXTS])
    return float(((together - alone).norm(dim=-1) / alone.norm(dim=-1)).max())


@pytest.mark.parametrize(("family", "more"), [("Llama", {}), ("Mixtral", {"num_local_experts": 4}), CAPPED, *SCALED])
def test_models_of_attention_alone_share_rows(family, more):
    model = opened(family, more)
    model.check_attention(masks=True, kept_layers=0)
    assert model.takes_branches(30)
    assert distance_from_alone(model, collate(TEXTS, "text", pack_to=30)) < isolation.APART
    assert distance_from_alone(model, collate_branches([TEXTS], ["text"] * 3)) < isolation.APART


@pytest.mark.parametrize(("family", "more"), [*HYBRIDS, RECURRENT])
def test_models_with_recurrent_states_share_no_row(family, more, caplog):
    model = opened(family, more)
    with caplog.at_level(logging.INFO, "duolearn"):
        assert not model.takes_branches(30) and not model.takes_branches(30)
    assert [record.message for record in caplog.records if record.name == "duolearn"] == [
        f"{model.architecture} cannot separate texts that share a row: evaluation uses one row for each text"
    ]
    packed = collate(TEXTS, "text", pack_to=30)
    for refused in (lambda: model.check_attention(masks=True, kept_layers=0), lambda: model.hidden(packed)):
        with pytest.raises(ModelError, match=r"does not separate .*Fix: .*unlearn\.packing=false"):
            refused()
    # In padded rows texts are computed as if alone.
    assert distance_from_alone(model, collate(TEXTS, "text")) < isolation.APART


def test_a_very_small_leak_is_noticed(monkeypatch):
    """The short convolution of a fresh LFM2 changes its neighbour's states by less than kernels on other shapes do."""

    def faint():
        base = random_base(*HYBRIDS[0])
        for name, parameter in base.named_parameters():
            if ".conv.conv." in name:
                parameter.data.mul_(1e-6)
        return adapted(base)

    assert not faint().takes_branches(30)
    # The distance from the text alone would not have shown it.
    monkeypatch.setattr(isolation, "LEAK", 1.0)
    assert faint().takes_branches(30)


def test_a_bias_by_distance_packs_but_shares_no_beginning():
    model = opened(*BY_DISTANCE)
    assert not model.takes_branches(30)
    model.check_attention(masks=True, kept_layers=0)
    assert distance_from_alone(model, collate(TEXTS, "text", pack_to=30)) < isolation.APART


def test_a_window_by_distance_holds_for_the_row():
    """GPT-Neo's own window counts the tokens of the row, also those of other options."""
    layers = {"num_layers": 2, "num_heads": 4, "attention_types": [[["global", "local"], 1]], "window_size": 32}
    model = adapted(random_base("GPTNeo", layers))
    assert model.takes_branches(32) and not model.takes_branches(33)


@pytest.mark.parametrize("window", [1, 2, 3])
def test_a_window_of_a_few_tokens_is_probed_too(window):
    assert not adapted(random_base("Mistral", {"sliding_window": window})).takes_branches(window + 1)


def test_a_model_that_looks_ahead_is_refused():
    base = random_base("Llama")
    for layer in base.model.layers:
        layer.self_attn.is_causal = False
    forward = base.model.forward

    def both_ways(input_ids, attention_mask=None, **named):
        mask = torch.zeros(len(input_ids), 1, input_ids.shape[1], input_ids.shape[1])
        return forward(input_ids=input_ids, attention_mask=mask, **named)

    base.model.forward = both_ways
    with pytest.raises(ModelError, match=r"LlamaForCausalLM computes a text differently .*models that only look back"):
        adapted(base)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_probes_pass_in_half_precision_too(dtype):
    model = adapted(random_base("Llama", dtype=dtype))
    assert model.is_rounded == (dtype == torch.bfloat16) and model.takes_branches(30)
    assert not adapted(random_base(*HYBRIDS[1], dtype=dtype)).takes_branches(30)


@pytest.mark.parametrize(("family", "more"), [HYBRIDS[1], CAPPED])
def test_options_are_scored_as_if_alone(family, more, tiny, study):
    model = opened(family, more, tiny)
    encoder, items = Encoder(tiny.tokenizer, PromptConfig(form="cloze")), study.splits.forget_train[:3]
    answers = scoring.score(model, encoder, items, 512)
    for item, answer in zip(items, answers, strict=True):
        for option, total in enumerate(answer.totals):
            one = encoder.encode(item, option)
            at = one.labels("answer")
            with torch.no_grad():
                log_p = model.network(input_ids=torch.tensor([one.ids])).logits[0].log_softmax(-1)
            own = sum(float(log_p[i - 1, one.ids[i]]) for i in at)
            assert total == pytest.approx(own, abs=2e-4)


@pytest.mark.parametrize(("family", "more"), [RECURRENT, HYBRIDS[1]])
def test_answers_in_own_words_are_those_of_each_question_alone(family, more, tiny, study, monkeypatch):
    model = opened(family, more, tiny)
    assert takes_left_padding(model) == (family != "RecurrentGemma")
    encoder = Encoder(tiny.tokenizer, PromptConfig(form="cloze"))
    items = [*study.splits.forget_train[:3], *study.splits.retain_train[:3]]
    alone = [generate(model, encoder, [item], 6, 512)[0] for item in items]
    assert generate(model, encoder, items, 6, 4096) == alone
    if family == "RecurrentGemma":
        monkeypatch.setattr("duolearn_cli.evaluation.generation.takes_left_padding", lambda model: True)
        assert generate(model, encoder, items, 6, 4096) != alone


def test_nan_never_passes_a_probe():
    def states(batch):
        return torch.full((len(batch.token), 2), torch.nan)

    for probe in (isolation.shares_batches, isolation.shares_rows, isolation.shares_beginnings):
        assert not probe(states, 40, None, rounded=False)
        assert probe(lambda batch: torch.ones(len(batch.token), 2), 40, 8, rounded=False)
