"""Kept states of the layers below the adapter: nothing but time may tell that they are there."""

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
from duolearn_cli.config.schema import AdapterConfig, LearnConfig, ModelConfig, PromptConfig, RuntimeConfig
from duolearn_cli.evaluation.generation import generate
from duolearn_cli.evaluation.scoring import score
from duolearn_cli.methods.base import Attention, attention_of
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
    # A window that the longest text passes on some layers, none on others: each must keep its own kind.
    ("Gemma3Text", "eager", GEMMA | {"sliding_window": 13, "layer_types": ["sliding_attention", "full_attention"] * 2}),
    ("Phi3", "sdpa", {"bos_token_id": 1, "eos_token_id": 2}),
]
WINDOWED = ("Gemma2", "eager", GEMMA | {"sliding_window": 13})


def build(family, implementation, more, kept=GB, layers="last:2", count=4, dtype=torch.float64):
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
    return LanguageModel(network.to(dtype).eval(), None, "fp32", CPU, kept)


@pytest.fixture(scope="module", params=[*FAMILIES, *MORE, WINDOWED], ids=lambda family: "-".join(family[:2]))
def pair(request):
    """A model that keeps states, and the same one that keeps none."""
    found = [build(*request.param, kept) for kept in (GB, 0)]
    assert "computed once" in found[0].kept_note and found[1].kept_note == ""
    return found


@pytest.fixture(scope="module")
def tinies():
    def load(gigabytes):
        config = ModelConfig(name="tiny", embedded=True, adapter=AdapterConfig(rank=4, alpha=8, layers="last:50%"))
        runtime = RuntimeConfig(device="cpu", precision="fp32", hidden_cache_gb=gigabytes)
        return load_model(find_weights(config, None), config, runtime, seed=0)

    found = [load(1.0), load(0.0)]
    for model in found:
        generator = torch.Generator().manual_seed(1)
        for name, parameter in model.named_adapter:
            if "lora_B" in name:
                parameter.data.copy_(torch.randn(parameter.shape, generator=generator) * 0.02)
    return found


def layer_calls(model):
    """Counts, layer by layer, the texts' tokens that go through it."""
    calls, hooks = Counter(), []
    for i, layer in enumerate(model._decoder.layers):
        hooks.append(
            layer.register_forward_pre_hook(lambda _, inputs, i=i: calls.update({i: inputs[0].shape[:2].numel()}))
        )
    return calls, hooks


def forget(model):
    model._lower.file = frozen_layers.StateFile(model._lower.file.limit)


def gradient_of(model, hidden):
    # Not their squares: after the last norm those add up to the same whatever the adapter does.
    return flatten(torch.autograd.grad(hidden.pow(3).sum(), model.adapter))


@pytest.mark.parametrize("pack_to", [None, 16, 40])
def test_states_and_their_gradients_are_those_of_the_whole_forward(pair, pack_to):
    kept, plain = pair
    if pack_to and plain._window and plain._window < 14:
        pytest.skip("texts are longer than the window")
    forget(kept)
    batches = [TEXTS[:4], TEXTS[2:], TEXTS[:1], [*TEXTS, TEXTS[0]]]
    for texts in [*batches, *batches]:
        batch = collate(texts, "text", pack_to=pack_to)
        found, expected = (model.hidden(batch) for model in pair)
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
        pulled = [gradient_of(model, hidden) for model, hidden in zip(pair, (found, expected), strict=True)]
        assert (pulled[0] - pulled[1]).norm() <= 1e-4 * pulled[1].norm()
        with torch.no_grad(), kept.without_adapter(), plain.without_adapter():
            torch.testing.assert_close(*(model.hidden(batch) for model in pair), atol=1e-5, rtol=1e-5)
    assert len(kept._lower.file) == len(TEXTS)


def test_lower_layers_run_once_a_text_and_are_back_in_place_afterwards(pair):
    kept, _ = pair
    forget(kept)
    layers = kept._decoder.layers
    calls, hooks = layer_calls(kept)
    for texts in (TEXTS[:4], TEXTS, TEXTS[::-1], [TEXTS[3], TEXTS[3]]):
        kept.hidden(collate(texts, "text"))
    for hook in hooks:
        hook.remove()
    tokens = sum(len(text.ids) for text in TEXTS)
    assert calls[0] == calls[1] == tokens and calls[2] == calls[3] > 3 * tokens
    assert kept._decoder.layers is layers and len(layers) == 4


def test_a_text_has_the_same_bits_wherever_it_comes_first(pair):
    kept, _ = pair
    found = []
    for order in (TEXTS, TEXTS[::-1], [*random_texts([30], seed=4), *TEXTS]):
        forget(kept)
        for text in order:
            kept.hidden(collate([text, order[0]], "text"))
        found.append(kept.hidden(collate(TEXTS, "text")))
    assert torch.equal(found[0], found[1]) and torch.equal(found[0], found[2])


