"""The cache for frozen layers below the adapter: nothing but the time may differ from a run without it."""

import json
import math
import os
import subprocess
import sys
import warnings
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import transformers
from accelerate import Accelerator
from peft import get_peft_model

from duolearn_cli.audits.robustness.rounding import rounded
from duolearn_cli.config.model import AdapterConfig
from duolearn_cli.config.schema import LearnConfig, ModelConfig, PromptConfig, RuntimeConfig
from duolearn_cli.evaluation.generation import generate
from duolearn_cli.evaluation.scoring import score
from duolearn_cli.methods.base import Attention
from duolearn_cli.model import frozen_layers, losses
from duolearn_cli.model.distributed import Processes
from duolearn_cli.model.encoding import Encoder, collate
from duolearn_cli.model.language_model import LanguageModel
from duolearn_cli.model.loading import load_model
from duolearn_cli.model.lora import lora_config
from duolearn_cli.model.weights import find_weights
from duolearn_cli.training.coordinates import Coordinates, flatten
from duolearn_cli.training.finetune import fine_tune
from duolearn_cli.training.gradients import Batching, gradients
from duolearn_cli.training.per_example import GradientRows
from duolearn_cli.training.references import attend, references
from tests.conftest import SMALL
from tests.model.test_attention import FAMILIES, GEMMA, KINDS, SIZES, TEXTS, random_texts
from tests.training.test_unlearn import METHODS, make_examples, method

CPU = torch.device("cpu")
GB = 10**9
MORE = [
    ("Qwen3", "sdpa", {"head_dim": 4}),
    # Some layers have a window that the longest text exceeds, others have none: each layer must keep its own kind.
    ("Gemma3Text", "eager", GEMMA | {"sliding_window": 13, "layer_types": ["sliding_attention", "full_attention"] * 2}),
    ("Phi3", "sdpa", {"bos_token_id": 1, "eos_token_id": 2}),
]
WINDOWED = ("Gemma2", "eager", GEMMA | {"sliding_window": 13})


def build(family, implementation, more, cache_bytes=GB, layers="last:2", count=4, dtype=torch.float64):
    config = getattr(transformers, f"{family}Config")(**SIZES | {"num_hidden_layers": count} | more)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        base = transformers.AutoModelForCausalLM.from_config(config, attn_implementation=implementation, dtype=dtype)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
            warnings.filterwarnings("ignore", "fan_in_fan_out is set to False", UserWarning)
            settings = lora_config(AdapterConfig(rank=2, layers=layers), base)
            settings.init_lora_weights = False
            network = get_peft_model(base, settings)
    return LanguageModel(network.to(dtype).eval(), None, "fp32", CPU, cache_bytes)


@pytest.fixture(scope="module", params=[*FAMILIES, *MORE, WINDOWED], ids=lambda family: "-".join(family[:2]))
def pair(request):
    """A model with a cache, and the same model without one."""
    models = [build(*request.param, cache_bytes) for cache_bytes in (GB, 0)]
    assert "computed once" in models[0].frozen_note and models[1].frozen_note == ""
    return models


@pytest.fixture(scope="module")
def tinies():
    def load(gigabytes):
        config = ModelConfig(name="tiny", embedded=True, adapter=AdapterConfig(rank=4, alpha=8, layers="last:50%"))
        runtime = RuntimeConfig(device="cpu", precision="fp32", hidden_cache_gb=gigabytes)
        return load_model(find_weights(config, None), config, runtime, seed=0)

    models = [load(1.0), load(0.0)]
    for model in models:
        generator = torch.Generator().manual_seed(1)
        for name, parameter in model.named_adapter:
            if "lora_B" in name:
                parameter.data.copy_(torch.randn(parameter.shape, generator=generator) * 0.02)
    return models


def layer_calls(model):
    """Count for each layer the tokens of texts that go through it."""
    calls, hooks = Counter(), []
    for i, layer in enumerate(model._decoder.layers):
        hooks.append(
            layer.register_forward_pre_hook(lambda _, inputs, i=i: calls.update({i: inputs[0].shape[:2].numel()}))
        )
    return calls, hooks


