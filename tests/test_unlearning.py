"""The loop: references, gradients, the executed step, resume, determinism, several processes."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from accelerate import Accelerator

from duolearn_cli import checkpoint, losses, unlearning
from duolearn_cli.attention import retention
from duolearn_cli.composition import component, compose
from duolearn_cli.concepts.token_classes import PRESERVE
from duolearn_cli.config import PromptConfig, UnlearnConfig
from duolearn_cli.data.encoding import Encoder, collate
from duolearn_cli.data.streams import pairs
from duolearn_cli.errors import RunError
from duolearn_cli.experiment import examples
from duolearn_cli.folders import groups
from duolearn_cli.losses import nll
from duolearn_cli.methods.base import NO_ATTENTION, attention_of
from duolearn_cli.model import flatten
from duolearn_cli.references import references

METHODS = sorted(groups()["method"])
SETTINGS = UnlearnConfig(epochs=2, batch_size=4, learning_rate=1e-3)


def method(name, *overrides):
    config = compose("unlearn", ["+forget=surgery", f"method={name}", *overrides])
    return component(config.method)


def make_examples(model, study, labels, retain_items=None, attention=NO_ATTENTION):
    lab = SimpleNamespace(study=study, model=model, encoder=Encoder(model.tokenizer, PromptConfig(form="cloze")))
    retain_items = retain_items or study.splits.retain_train[:6]
    return [
        examples(lab, items, is_forget, labels, attention)
        for items, is_forget in ((study.splits.forget_train[:6], True), (retain_items, False))
    ]


def run(model, forget, retain, chosen, seed=0, first=0, after=lambda step, values: None, optimizer=None):
    optimizer = optimizer or torch.optim.AdamW(model.adapter, lr=1e-3, weight_decay=0.0)
    chosen = method(chosen) if isinstance(chosen, str) else chosen
    unlearning.unlearn(model, forget, retain, chosen, SETTINGS, seed, optimizer, first, after)
    return flatten(model.adapter).clone()


def test_references_equal_single_forwards(fresh, study):
    encoder = Encoder(fresh.tokenizer, PromptConfig(form="cloze"))
    texts = [encoder.encode(item) for item in study.splits.forget_train[:5]]
    for text, found in zip(texts, references(fresh, texts, "text", 256), strict=True):
        batch = collate([text], "text")
        with torch.no_grad():
            target = fresh.network(input_ids=batch.ids).logits[0][batch.position]
            with fresh.without_adapter():
                base = fresh.network(input_ids=batch.ids).logits[0][batch.position]
        torch.testing.assert_close(found.target_nll, nll(target, batch.label), atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(found.base_nll, nll(base, batch.label), atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(fresh.head(found.target_hidden), target, atol=1e-4, rtol=1e-4)
        assert not torch.allclose(found.target_nll, found.base_nll, atol=1e-3)


@pytest.mark.parametrize("name", METHODS)
def test_contract_of_every_method(fresh, study, name):
    chosen = method(name)
    assert chosen.labels in ("answer", "text")
    forget, retain = make_examples(fresh, study, chosen.labels)
    tokens = unlearning.predict(fresh, forget[:3] + retain[:3], chosen.labels)
    objective = chosen.objective(tokens)
    assert objective.forget.shape == objective.preserve.shape == ()
    g_forget, g_preserve = unlearning.gradients(objective, fresh.adapter, Accelerator(cpu=True))
    assert torch.isfinite(g_forget).all() and torch.isfinite(g_preserve).all()
    assert g_forget.norm() > 0
    # Following the forget gradient makes forget answers less likely.
    before = nll(tokens.logits, tokens.labels)[tokens.is_forget & tokens.is_answer].mean().item()
    run(fresh, forget, retain, name)
    with torch.no_grad():
        after_tokens = unlearning.predict(fresh, forget[:3] + retain[:3], chosen.labels)
        mask = after_tokens.is_forget & after_tokens.is_answer
        after = nll(after_tokens.logits, after_tokens.labels)[mask].mean().item()
    assert after > before


BIASED = ("method.unlearn_key_bias=-0.7", "method.preserve_key_bias=0.4")
KEPT = ("method.attention_weight=0.5", "method.attention_layers=2")


def test_without_attention_settings_the_forward_is_the_plain_one(fresh, study, monkeypatch):
    chosen = method("duolearn")
    assert attention_of(chosen) == NO_ATTENTION == attention_of(method("npo"))
    forget, retain = make_examples(fresh, study, "text")
    calls, decoder = [], fresh.network.get_base_model().get_decoder()
    original = decoder.forward
    monkeypatch.setattr(decoder, "forward", lambda **inputs: calls.append(inputs) or original(**inputs))
    tokens = unlearning.predict(fresh, forget + retain, "text", attention_of(chosen))
    assert [(sorted(inputs), inputs["attention_mask"].dim()) for inputs in calls] == [
        (["attention_mask", "input_ids", "use_cache"], 2)
    ]
    assert tokens.attention is None and all(example.reference.target_attention is None for example in forget)


def test_biases_and_kept_attention_start_at_the_target_and_the_base(fresh, study):
    """Every KL, score and distance is zero where unlearning begins, packed or not; without the bias it is not."""
    chosen = method("duolearn", *BIASED, *KEPT)
    asked = attention_of(chosen)
    forget, retain = make_examples(fresh, study, "text", attention=asked)
    for pack_to in (None, 128):
        tokens = unlearning.predict(fresh, forget + retain, "text", asked, pack_to)
        everything = torch.ones_like(tokens.is_forget)
        assert losses.kl(tokens.target_logits(everything), tokens.logits).abs().max() < 1e-5
        torch.testing.assert_close(nll(tokens.logits, tokens.labels), tokens.target_nll, atol=1e-4, rtol=1e-4)
        num_preserved = sum(example.token_kind.count(PRESERVE) for example in forget + retain)
        assert tokens.attention.shape[:2] == tokens.target_attention.shape[:2] == (2, num_preserved)
        # What is stored is rounded to half precision.
        assert retention(tokens.attention, tokens.target_attention) < 1e-5
        with fresh.without_adapter():
            base = unlearning.predict(fresh, forget + retain, "text", asked, pack_to)
        assert losses.kl(base.base_logits(everything), base.logits).abs().max() < 1e-5
        assert retention(base.attention, base.target_attention) > 1e-4
    unbiased = unlearning.predict(fresh, forget + retain, "text")
    assert losses.kl(unbiased.target_logits(everything), unbiased.logits).max() > 1e-3


def test_kept_attention_is_part_of_the_preserve_loss_and_of_the_history(fresh, study):
    plain, chosen = method("duolearn"), method("duolearn", *KEPT)
    forget, retain = make_examples(fresh, study, "text", attention=attention_of(chosen))
    with fresh.without_adapter():
        tokens = unlearning.predict(fresh, forget + retain, "text", attention_of(chosen))
        one, other = plain.objective(replace(tokens, attention=None)), chosen.objective(tokens)
    term = retention(tokens.attention, tokens.target_attention)
    torch.testing.assert_close(other.preserve - one.preserve, 0.5 * term)
    assert torch.equal(one.forget, other.forget)
    steps = []
    run(fresh, forget, retain, chosen, after=lambda step, values: steps.append(values["attention"]))
    assert steps[0] < 1e-5 < steps[-1]


def test_packing_changes_no_gradient(fresh, study):
    chosen = method("duolearn")
    forget, retain = make_examples(fresh, study, "text")
    examples = [retain[0], *forget, *retain[1:]]
    padded, packed = (unlearning.predict(fresh, examples, "text", NO_ATTENTION, width) for width in (None, 100))
    for name in ("labels", "kind", "is_forget", "is_answer", "sequence"):
        assert torch.equal(getattr(padded, name), getattr(packed, name)), name
    torch.testing.assert_close(packed.logits, padded.logits, atol=1e-4, rtol=1e-4)
    accelerator = Accelerator(cpu=True)
    for one, other in zip(
        unlearning.gradients(chosen.objective(padded), fresh.adapter, accelerator),
        unlearning.gradients(chosen.objective(packed), fresh.adapter, accelerator),
        strict=True,
    ):
        assert (one - other).norm() < 1e-4 * one.norm()


def test_two_gradients_through_one_forward_equal_two_backwards(fresh, study):
    chosen = method("graddiff")
    forget, retain = make_examples(fresh, study, "answer")
    found = unlearning.gradients(
        chosen.objective(unlearning.predict(fresh, forget + retain, "answer")), fresh.adapter, Accelerator(cpu=True)
    )
    for index, name in enumerate(("forget", "preserve")):
        objective = chosen.objective(unlearning.predict(fresh, forget + retain, "answer"))
        for parameter in fresh.adapter:
            parameter.grad = None
        getattr(objective, name).backward()
        naive = flatten([p.grad for p in fresh.adapter])
        torch.testing.assert_close(found[index], naive, atol=1e-6, rtol=1e-4)
        fresh.network.zero_grad()


def test_executed_adamw_steps_never_conflict_with_the_preserve_gradient(fresh, study, monkeypatch):
    # Told to forget and to keep the same items, the two gradients must conflict.
    forget, retain = make_examples(fresh, study, "text", study.splits.forget_train[:6])
    preserve, positions = [], [flatten(fresh.adapter).clone()]
    original = unlearning.gradients

    def spy(*arguments):
        both = original(*arguments)
        preserve.append(both[1].double())
        return both

    monkeypatch.setattr(unlearning, "gradients", spy)
    removed = []

    def after(step, values):
        positions.append(flatten(fresh.adapter).clone())
        removed.append(values["removed"])

    strong = method("duolearn", "method.ascent_weight=50", "method.ceiling=100")
    run(fresh, forget, retain, strong, after=after)
    for gradient, before, now in zip(preserve, positions, positions[1:], strict=False):
        step = (now - before).double()
        assert step.norm() > 0
        # The parameters are float32: the inequality holds to their rounding.
        assert float(step @ gradient) <= 1e-4 * float(step.norm() * gradient.norm())
    assert max(removed) > 0


def test_same_seed_same_result_other_seed_other_result(tiny, study):
    from duolearn_cli.model import initialise

    results = []
    for seed in (0, 0, 1):
        initialise(tiny.network, 0)
        forget, retain = make_examples(tiny, study, "answer")
        results.append(run(tiny, forget, retain, "npo", seed))
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])


def test_resumed_run_is_bitwise_the_unbroken_run(fresh, study, tmp_path):
    forget, retain = make_examples(fresh, study, "text")
    start = [p.detach().clone() for p in fresh.adapter]

    def restore():
        for parameter, value in zip(fresh.adapter, start, strict=True):
            parameter.data.copy_(value)

    whole = run(fresh, forget, retain, "duolearn")
    restore()
    optimizer = torch.optim.AdamW(fresh.adapter, lr=1e-3, weight_decay=0.0)

    class Stop(Exception):
        pass

    def stop_at_two(step, values):
        if step == 2:
            checkpoint.save_checkpoint(tmp_path, step, "signature", fresh, optimizer)
            raise Stop

    with pytest.raises(Stop):
        run(fresh, forget, retain, "duolearn", after=stop_at_two, optimizer=optimizer)
    restore()
    optimizer = torch.optim.AdamW(fresh.adapter, lr=1e-3, weight_decay=0.0)
    latest = checkpoint.latest_checkpoint(tmp_path)
    with pytest.raises(RunError, match="other data"):
        checkpoint.load_checkpoint(latest, "other", fresh, optimizer)
    first = checkpoint.load_checkpoint(latest, "signature", fresh, optimizer)
    assert first == 2
    assert torch.equal(run(fresh, forget, retain, "duolearn", first=first, optimizer=optimizer), whole)


def test_divergence_is_an_error(fresh, study):
    forget, retain = make_examples(fresh, study, "answer")
    fresh.adapter[0].data.fill_(float("inf"))
    with pytest.raises(RunError, match="diverged at step 1"):
        run(fresh, forget, retain, "npo")


def test_streams_pair_every_forget_item_once_an_epoch_and_cycle_retain():
    steps = list(pairs(10, 3, batch_size=4, num_epochs=2, seed=0))
    assert len(steps) == 6
    for epoch in (steps[:3], steps[3:]):
        assert sorted(i for forgets, _ in epoch for i in forgets) == list(range(10))
    retains = [i for _, part in steps for i in part]
    assert all(sorted(retains[k : k + 3]) == [0, 1, 2] for k in range(0, 18, 3))


def test_learning_rate_warms_up_then_decays():
    settings = UnlearnConfig(learning_rate=1.0, warmup=0.5)
    assert [unlearning.learning_rate(step, 4, settings) for step in (1, 2, 3, 4)] == [0.5, 1, 1, 0.5]