def test_forwards_that_look_into_lower_layers_or_bias_them_run_whole(pair):
    kept, plain = pair
    if plain._window and plain._window < 14:
        pytest.skip("texts are longer than the window")
    kinds, batch = [KINDS[: len(one.ids)] for one in TEXTS], collate(TEXTS, "text")
    for asked in (Attention(preserve_key_bias=0.5), Attention(kept_layers=4), Attention(kept_layers=2)):
        found, expected = (attend(model, batch, asked, kinds) for model in pair)
        assert found.keys() == expected.keys()
        for name in found:
            torch.testing.assert_close(found[name], expected[name], atol=1e-3, rtol=1e-3)
    for depth in (0.25, 0.5, 0.75, 1.0):
        seen = []
        for model in pair:
            with model.activations(depth) as inner:
                model.hidden(batch)
            (states,) = inner
            seen.append(states.flatten(0, 1)[batch.token])
        torch.testing.assert_close(*seen, atol=1e-3, rtol=1e-3)
    bias = torch.full(batch.ids.shape, 0.5)
    assert len(kept._lower.file)
    torch.testing.assert_close(kept.hidden(batch, bias), plain.hidden(batch, bias), atol=0, rtol=0)


def test_single_gradients_checkpointing_and_training_mode(pair):
    batch, rows = collate(TEXTS, "text"), []
    for model in pair:
        watch = GradientRows(model.network, model.adapter)
        with watch.recording():
            nll = losses.nll(model.head(model.hidden(batch)).double(), batch.label)
        with watch.rows(batch, range(len(TEXTS))) as (found, _):
            watch.backward([nll.mean()])
            rows.append(found.clone())
        with model.recomputed(True):
            again = model.hidden(batch)
        rows.append(gradient_of(model, again))
        model.network.train()
        rows.append(gradient_of(model, model.hidden(batch)))
        model.network.eval()
    for found, expected in zip(rows[:3], rows[3:], strict=True):
        assert (found - expected).norm() <= 1e-5 * expected.norm()
    assert pair[0]._lower.in_use


def test_an_error_leaves_the_layers_in_place(pair, monkeypatch):
    kept, _ = pair
    forget(kept)
    layers, batch = kept._decoder.layers, collate(TEXTS, "text")
    for index in (0, 3):
        with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="boom"):

            def fail(*inputs, **named):
                raise RuntimeError("boom")

            patch.setattr(layers[index], "forward", fail)
            kept.hidden(batch)
        assert kept._decoder.layers is layers
    with pytest.raises(KeyError), kept.without_kept_states():
        assert not kept._lower.in_use
        raise KeyError
    assert kept._lower.in_use


@pytest.mark.parametrize("texts_that_fit", [0, 1, 3])
@pytest.mark.parametrize("pack_to", [None, 20])
def test_the_limit_holds_and_texts_beyond_it_are_right(texts_that_fit, pack_to):
    per_token = 16 * 8
    limit = sum(len(text.ids) for text in TEXTS[:texts_that_fit]) * per_token
    kept, plain = (build(*FAMILIES[0], size) for size in (limit or 1, 0))
    kept.check_attention(masks=True, kept_layers=0)  # has forwards of its own
    calls, hooks = layer_calls(kept)
    for _ in range(3):
        batch = collate(TEXTS, "text", pack_to=pack_to)
        torch.testing.assert_close(kept.hidden(batch), plain.hidden(batch), atol=1e-5, rtol=1e-5)
    for hook in hooks:
        hook.remove()
    assert len(kept._lower.file) == texts_that_fit and kept._lower.file.is_full
    # Once each alone; then those beyond the limit in rows, or all if none is kept.
    rest = [len(text.ids) for text in TEXTS[texts_that_fit:]]
    again = len(rest) * max(rest) if texts_that_fit else batch.ids.numel()
    assert calls[0] == sum(len(text.ids) for text in TEXTS) + 2 * again
    if texts_that_fit:
        assert os.fstat(kept._lower.file._file.fileno()).st_size == limit


def test_a_full_disk_ends_the_keeping_and_nothing_else(monkeypatch):
    kept, plain = (build(*FAMILIES[0], size) for size in (GB, 0))
    kept.hidden(collate(TEXTS[:2], "text"))

    class Full:
        def seek(self, place):
            raise OSError("no space left on device")

    monkeypatch.setattr(kept._lower.file, "_file", Full())
    for _ in range(2):
        batch = collate(TEXTS[2:], "text")
        torch.testing.assert_close(kept.hidden(batch), plain.hidden(batch), atol=1e-5, rtol=1e-5)
    assert kept._lower.file.is_full and len(kept._lower.file) == 2


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_states_come_back_as_they_went_in(dtype):
    file, generator = frozen_layers.StateFile(10_000), torch.Generator().manual_seed(0)
    given = {str(n).encode(): torch.randn(n, 6, generator=generator).to(dtype) for n in (3, 1, 7, 2)}
    for key, states in given.items():
        assert file.get(key) is None
        file.add(key, states)
    for key, states in given.items():
        found = file.get(key)
        assert found.dtype == dtype and torch.equal(found, states)
    assert file.size == 13 * 6 * dtype.itemsize