def forget(model):
    model._frozen.file = frozen_layers.StateFile(model._frozen.file.limit)


def gradient_of(model, hidden):
    # Not the sum of squares: after the last norm it is the same whatever the adapter does.
    return flatten(torch.autograd.grad(hidden.pow(3).sum(), model.adapter))


@pytest.mark.parametrize("pack_to", [None, 16, 40])
def test_states_and_their_gradients_are_those_of_the_whole_forward(pair, pack_to):
    cached, plain = pair
    if pack_to and plain._window and plain._window < 14:
        pytest.skip("texts are longer than the window")
    forget(cached)
    batches = [TEXTS[:4], TEXTS[2:], TEXTS[:1], [*TEXTS, TEXTS[0]]]
    for texts in [*batches, *batches]:
        batch = collate(texts, "text", pack_to=pack_to)
        actual, expected = (model.hidden(batch) for model in pair)
        torch.testing.assert_close(actual, expected, atol=1e-5, rtol=1e-5)
        pulled = [gradient_of(model, hidden) for model, hidden in zip(pair, (actual, expected), strict=True)]
        assert (pulled[0] - pulled[1]).norm() <= 1e-4 * pulled[1].norm()
        with torch.no_grad(), cached.without_adapter(), plain.without_adapter():
            torch.testing.assert_close(*(model.hidden(batch) for model in pair), atol=1e-5, rtol=1e-5)
    assert len(cached._frozen.file) == len(TEXTS)


def test_lower_layers_run_once_for_each_text_and_are_restored_afterwards(pair):
    cached, _ = pair
    forget(cached)
    layers = cached._decoder.layers
    calls, hooks = layer_calls(cached)
    for texts in (TEXTS[:4], TEXTS, TEXTS[::-1], [TEXTS[3], TEXTS[3]]):
        cached.hidden(collate(texts, "text"))
    for hook in hooks:
        hook.remove()
    tokens = sum(len(text.ids) for text in TEXTS)
    assert calls[0] == calls[1] == tokens and calls[2] == calls[3] > 3 * tokens
    assert cached._decoder.layers is layers and len(layers) == 4


def test_a_texts_bits_do_not_depend_on_where_it_comes_first(pair):
    cached, _ = pair
    results = []
    for order in (TEXTS, TEXTS[::-1], [*random_texts([30], seed=4), *TEXTS]):
        forget(cached)
        for text in order:
            cached.hidden(collate([text, order[0]], "text"))
        results.append(cached.hidden(collate(TEXTS, "text")))
    assert torch.equal(results[0], results[1]) and torch.equal(results[0], results[2])


def test_forwards_that_read_or_bias_lower_layers_run_all_layers(pair):
    cached, plain = pair
    if plain._window and plain._window < 14:
        pytest.skip("texts are longer than the window")
    kinds, batch = [KINDS[: len(one.ids)] for one in TEXTS], collate(TEXTS, "text")
    for setting in (Attention(preserve_key_bias=0.5), Attention(kept_layers=4), Attention(kept_layers=2)):
        actual, expected = (attend(model, batch, setting, kinds) for model in pair)
        assert actual.keys() == expected.keys()
        for name in actual:
            torch.testing.assert_close(actual[name], expected[name], atol=1e-3, rtol=1e-3)
    for depth in (0.25, 0.5, 0.75, 1.0):
        seen = []
        for model in pair:
            with model.activations(depth) as inner:
                model.hidden(batch)
            (states,) = inner
            seen.append(states.flatten(0, 1)[batch.token])
        torch.testing.assert_close(*seen, atol=1e-3, rtol=1e-3)
    bias = torch.full(batch.ids.shape, 0.5)
    assert len(cached._frozen.file)
    torch.testing.assert_close(cached.hidden(batch, bias), plain.hidden(batch, bias), atol=0, rtol=0)


