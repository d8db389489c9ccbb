"""Masks, packing, key biases and preserved attention, on small random models of every supported family."""

import copy
import warnings
from itertools import pairwise
from types import SimpleNamespace

import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st
from peft import LoraConfig, get_peft_model

from duolearn_cli.concepts.token_classes import NEUTRAL, PRESERVE, UNLEARN
from duolearn_cli.errors import ModelError
from duolearn_cli.methods.base import Attention
from duolearn_cli.model import attention
from duolearn_cli.model.encoding import Encoded, collate
from duolearn_cli.model.language_model import LanguageModel
from duolearn_cli.model.packing import pack
from duolearn_cli.training.references import attend

SIZES = {
    "vocab_size": 40,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "initializer_range": 0.5,
    "pad_token_id": 0,
}
GEMMA = {"head_dim": 4, "query_pre_attn_scalar": 4, "final_logit_softcapping": None, "sliding_window": 16}
# All norms, and the softmax of eager attention, compute in float32 even for float64 inputs: hence the tolerances.
# SmolLM2 and Llama 3.1 are Llama models. Gemma 2 caps its scores, which sdpa cannot do.
FAMILIES = [
    ("Llama", "sdpa", {}),
    ("Llama", "eager", {}),
    ("Qwen2", "sdpa", {}),
    ("Qwen2", "eager", {}),
    ("Mistral", "sdpa", {"sliding_window": 16}),
    ("Mistral", "eager", {"sliding_window": 16}),
    ("Gemma2", "eager", GEMMA),
]
KINDS = [[NEUTRAL, PRESERVE, UNLEARN, PRESERVE, NEUTRAL, UNLEARN, UNLEARN][i % 7] for i in range(60)]