def test_mixed_precision_keeps_what_the_whole_forward_has():
    kept, plain = (build(*FAMILIES[0], size, dtype=torch.float32) for size in (GB, 0))
    for model in (kept, plain):
        model.precision = "bf16"
    batch = collate(TEXTS, "text")
    for _ in range(2):
        found, expected = kept.hidden(batch).float(), plain.hidden(batch).float()
        assert (found - expected).norm() <= 0.02 * expected.norm()
    hidden = kept.hidden(batch)
    assert gradient_of(kept, hidden.float()).isfinite().all()


ODD = [
    ("OPT", {"word_embed_proj_dim": 16, "ffn_dim": 24}),
    ("Granite", {"embedding_multiplier": 12.0}),
    ("GPT2", {"n_embd": 16, "n_layer": 4, "n_head": 4, "bos_token_id": 1, "eos_token_id": 2}),
]


@pytest.mark.parametrize(("family", "more"), ODD, ids=[family for family, _ in ODD])
def test_architectures_that_need_their_lower_layers_run_whole_and_it_is_said(family, more):
    kept, plain = (build(family, "sdpa", more, size) for size in (GB, 0))
    assert f"{kept.architecture} does not run without them" in kept.kept_note and kept._lower is None
    batch = collate(TEXTS, "text")
    torch.testing.assert_close(kept.hidden(batch), plain.hidden(batch), atol=0, rtol=0)


def test_adapters_that_begin_with_the_first_layer_keep_nothing():
    for layers in ("all", "0,3", "0"):
        model = build(*FAMILIES[0], layers=layers)
        assert model._lower is None and model.kept_note == ""


def test_layers_that_drop_out_at_random_are_kept_in_evaluation_only():
    more = {"hidden_dropout": 0.5, "rope_parameters": {"rope_type": "default", "rope_theta": 1e4}}
    model = build("GPTNeoX", "sdpa", more)
    state = torch.random.get_rng_state()
    model = build("GPTNeoX", "sdpa", more)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert model._lower.in_use and not model.network.training
    model.network.train()
    assert not model._lower.in_use
    batch = collate(TEXTS, "text")
    with torch.random.fork_rng():
        assert not torch.equal(model.hidden(batch), model.hidden(batch))
    assert len(model._lower.file) == 0


def test_rounded_weights_are_not_answered_with_states_of_the_others():
    kept, plain = (build(*FAMILIES[0], size) for size in (GB, 0))
    batch = collate(TEXTS, "text")
    before = kept.hidden(batch)
    with rounded(kept, 4, 8), rounded(plain, 4, 8):
        torch.testing.assert_close(kept.hidden(batch), plain.hidden(batch), atol=0, rtol=0)
    assert torch.equal(kept.hidden(batch), before)


def both(tinies, make):
    return [make(model) for model in tinies]


@pytest.mark.parametrize("name", METHODS)
def test_references_and_gradients_of_every_method(tinies, study, name):
    chosen = method(name)
    found = []
    for model in tinies:
        forget_side, retain_side = make_examples(model, study, chosen.labels, attention=attention_of(chosen))
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
            found.append([step.forget, step.preserve, step.squares])
        found.append([example.reference.target_nll for example in forget_side])
        found.append([example.reference.base_hidden for example in retain_side])
    for values, expected in zip(found[:4], found[4:], strict=True):
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
    size = tinies[0]._lower.file.size
    said = both(tinies, lambda model: generate(model, encoder, items, 6, 512))
    assert said[0] == said[1] and tinies[0]._lower.file.size == size
    found = both(tinies, lambda model: references(model, texts, "text", 256))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one.target_hidden, other.target_hidden, atol=1e-3, rtol=1e-3)
    for model, values in zip(tinies, before, strict=True):
        for parameter, value in zip(model.adapter, values, strict=True):
            parameter.data.copy_(value)


def test_a_batch_with_other_positions_to_read_is_no_other_text(tinies):
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
    # Even while it is in use, the file has no name.
    assert seen == "[]" and not list(tmp_path.iterdir())


def figures(node, path=""):
    """Every number of a nested dictionary, by its path."""
    for key, value in node.items() if isinstance(node, dict) else enumerate(node):
        if isinstance(value, dict | list):
            yield from figures(value, f"{path}/{key}")
        elif isinstance(value, int | float):
            yield f"{path}/{key}", value


@pytest.mark.slow
def test_a_run_ends_with_the_same_figures(duolearn_process, tmp_path):
    found = []
    for name, more in (("kept", []), ("off", ["runtime.hidden_cache_gb=0"])):
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
        assert ("computed once" in done.stdout) == (name == "kept")
        (path,) = (tmp_path / name).glob("**/metrics.json")
        found.append({k: v for k, v in figures(json.loads(path.read_text())) if not k.startswith("/cost")})
    assert found[0].keys() == found[1].keys() and len(found[0]) > 100
    for key, value in found[0].items():
        assert value == pytest.approx(found[1][key], rel=1e-3, abs=1e-4, nan_ok=True), key
    assert not math.isnan(found[0]["/models/unlearned/splits/forget_train/nll/value"])