def test_single_gradients_checkpointing_and_training_mode(pair):
    batch, rows = collate(TEXTS, "text"), []
    for model in pair:
        watch = GradientRows(model.network, model.adapter)
        with watch.recording():
            nll = losses.nll(model.head(model.hidden(batch)).double(), batch.label)
        with watch.rows(batch, range(len(TEXTS))) as (rows_of_texts, _):
            watch.backward([nll.mean()])
            rows.append(rows_of_texts.clone())
        with model.recomputed(True):
            again = model.hidden(batch)
        rows.append(gradient_of(model, again))
        model.network.train()
        rows.append(gradient_of(model, model.hidden(batch)))
        model.network.eval()
    for actual, expected in zip(rows[:3], rows[3:], strict=True):
        assert (actual - expected).norm() <= 1e-5 * expected.norm()
    assert pair[0]._frozen.in_use


def test_an_error_leaves_the_layers_in_place(pair, monkeypatch):
    cached, _ = pair
    forget(cached)
    layers, batch = cached._decoder.layers, collate(TEXTS, "text")
    for index in (0, 3):
        with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="boom"):

            def fail(*inputs, **named):
                raise RuntimeError("boom")

            patch.setattr(layers[index], "forward", fail)
            cached.hidden(batch)
        assert cached._decoder.layers is layers
    with pytest.raises(KeyError), cached.without_frozen_cache():
        assert not cached._frozen.in_use
        raise KeyError
    assert cached._frozen.in_use


@pytest.mark.parametrize("texts_that_fit", [0, 1, 3])
@pytest.mark.parametrize("pack_to", [None, 20])
def test_the_limit_holds_and_texts_beyond_it_are_right(texts_that_fit, pack_to):
    per_token = 16 * 8
    limit = sum(len(text.ids) for text in TEXTS[:texts_that_fit]) * per_token
    cached, plain = (build(*FAMILIES[0], size) for size in (limit or 1, 0))
    cached.check_attention(masks=True, kept_layers=0)  # has forwards of its own
    calls, hooks = layer_calls(cached)
    for _ in range(3):
        batch = collate(TEXTS, "text", pack_to=pack_to)
        torch.testing.assert_close(cached.hidden(batch), plain.hidden(batch), atol=1e-5, rtol=1e-5)
    for hook in hooks:
        hook.remove()
    assert len(cached._frozen.file) == texts_that_fit and cached._frozen.file.is_full
    # Each text runs once alone. Then those beyond the limit run in rows, or all if none is cached.
    rest = [len(text.ids) for text in TEXTS[texts_that_fit:]]
    again = len(rest) * max(rest) if texts_that_fit else batch.ids.numel()
    assert calls[0] == sum(len(text.ids) for text in TEXTS) + 2 * again
    if texts_that_fit:
        assert os.fstat(cached._frozen.file._file.fileno()).st_size == limit


def test_a_full_disk_stops_the_cache_and_nothing_else(monkeypatch):
    cached, plain = (build(*FAMILIES[0], size) for size in (GB, 0))
    cached.hidden(collate(TEXTS[:2], "text"))

    class Full:
        def seek(self, place):
            raise OSError("no space left on device")

    monkeypatch.setattr(cached._frozen.file, "_file", Full())
    for _ in range(2):
        batch = collate(TEXTS[2:], "text")
        torch.testing.assert_close(cached.hidden(batch), plain.hidden(batch), atol=1e-5, rtol=1e-5)
    assert cached._frozen.file.is_full and len(cached._frozen.file) == 2


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_stored_states_are_read_back_unchanged(dtype):
    file, generator = frozen_layers.StateFile(10_000), torch.Generator().manual_seed(0)
    stored = {str(n).encode(): torch.randn(n, 6, generator=generator).to(dtype) for n in (3, 1, 7, 2)}
    for key, states in stored.items():
        assert file.get(key) is None
        file.add(key, states)
    for key, states in stored.items():
        actual = file.get(key)
        assert actual.dtype == dtype and torch.equal(actual, states)
    assert file.size == 13 * 6 * dtype.itemsize


