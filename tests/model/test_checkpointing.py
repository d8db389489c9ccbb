"""Activation checkpointing changes no gradient: with any method, micro-batch or packing, per-example gradients, or a
second backward."""

from __future__ import annotations

import warnings
from contextlib import contextmanager

import pytest
import torch
import transformers
from accelerate import Accelerator
from peft import LoraConfig, get_peft_model

from duolearn_cli.config.unlearning import UnlearnConfig
from duolearn_cli.errors import ConfigError, ModelError
from duolearn_cli.model.checkpointing import recomputed
from duolearn_cli.model.distributed import Processes
from duolearn_cli.model.encoding import collate
from duolearn_cli.model.language_model import LanguageModel
from duolearn_cli.model.losses import nll
from duolearn_cli.training.coordinates import Coordinates, flatten
from duolearn_cli.training.gradients import Batching, gradients
from duolearn_cli.training.private.separable import check_separable
from duolearn_cli.training.task import UnlearningTask
from duolearn_cli.training.unlearn import unlearn
from tests.model.test_attention import FAMILIES, build, random_texts
from tests.training.private.engine import one_unit_each, private_steps
from tests.training.test_unlearn import BIASED, KEPT, METHODS, make_examples, make_update, method

KINDS = [*METHODS, "kept attention"]
CUTS = [{}, {"micro_batch": 2}, {"pack_to": 100}]


def chosen_method(name):
    return method("duolearn", *BIASED, *KEPT) if name == "kept attention" else method(name)


def both(model, examples, chosen, squares=False, **settings):
    """Return the gradients without and with checkpointing."""
    coordinates, processes = Coordinates(model.named_adapter), Processes(Accelerator(cpu=True))
    results = []
    for wanted in (False, True):
        with model.recomputed(wanted):
            results.append(gradients(model, examples, chosen, coordinates, processes, Batching(**settings), squares))
    return results


@pytest.mark.parametrize("name", KINDS)
def test_gradients_of_every_method(fresh, study, name):
    chosen = chosen_method(name)
    forget, retain = make_examples(fresh, study, chosen.labels, attention=chosen.attention)
    for cut in CUTS:
        plain, again = both(fresh, [*forget[:3], *retain[:3]], chosen, **cut)
        assert plain.forget.norm() + plain.preserve.norm() > 0
        for side in ("forget", "preserve"):
            torch.testing.assert_close(getattr(again, side), getattr(plain, side), atol=1e-7, rtol=1e-5)
    assert all(parameter.grad is None for parameter in fresh.adapter)


@pytest.mark.parametrize("cut", CUTS, ids=["whole", "micro", "packed"])
def test_squares_of_single_gradients(fresh, study, cut):
    """Their backward runs through a graph that the forget loss has already used."""
    forget, retain = make_examples(fresh, study, "text")
    plain, again = both(fresh, [*forget[:3], *retain[:3]], method("duolearn"), squares=True, **cut)
    assert plain.squares.max() > 0
    torch.testing.assert_close(again.squares, plain.squares, atol=1e-9, rtol=1e-4)


@pytest.mark.parametrize("name", KINDS)
def test_private_steps(fresh, study, tmp_path, name):
    chosen = chosen_method(name)
    try:
        check_separable(chosen)
    except ConfigError:
        pytest.skip("the method is refused with privacy")
    forget, retain = make_examples(fresh, study, chosen.labels, attention=chosen.attention)
    units = {"forget": one_unit_each("forget", forget[:3]), "retain": one_unit_each("retain", retain[:3])}
    for protected, cut in (
        (("forget", "retain"), {}),
        (("retain",), {"micro_batch": 2}),
        (("forget",), {"pack_to": 100}),
    ):
        results = []
        for wanted in (False, True):
            steps = private_steps(fresh, chosen, units, tmp_path, clip=0.3, protected=protected, **cut)
            with fresh.recomputed(wanted):
                results.append(steps.gradients(1))
        plain, again = results
        for side in ("forget", "preserve"):
            torch.testing.assert_close(getattr(again, side), getattr(plain, side), atol=1e-7, rtol=1e-5)