def build(family, implementation, more, layers=3, dtype=torch.float64):
    config = getattr(transformers, f"{family}Config")(**SIZES | {"num_hidden_layers": layers} | more)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        base = transformers.AutoModelForCausalLM.from_config(config, attn_implementation=implementation, dtype=dtype)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
            lora = LoraConfig(r=2, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
            network = get_peft_model(base, lora)
    return LanguageModel(network.to(dtype).eval(), None, "fp32", torch.device("cpu"))


@pytest.fixture(scope="module", params=FAMILIES, ids=lambda family: "-".join(family[:2]))
def model(request):
    return build(*request.param)


def text(*ids):
    return Encoded("", ids, tuple((i, i + 1) for i in range(len(ids))), tuple(i > 1 for i in range(len(ids))))


def random_texts(lengths, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [text(*torch.randint(1, 40, (length,), generator=generator).tolist()) for length in lengths]


TEXTS = random_texts([3, 9, 2, 14, 5, 7])


def all_states(model, texts, key_bias=None, pack_to=None):
    return model.hidden(collate(texts, "text", pack_to=pack_to), key_bias)


@pytest.mark.parametrize("pack_to", [14, 16, 21, 40, 100])
def test_packed_texts_are_computed_as_if_alone(model, pack_to):
    alone = torch.cat([all_states(model, [one]) for one in TEXTS])
    batch = collate(TEXTS, "text", pack_to=pack_to)
    assert batch.ids.shape[1] <= pack_to and len(batch.ids) <= len(TEXTS)
    torch.testing.assert_close(model.hidden(batch), alone, atol=1e-5, rtol=1e-5)


def test_packed_texts_are_computed_as_if_alone_in_single_precision(model):
    single = copy.copy(model)
    single.network = copy.deepcopy(model.network).float()
    single._decoder = single.network.get_base_model().get_decoder()
    torch.testing.assert_close(
        all_states(single, TEXTS, pack_to=21).double(), all_states(model, TEXTS), atol=1e-5, rtol=1e-5
    )


def test_a_bias_of_zero_equals_the_plain_mask(model):
    batch = collate(TEXTS, "text")
    zero = torch.zeros(batch.ids.shape)
    torch.testing.assert_close(model.hidden(batch, zero), model.hidden(batch), atol=1e-5, rtol=1e-5)


def test_a_bias_changes_the_result_in_the_same_way_with_and_without_packing(model):
    kinds = [KINDS[: len(one.ids)] for one in TEXTS]
    biased = Attention(unlearn_key_bias=-1.0, preserve_key_bias=0.5, kept_layers=2)
    plain = attend(model, collate(TEXTS, "text"), Attention(), kinds)["hidden"]
    padded, packed = (attend(model, collate(TEXTS, "text", pack_to=width), biased, kinds) for width in (None, 21))
    for name, one in padded.items():
        torch.testing.assert_close(one, packed[name], atol=1e-5, rtol=1e-5)
    assert (padded["hidden"] - plain).abs().max() > 1e-3
    assert padded["attention"].shape == (2, sum(row.count(PRESERVE) for row in kinds), 16)


def test_later_tokens_other_texts_and_padding_never_matter(model):
    first, changed = text(3, 4, 5, 6, 7), text(3, 4, 5, 9, 8)
    for others, pack_to in (([], None), ([text(8, 9)], 20), ([text(*range(1, 13))], None)):
        batch = collate([first, *others], "text", pack_to=pack_to)
        other = collate([changed, *[text(*reversed(one.ids)) for one in others]], "text", pack_to=pack_to)
        bias = torch.randn(batch.ids.shape, dtype=torch.float64)
        states = [model.hidden(one, bias)[:2] for one in (batch, other)]
        torch.testing.assert_close(*states, atol=0, rtol=0)
        bias[batch.segment == 0] = 7.0
        filled = copy.copy(batch)
        object.__setattr__(filled, "ids", torch.where(batch.segment == 0, 11, batch.ids))
        torch.testing.assert_close(model.hidden(filled, bias)[:4], model.hidden(batch, bias)[:4], atol=0, rtol=0)


@pytest.mark.parametrize(("family", "more"), [("Llama", {}), ("Qwen2", {}), ("Gemma2", GEMMA)])
def test_bias_reweights_attention_by_its_exponential(family, more):
    model = build(family, "eager", more, layers=1)
    batch = collate([TEXTS[3]], "text")
    bias = torch.tensor([KINDS[:14]], dtype=torch.float64) * 0.7 - 0.4

    def weights(key_bias):
        mask = attention.additive_mask(batch.segment, key_bias, torch.float64)
        return model._decoder(batch.ids, attention_mask=mask, output_attentions=True).attentions[0].double()

    plain, biased = weights(None), weights(bias)
    expected = plain * bias.exp()
    torch.testing.assert_close(biased, expected / expected.sum(-1, keepdim=True), atol=1e-6, rtol=1e-5)
    assert (biased - plain).abs().max() > 1e-2


def test_biased_output_against_written_out_attention():
    """One layer, written out from its projections: softmax(QK^T / sqrt(d) + mask + bias) V, with grouped keys."""
    from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

    texts = [TEXTS[1], TEXTS[4]]
    for implementation in ("sdpa", "eager"):
        model = build("Llama", implementation, {}, layers=1)
        decoder, batch = model._decoder, collate(texts, "text", pack_to=20)
        bias = torch.randn(batch.ids.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
        with model.attention_outputs(1) as outputs:
            model.hidden(batch, bias)
        block, length, start = decoder.layers[0], batch.ids.shape[1], 9
        inputs = block.input_layernorm(decoder.embed_tokens(batch.ids))
        places = torch.tensor([[*range(9), *range(5)]])
        projected = [getattr(block.self_attn, f"{name}_proj")(inputs) for name in "qkv"]
        heads = [each.view(1, length, -1, 4).transpose(1, 2) for each in projected]
        query, key = apply_rotary_pos_emb(heads[0], heads[1], *decoder.rotary_emb(inputs, places))
        naive = torch.zeros(1, length, 4, 4, dtype=torch.float64)
        for head in range(4):
            for q in range(length):
                seen = range(start if q >= start else 0, q + 1)
                scores = [query[0, head, q] @ key[0, head // 2, k] / 2 + bias[0, k] for k in seen]
                naive[0, q, head] = torch.stack(scores).softmax(0) @ heads[2][0, head // 2, list(seen)]
        expected = block.self_attn.o_proj(naive.flatten(2))
        torch.testing.assert_close(outputs[block.self_attn], expected, atol=1e-5, rtol=1e-5)


@given(st.lists(st.integers(1, 12), min_size=1, max_size=8), st.integers(1, 30), st.sampled_from(["text", "answer"]))
def test_layout_keeps_every_token_and_the_order_of_the_sequences(lengths, width, labels):
    texts = random_texts(lengths)
    for pack_to in (None, width):
        batch = collate(texts, labels, pack_to=pack_to)
        flat = batch.ids.flatten()
        assert flat[batch.token].tolist() == [i for one in texts for i in one.ids]
        assert len(set(batch.token.tolist())) == sum(lengths) == int(batch.mask.sum())
        assert batch.place.flatten()[batch.token].tolist() == [i for length in lengths for i in range(length)]
        wanted = [(index, one.ids[i]) for index, one in enumerate(texts) for i in one.labels(labels)]
        assert list(zip(batch.sequence.tolist(), batch.label.tolist(), strict=True)) == wanted
        starts = [0, *torch.tensor(lengths).cumsum(0).tolist()]
        before = [starts[index] + i - 1 for index, one in enumerate(texts) for i in one.labels(labels)]
        assert (batch.row * batch.ids.shape[1] + batch.position).tolist() == batch.token[before].tolist()
        assert batch.longest == max(lengths)
        # Every sequence of a row has a segment of its own.
        rows = batch.token // batch.ids.shape[1]
        segments = (rows * 100 + batch.segment.flatten()[batch.token]).tolist()
        owner = [index for index, length in enumerate(lengths) for _ in range(length)]
        assert len(set(zip(segments, owner, strict=True))) == len(set(owner))


@given(st.lists(st.integers(1, 20), max_size=20), st.integers(1, 40))
def test_first_fit_decreasing(lengths, width):
    starts = pack(lengths, width)
    rows = {row: [] for row, _ in starts}
    for (row, start), length in zip(starts, lengths, strict=True):
        rows[row].append((start, start + length))
    assert sorted(rows) == list(range(len(rows)))
    for spans in rows.values():
        spans.sort()
        assert spans[0][0] == 0 and all(end == start for (_, end), (start, _) in pairwise(spans))
        assert len(spans) == 1 or spans[-1][1] <= width
    # No two rows could be joined.
    ends = sorted(max(end for _, end in spans) for spans in rows.values())
    assert len(ends) < 2 or ends[0] + ends[1] > width


@given(st.lists(st.integers(0, 3), min_size=1, max_size=7), st.booleans())
def test_mask_against_a_loop(segments, with_bias):
    bias = torch.arange(len(segments), dtype=torch.float32)[None] / 3 if with_bias else None
    mask = attention.additive_mask(torch.tensor([segments]), bias, torch.float32)
    assert mask.shape == (1, 1, len(segments), len(segments))
    for q, own in enumerate(segments):
        assert (mask[0, 0, q] > -1e30).any()
        for k, other in enumerate(segments):
            seen = torch.tensor(k / 3 if with_bias else 0.0)
            assert mask[0, 0, q, k] == (seen if k <= q and own == other else torch.finfo(torch.float32).min)


def test_evenly_spaced_layers_end_with_the_last():
    assert attention.evenly_spaced(32, 4) == [7, 15, 23, 31]
    assert attention.evenly_spaced(30, 4) == [6, 14, 21, 29]
    assert attention.evenly_spaced(2, 4) == [0, 1]
    assert attention.evenly_spaced(5, 0) == []


def test_texts_longer_than_a_window_are_refused():
    for family, more in (("Mistral", {"sliding_window": 8}), ("Gemma2", GEMMA | {"sliding_window": 8})):
        model = build(family, "eager", more)
        short, long = TEXTS[5], TEXTS[3]
        torch.testing.assert_close(
            all_states(model, [short, short], pack_to=14)[:6], all_states(model, [short]), atol=1e-5, rtol=1e-5
        )
        with pytest.raises(ModelError, match=rf"{family}.*window of 8 tokens.*has 14.*unlearn\.packing=false"):
            all_states(model, [long], pack_to=20)
        all_states(model, [long])


def test_flash_attention_is_refused_with_a_fix():
    model = build("Llama", "sdpa", {})
    model._decoder.config._attn_implementation_internal = "flash_attention_2"
    with pytest.raises(ModelError, match=r"LlamaForCausalLM attends with flash_attention_2.*eager, sdpa.*Fix"):
        model.check_attention(masks=True, kept_layers=0)


def test_a_model_that_ignores_the_mask_is_refused():
    model = build("Llama", "sdpa", {})
    inner = model._decoder.forward

    def deaf(input_ids, attention_mask=None, position_ids=None, use_cache=None):
        return inner(input_ids=input_ids, use_cache=False)

    model._decoder.forward = deaf
    with pytest.raises(ModelError, match="LlamaForCausalLM does not separate"):
        model.check_attention(masks=True, kept_layers=0)


def test_a_model_that_takes_no_mask_is_refused():
    def flat(input_ids, use_cache=None):
        raise AssertionError("not reached")

    model = build("Llama", "sdpa", {})
    model._decoder.forward = flat
    with pytest.raises(ModelError, match="takes no additive mask"):
        model.check_attention(masks=True, kept_layers=0)


@pytest.mark.parametrize("decoder", [SimpleNamespace(), SimpleNamespace(layers=[SimpleNamespace(attn=1)])])
def test_layers_without_self_attention_are_refused(decoder):
    recording = attention.recorded(decoder, 2, "Odd")
    with pytest.raises(ModelError, match=r"Odd has no layers with a self_attn.*attention_weight=0"), recording:
        pass


def test_hooks_are_removed_even_after_an_error(model):
    def hooks():
        return sum(len(module._forward_hooks) for module in model.network.modules())

    before = hooks()
    with pytest.raises(RuntimeError, match="boom"), model.attention_outputs(2):
        assert hooks() == before + 2
        raise RuntimeError("boom")
    assert hooks() == before


def test_recorded_outputs_are_those_of_the_chosen_layers(model):
    seen, hooks = {}, []
    for layer in model._decoder.layers:
        hooks.append(layer.self_attn.register_forward_hook(lambda module, _, output: seen.update({module: output[0]})))
    try:
        with model.attention_outputs(2) as outputs:
            model.hidden(collate(TEXTS, "text"))
    finally:
        for hook in hooks:
            hook.remove()
    assert list(outputs) == [model._decoder.layers[index].self_attn for index in (0, 2)]
    assert all(output is seen[module] for module, output in outputs.items())


def test_retention_is_the_formula_and_zero_at_the_target():
    generator = torch.Generator().manual_seed(0)
    target, outputs = torch.randn(2, 3, 5, 4, generator=generator, dtype=torch.float64)
    naive = sum(
        ((outputs[i, j] - target[i, j]) ** 2).sum() / ((target[i, j] ** 2).sum() + attention.EPSILON)
        for i in range(3)
        for j in range(5)
    )
    change = attention.retention(outputs, target)
    assert change.shape == (5,)
    torch.testing.assert_close(change.mean(), naive / 15)
    assert attention.retention(target, target).abs().max() == 0
    assert attention.retention(outputs[:, :0], target[:, :0]).shape == (0,)
    assert torch.autograd.gradcheck(lambda o: attention.retention(o, target), outputs.requires_grad_())
    assert torch.isfinite(attention.retention(outputs, torch.zeros_like(target))).all()


def test_retention_gradient_against_finite_differences(model):
    """Through the model's own attention, with respect to its adapter."""
    kinds = [KINDS[: len(one.ids)] for one in TEXTS]
    batch, biased = collate(TEXTS, "text"), Attention(preserve_key_bias=0.3, kept_layers=2)
    target = attend(model, batch, biased, kinds)["attention"].detach()
    parameter = next(p for p in model.adapter if p.abs().max() > 0)
    start = parameter.detach().clone()

    def value(shift):
        parameter.data.copy_(start + shift)
        return attention.retention(attend(model, batch, biased, kinds)["attention"], target).mean()

    generator = torch.Generator().manual_seed(3)
    away, direction = torch.randn(2, *start.shape, generator=generator, dtype=torch.float64) * 0.1
    (at_target,) = torch.autograd.grad(value(torch.zeros_like(start)), parameter)
    assert at_target.abs().max() < 1e-12
    (gradient,) = torch.autograd.grad(value(away), parameter)
    with torch.no_grad():
        # The models' norms (and eager softmax) compute in float32 even for float64 inputs.
        step = 1e-2
        slope = (value(away + step * direction) - value(away - step * direction)) / (2 * step)
        parameter.data.copy_(start)
    assert (gradient * direction).sum().item() == pytest.approx(slope.item(), rel=1e-2)


def test_mixed_precision_takes_the_mask():
    model = build("Llama", "sdpa", {}, dtype=torch.float32)
    model.precision = "bf16"
    bias = torch.full((1, 14), 0.5)
    mixed = model.hidden(collate([TEXTS[3]], "text"), bias).float()
    model.precision = "fp32"
    exact = model.hidden(collate([TEXTS[3]], "text"), bias)
    assert ((mixed - exact).norm() / exact.norm()) < 0.05