def test_mixed_precision_gives_the_result_of_the_whole_forward():
    cached, plain = (build(*FAMILIES[0], size, dtype=torch.float32) for size in (GB, 0))
    for model in (cached, plain):
        model.precision = "bf16"
    batch = collate(TEXTS, "text")
    for _ in range(2):
        actual, expected = cached.hidden(batch).float(), plain.hidden(batch).float()
        assert (actual - expected).norm() <= 0.02 * expected.norm()
    hidden = cached.hidden(batch)
    assert gradient_of(cached, hidden.float()).isfinite().all()


ODD = [
    ("OPT", {"word_embed_proj_dim": 16, "ffn_dim": 24}),
    ("Granite", {"embedding_multiplier": 12.0}),
    ("GPT2", {"n_embd": 16, "n_layer": 4, "n_head": 4, "bos_token_id": 1, "eos_token_id": 2}),
]


@pytest.mark.parametrize(("family", "more"), ODD, ids=[family for family, _ in ODD])
def test_architectures_that_need_their_lower_layers_run_them_and_a_note_says_so(family, more):
    cached, plain = (build(family, "sdpa", more, size) for size in (GB, 0))
    assert f"{cached.architecture} does not run without them" in cached.frozen_note and cached._frozen is None
    batch = collate(TEXTS, "text")
    torch.testing.assert_close(cached.hidden(batch), plain.hidden(batch), atol=0, rtol=0)


def test_adapters_that_begin_with_the_first_layer_have_no_cache():
    for layers in ("all", "0,3", "0"):
        model = build(*FAMILIES[0], layers=layers)
        assert model._frozen is None and model.frozen_note == ""


def test_layers_with_dropout_are_cached_in_evaluation_mode_only():
    more = {"hidden_dropout": 0.5, "rope_parameters": {"rope_type": "default", "rope_theta": 1e4}}
    model = build("GPTNeoX", "sdpa", more)
    state = torch.random.get_rng_state()
    model = build("GPTNeoX", "sdpa", more)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert model._frozen.in_use and not model.network.training
    model.network.train()
    assert not model._frozen.in_use
    batch = collate(TEXTS, "text")
    with torch.random.fork_rng():
        assert not torch.equal(model.hidden(batch), model.hidden(batch))
    assert len(model._frozen.file) == 0


def test_rounded_weights_do_not_use_states_of_the_original_ones():
    cached, plain = (build(*FAMILIES[0], size) for size in (GB, 0))
    batch = collate(TEXTS, "text")
    before = cached.hidden(batch)
    with rounded(cached, 4, 8), rounded(plain, 4, 8):
        torch.testing.assert_close(cached.hidden(batch), plain.hidden(batch), atol=0, rtol=0)
    assert torch.equal(cached.hidden(batch), before)


def both(tinies, make):
    return [make(model) for model in tinies]


@pytest.mark.parametrize("name", METHODS)
def test_references_and_gradients_of_every_method(tinies, study, name):
    chosen = method(name)
    values_by_model = []
    for model in tinies:
        forget_side, retain_side = make_examples(model, study, chosen.labels, attention=chosen.attention)
        for pack_to in (None, 128):
            step = gradients(
                model,
                forget_side[:3] + retain_side[:3],
                chosen,
                Coordinates(model.named_adapter),
                Processes(Accelerator(cpu=True)),
                Batching(pack_to=pack_to),
                squares=True,
            )
            values_by_model.append([step.forget, step.preserve, step.squares])
        values_by_model.append([example.reference.target_nll for example in forget_side])
        values_by_model.append([example.reference.base_hidden for example in retain_side])
    for values, expected in zip(values_by_model[:4], values_by_model[4:], strict=True):
        for one, other in zip(values, expected, strict=True):
            assert (one - other).norm() <= 1e-4 * other.norm()