@contextmanager
def counted(sizes):
    """Append the size in bytes of each tensor that autograd stores for a backward. What a checkpoint stores does not
    count."""

    def keep(tensor):
        sizes.append(tensor.untyped_storage().nbytes())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        yield


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: "-".join(family[:2]))
def test_two_backwards_outside_the_context_work_in_every_family(family):
    model, batch = build(*family), collate(random_texts([5, 9, 7]), "text")

    def twice(wanted):
        sizes = []
        with model.recomputed(wanted), counted(sizes):
            losses = nll(model.head(model.hidden(batch)).double(), batch.label)
        twice_computed = [
            flatten(torch.autograd.grad(part, model.adapter, retain_graph=True))
            for part in (losses[:6].sum(), losses.sum())
        ]
        return twice_computed, sum(sizes)

    (plain, kept), (again, kept_again) = twice(False), twice(True)
    for one, other in zip(plain, again, strict=True):
        assert one.norm() > 0
        torch.testing.assert_close(other, one)
    assert kept_again < kept / 3


def opt(dropout):
    """Return a model of an architecture whose layers call dropout as a function, not as a module."""
    sizes = {"hidden_size": 16, "ffn_dim": 24, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 40}
    config = transformers.OPTConfig(**sizes, dropout=dropout, attention_dropout=dropout, word_embed_proj_dim=16)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        base = transformers.AutoModelForCausalLM.from_config(config)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
            lora = LoraConfig(r=2, lora_dropout=dropout, target_modules=["q_proj"], init_lora_weights=False)
            network = get_peft_model(base, lora)
    return LanguageModel(network.eval(), None, "fp32", torch.device("cpu"))


def test_no_dropout_is_switched_on_and_nothing_is_drawn():
    model, batch = opt(0.9), collate(random_texts([5, 9]), "text")
    state = torch.random.get_rng_state()
    results = []
    for wanted in (False, True):
        with model.recomputed(wanted):
            loss = nll(model.head(model.hidden(batch)), batch.label).sum()
            assert not any(module.training for module in model.network.modules())
        results.append(flatten(torch.autograd.grad(loss, model.adapter)))
    torch.testing.assert_close(results[1], results[0])
    assert torch.equal(torch.random.get_rng_state(), state)


def test_layers_are_restored_afterwards(fresh, study):
    layers = fresh.network.get_base_model().get_decoder().layers
    own = layers[0].forward
    layers[0].forward = wrapped = lambda *given, **named: own(*given, **named)
    try:
        with fresh.recomputed(True):
            assert all("forward" in vars(layer) for layer in layers)
            assert layers[0].forward is not wrapped
        assert layers[0].forward is wrapped
    finally:
        del layers[0].forward
    assert not any("forward" in vars(layer) for layer in layers)


def test_a_model_without_such_layers_is_refused():
    with (
        pytest.raises(ModelError, match=r"unlearn\.checkpointing=true: Odd has no layers .* allowed: false"),
        recomputed(torch.nn.Sequential(torch.nn.Linear(2, 2)), "Odd"),
    ):
        pass


def test_the_loop_uses_it_if_it_is_configured(fresh, study):
    chosen = method("duolearn")
    forget, retain = make_examples(fresh, study, "text")
    start, ends = flatten(fresh.adapter).clone(), []
    for wanted in (False, True):
        with torch.no_grad():
            for parameter, part in zip(fresh.adapter, start.split([p.numel() for p in fresh.adapter]), strict=True):
                parameter.copy_(part.view_as(parameter))
        settings = UnlearnConfig(epochs=1, batch_size=4, learning_rate=1e-3, checkpointing=wanted)
        sizes = []
        update = make_update(fresh, chosen)
        with counted(sizes):
            unlearn(fresh, UnlearningTask(forget, retain, chosen, settings, 0), update, 0, lambda step, values: None)
        ends.append((flatten(fresh.adapter).clone(), sum(sizes)))
    (plain, kept), (again, kept_again) = ends
    torch.testing.assert_close(again, plain, atol=1e-5, rtol=1e-4)
    assert kept_again < kept / 3