def test_learning_answers_and_generation(tinies, study):
    encoder = Encoder(tinies[0].tokenizer, PromptConfig(form="cloze"))
    items = study.splits.forget_train[:6]
    texts = [encoder.encode(item) for item in items]
    before = [[parameter.detach().clone() for parameter in model.adapter] for model in tinies]
    curves = [[], []]
    for model, curve in zip(tinies, curves, strict=True):
        settings = LearnConfig(epochs=2, batch_size=4, learning_rate=1e-4)
        fine_tune(model, texts, settings, lambda values, curve=curve: curve.append(values["loss"]))
    assert curves[0] == pytest.approx(curves[1], rel=1e-4)
    answers = both(tinies, lambda model: score(model, encoder, items, 512))
    for one, other in zip(*answers, strict=True):
        assert one.prediction == other.prediction and one.scores == pytest.approx(other.scores, abs=1e-4)
    size = tinies[0]._frozen.file.size
    written = both(tinies, lambda model: generate(model, encoder, items, 6, 512))
    assert written[0] == written[1] and tinies[0]._frozen.file.size == size
    referenced = both(tinies, lambda model: references(model, texts, "text", 256))
    for one, other in zip(*referenced, strict=True):
        torch.testing.assert_close(one.target_hidden, other.target_hidden, atol=1e-3, rtol=1e-3)
    for model, values in zip(tinies, before, strict=True):
        for parameter, value in zip(model.adapter, values, strict=True):
            parameter.data.copy_(value)


def test_a_text_is_cached_once_whatever_positions_are_read(tinies):
    batch = collate(TEXTS, "text")
    moved = replace(batch, position=batch.position + 1)
    torch.testing.assert_close(*both(tinies, lambda model: model.hidden(moved)), atol=1e-4, rtol=1e-4)


LEAVES = """
import os, sys, torch
from duolearn_cli.model.frozen_layers import StateFile
file = StateFile(1000)
file.add(b"key", torch.ones(3, 4))
assert torch.equal(file.get(b"key"), torch.ones(3, 4))
print(file.size, flush=True)
print(os.listdir(os.environ["TMPDIR"]), flush=True)
if sys.argv[1] == "error":
    raise RuntimeError("boom")
if sys.argv[1] == "killed":
    os.kill(os.getpid(), 9)
"""


@pytest.mark.parametrize(("ends", "status"), [("well", 0), ("error", 1), ("killed", -9)])
def test_nothing_is_left_on_disk(tmp_path, ends, status):
    root = str(Path(__file__).resolve().parents[2])
    done = subprocess.run(
        [sys.executable, "-c", LEAVES, ends],
        env=os.environ | {"TMPDIR": str(tmp_path), "PYTHONPATH": root},
        capture_output=True,
        text=True,
        check=False,
    )
    size, seen = done.stdout.splitlines()[:2]
    assert done.returncode == status and int(size) == 48
    # The file has no name even while it is in use.
    assert seen == "[]" and not list(tmp_path.iterdir())


def figures(node, path=""):
    """Yield (path, number) of every number in a nested dictionary."""
    for key, value in node.items() if isinstance(node, dict) else enumerate(node):
        if isinstance(value, dict | list):
            yield from figures(value, f"{path}/{key}")
        elif isinstance(value, int | float):
            yield f"{path}/{key}", value


@pytest.mark.slow
def test_a_run_ends_with_the_same_figures(duolearn_process, tmp_path):
    runs = []
    for name, more in (("cached", []), ("off", ["runtime.hidden_cache_gb=0"])):
        done = duolearn_process(
            "unlearn",
            "+forget=surgery",
            *SMALL,
            "model.adapter.layers=last:1",
            f"output_dir={tmp_path}/{name}",
            f"cache_dir={tmp_path}/{name}-cache",
            *more,
        )
        assert done.returncode == 0, done.stderr
        assert ("computed once" in done.stdout) == (name == "cached")
        (path,) = (tmp_path / name).glob("**/metrics.json")
        runs.append({k: v for k, v in figures(json.loads(path.read_text())) if not k.startswith("/cost")})
    assert runs[0].keys() == runs[1].keys() and len(runs[0]) > 100
    for key, value in runs[0].items():
        assert value == pytest.approx(runs[1][key], rel=1e-3, abs=1e-4, nan_ok=True), key
    assert not math.isnan(runs[0]["/models/unlearned/splits/forget_train/nll/value"])
