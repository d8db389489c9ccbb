"""The loop: references, form of answers, gradients, executed step, resume, determinism, several processes."""

import json
from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from accelerate import Accelerator

from duolearn_cli.concepts.token_classes import PRESERVE, UNLEARN
from duolearn_cli.config.compose import component, compose
from duolearn_cli.config.schema import LearnConfig, PromptConfig
from duolearn_cli.config.unlearning import OPTIMIZERS, WITH_MOMENTUM, UnlearnConfig
from duolearn_cli.data.order import num_steps, pairs, passes
from duolearn_cli.errors import RunError
from duolearn_cli.files import groups
from duolearn_cli.methods.base import NO_ATTENTION, result_of
from duolearn_cli.model import readout
from duolearn_cli.model.attention import retention
from duolearn_cli.model.distributed import Processes
from duolearn_cli.model.encoding import Encoder, collate
from duolearn_cli.model.losses import nll
from duolearn_cli.model.readings import kl_at
from duolearn_cli.pipeline import unlearn_run
from duolearn_cli.pipeline.examples import answer_form, examples
from duolearn_cli.training import checkpoint, unlearn
from duolearn_cli.training.answer_form import AnswerForm, answer_starts
from duolearn_cli.training.coordinates import Coordinates, flatten
from duolearn_cli.training.finetune import fine_tune
from duolearn_cli.training.forward import predict
from duolearn_cli.training.gradients import Batching, Gradients, gradients
from duolearn_cli.training.references import references
from duolearn_cli.training.task import UnlearningTask
from duolearn_cli.training.update import Update
from tests.plain import plain_tokens

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


def make_update(model, chosen, index=None, settings=SETTINGS):
    processes = Processes(Accelerator(cpu=True))
    return Update(Coordinates(model.named_adapter, index), settings, chosen.geometry, processes)


def run(model, forget, retain, chosen, seed=0, first=0, after=lambda step, values: None, moved_by=None):
    chosen = method(chosen) if isinstance(chosen, str) else chosen
    moved_by = moved_by or make_update(model, chosen)
    unlearn.unlearn(model, UnlearningTask(forget, retain, chosen, SETTINGS, seed), moved_by, first, after)
    return flatten(model.adapter).clone()


def both_gradients(model, examples, chosen, **settings):
    processes = Processes(Accelerator(cpu=True))
    return gradients(model, examples, chosen, Coordinates(model.named_adapter), processes, Batching(**settings))


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


def loud(items):
    """Return the same questions with options that begin in a way that the base has never seen."""
    return [replace(item, options=tuple(f"ZZ {option}" for option in item.options)) for item in items]


def form_lab(model, study, config):
    """Return a stand-in for a loaded target whose retain items have answers with an unusual form."""
    display = SimpleNamespace(stage=lambda text: None)
    request = SimpleNamespace(retain=loud(study.splits.retain_train), weights={})
    return SimpleNamespace(
        study=SimpleNamespace(
            config=config, request=request, label=study.label, documents=study.documents, taught=study.taught
        ),
        model=model,
        encoder=Encoder(model.tokenizer, PromptConfig(form="cloze")),
        display=display,
        keep=lambda kind, key, make: json.loads(json.dumps(make())),
    )


def test_a_form_that_was_learned_is_told_from_wrong_options_and_allowed_for(fresh, study):
    lab = form_lab(fresh, study, study.config)
    texts = [lab.encoder.encode(item) for item in lab.study.request.retain]
    fine_tune(fresh, texts, LearnConfig(seed=0, epochs=4, batch_size=8, learning_rate=1e-2), lambda values: None)
    form = answer_form(lab, method("duolearn"))
    found = examples(lab, loud(study.splits.forget_train), True, "text", NO_ATTENTION, form)
    opening = torch.cat([answer_starts(one.text.is_answer)[one.text.labels("text")] for one in found])
    base, formed, target = (
        torch.cat(each)
        for each in zip(
            *((one.reference.base_nll, one.formed_nll, one.reference.target_nll) for one in found), strict=True
        )
    )
    assert torch.equal(formed[~opening], base[~opening])
    # The target has learned the form of these answers, and nothing else about them.
    away = [float((nll - target)[opening].mean().abs()) for nll in (base, formed)]
    assert away[1] < away[0]


def test_a_run_unlearns_with_the_form_allowed_for(fresh, study):
    """In the loop's task, the form adjusts the reference of each answer's first token and of no other token."""
    form = AnswerForm(slope=0.0, intercept=0.5)
    lab = form_lab(fresh, study, study.config)
    lab.study.request.forget = loud(study.splits.forget_train[:2])
    lab.study.request.retain = lab.study.request.retain[:2]
    task = unlearn_run.make_task(lab, method("duolearn"), form)
    for example in (*task.forget, *task.retain):
        opening = answer_starts(example.text.is_answer)[example.text.labels("text")]
        base = example.reference.base_nll
        assert int(opening.sum()) == 1
        assert torch.equal(example.formed_nll, torch.where(opening, 0.5, base))


def test_only_a_method_that_asks_has_a_form_and_no_private_run(fresh, study):
    lab = form_lab(fresh, study, study.config)
    assert answer_form(lab, method("npo")) is None
    assert answer_form(lab, method("duolearn", "method.answer_form=false")) is None
    private = compose("unlearn", ["+forget=surgery", "privacy=eps8"])
    assert answer_form(form_lab(fresh, study, private), method("duolearn")) is None


def test_nothing_is_allowed_for_where_learning_made_wrong_options_less_likely(fresh, study):
    """The embedded base is such a case: it was trained on texts of the prompt's form."""
    lab = form_lab(fresh, study, study.config)
    lab.study.request.retain = study.splits.retain_train
    texts = [lab.encoder.encode(item) for item in lab.study.request.retain]
    fine_tune(fresh, texts, LearnConfig(seed=0, epochs=4, batch_size=8, learning_rate=5e-3), lambda values: None)
    form = answer_form(lab, method("duolearn"))
    found = examples(lab, study.splits.forget_train[:6], True, "text", NO_ATTENTION, form)
    assert all(torch.equal(example.formed_nll, example.reference.base_nll) for example in found)


# The loss that must fall for methods whose aim is not to make forget answers less likely.
PROMISES = {"rmu": "forget", "finetune_retain": "preserve"}


def measured(model, examples, chosen):
    """Return minus the mean nll of forget answers, and both losses."""
    with torch.no_grad():
        tokens = plain_tokens(model, examples, chosen.labels, chosen.attention)
        objective = chosen.objective(tokens)
    answers = tokens.nll[tokens.is_forget & tokens.is_answer].mean()
    return {"answers": -answers.item(), "forget": objective.forget.item(), "preserve": objective.preserve.item()}


@pytest.mark.parametrize("name", METHODS)
def test_contract_of_every_method(fresh, study, name):
    chosen = method(name)
    assert chosen.labels in ("answer", "text")
    forget, retain = make_examples(fresh, study, chosen.labels, attention=chosen.attention)
    examples = forget[:3] + retain[:3]
    objective = chosen.objective(plain_tokens(fresh, examples, chosen.labels, chosen.attention))
    assert objective.forget.shape == objective.preserve.shape == ()
    found = both_gradients(fresh, examples, chosen)
    assert torch.isfinite(found.forget).all() and torch.isfinite(found.preserve).all()
    assert getattr(found, "preserve" if name == "finetune_retain" else "forget").norm() > 0
    torch.testing.assert_close(found.losses["forget_loss"], objective.forget.detach())
    torch.testing.assert_close(found.losses["preserve_loss"], objective.preserve.detach())
    before, start = measured(fresh, examples, chosen), [value.detach().clone() for value in fresh.adapter]
    run(fresh, forget, retain, name)
    if result := result_of(chosen):
        with torch.no_grad():
            for value, began in zip(fresh.adapter, start, strict=True):
                value.copy_(result(began, value.clone()))
    promised = PROMISES.get(name, "answers")
    assert measured(fresh, examples, chosen)[promised] < before[promised]


BIASED = ("method.unlearn_key_bias=-0.7", "method.preserve_key_bias=0.4")
KEPT = ("method.attention_weight=0.5", "method.attention_layers=2")


def test_without_attention_settings_the_forward_is_the_plain_one(fresh, study, monkeypatch):
    chosen = method("duolearn")
    assert chosen.attention == NO_ATTENTION == method("npo").attention
    forget, retain = make_examples(fresh, study, "text")
    calls, decoder = [], fresh.network.get_base_model().get_decoder()
    original = decoder.forward
    monkeypatch.setattr(decoder, "forward", lambda **inputs: calls.append(inputs) or original(**inputs))
    tokens = plain_tokens(fresh, forget + retain, "text", chosen.attention)
    assert [(sorted(inputs), inputs["attention_mask"].dim()) for inputs in calls] == [
        (["attention_mask", "input_ids", "use_cache"], 2)
    ]
    assert tokens.attention is None and all(example.reference.target_attention is None for example in forget)


def away(tokens, reference):
    """KL of every token from a reference."""
    return tokens.read(kl_at(torch.ones_like(tokens.is_forget), reference))[0]


def test_biases_and_kept_attention_start_at_the_target_and_the_base(fresh, study):
    """Every KL, score and distance is zero at the start, packed or not; without the bias it is not."""
    chosen = method("duolearn", *BIASED, *KEPT)
    asked = chosen.attention
    forget, retain = make_examples(fresh, study, "text", attention=asked)
    for pack_to in (None, 128):
        tokens = plain_tokens(fresh, forget + retain, "text", asked, pack_to)
        assert away(tokens, "target").abs().max() < 1e-5
        torch.testing.assert_close(tokens.nll, tokens.target_nll, atol=1e-4, rtol=1e-4)
        num_preserved = sum(example.token_kind.count(PRESERVE) for example in forget + retain)
        assert tokens.attention.shape[:2] == tokens.target_attention.shape[:2] == (2, num_preserved)
        # What is stored is rounded to half precision.
        assert retention(tokens.attention, tokens.target_attention).mean() < 1e-5
        with fresh.without_adapter():
            base = plain_tokens(fresh, forget + retain, "text", asked, pack_to)
        assert away(base, "base").abs().max() < 1e-5
        assert retention(base.attention, base.target_attention).mean() > 1e-4
    unbiased = plain_tokens(fresh, forget + retain, "text")
    assert away(unbiased, "target").max() > 1e-3


def test_kept_attention_is_part_of_the_preserve_loss_and_of_the_history(fresh, study):
    plain, chosen = method("duolearn"), method("duolearn", *KEPT)
    forget, retain = make_examples(fresh, study, "text", attention=chosen.attention)
    with fresh.without_adapter():
        tokens = plain_tokens(fresh, forget + retain, "text", chosen.attention)
        one, other = plain.objective(replace(tokens, attention=None)), chosen.objective(tokens)
    term = retention(tokens.attention, tokens.target_attention).mean()
    torch.testing.assert_close(other.preserve - one.preserve, 0.5 * term)
    assert torch.equal(one.forget, other.forget)
    steps = []
    run(fresh, forget, retain, chosen, after=lambda step, values: steps.append(values["attention"]))
    assert steps[0] < 1e-5 < steps[-1]


def test_packing_changes_no_gradient(fresh, study):
    chosen = method("duolearn")
    forget, retain = make_examples(fresh, study, "text")
    examples = [retain[0], *forget, *retain[1:]]
    padded, packed = (plain_tokens(fresh, examples, "text", NO_ATTENTION, width) for width in (None, 100))
    for name in ("labels", "kind", "is_forget", "is_answer", "sequence"):
        assert torch.equal(getattr(padded, name), getattr(packed, name)), name
    torch.testing.assert_close(packed.readout.logits, padded.readout.logits, atol=1e-4, rtol=1e-4)
    found = [both_gradients(fresh, examples, chosen, pack_to=width) for width in (None, 100)]
    for side in ("forget", "preserve"):
        one, other = (getattr(each, side) for each in found)
        assert (one - other).norm() < 1e-4 * one.norm()


def drift(model):
    """Move the adapter away from the target, where losses that compare with the target have no gradient."""
    generator = torch.Generator().manual_seed(2)
    for value in model.adapter:
        value.data.add_(torch.randn(value.shape, generator=generator) * 0.01)


@pytest.mark.parametrize("name", [*METHODS, "kept attention"])
def test_micro_batches_change_no_gradient_and_no_figure(fresh, study, name):
    chosen = method("duolearn", *KEPT) if name == "kept attention" else method(name)
    forget, retain = make_examples(fresh, study, chosen.labels, attention=chosen.attention)
    drift(fresh)
    examples = [*forget[:5], *retain[:4]]
    whole = both_gradients(fresh, examples, chosen)
    for size in (1, 2, 4):
        parts = both_gradients(fresh, examples, chosen, micro_batch=size)
        for side in ("forget", "preserve"):
            one, other = getattr(whole, side), getattr(parts, side)
            assert (one - other).norm() <= 2e-5 * one.norm(), (side, size)
        for figure, value in whole.losses.items():
            torch.testing.assert_close(parts.losses[figure], value, rtol=1e-4, atol=1e-5, equal_nan=True)


def naive_gradient(model, loss):
    if not loss.requires_grad:
        return flatten([torch.zeros_like(parameter) for parameter in model.adapter])
    # Layers above the one whose activations are steered have no gradient.
    return flatten(torch.autograd.grad(loss, model.adapter, allow_unused=True, materialize_grads=True))


@pytest.mark.parametrize("name", [*METHODS, "kept attention"])
def test_gradients_equal_backwards_through_all_logits(fresh, study, name, monkeypatch):
    """A readout in chunks and separate backwards per group give the same gradients as plain autograd."""
    monkeypatch.setattr(readout, "LOGITS_PER_CHUNK", 13 * fresh.vocabulary)
    chosen = method("duolearn", *KEPT) if name == "kept attention" else method(name)
    forget, retain = make_examples(fresh, study, chosen.labels, attention=chosen.attention)
    drift(fresh)
    found = both_gradients(fresh, forget + retain, chosen)
    for side in ("forget", "preserve"):
        objective = chosen.objective(plain_tokens(fresh, forget + retain, chosen.labels, chosen.attention))
        naive = naive_gradient(fresh, getattr(objective, side))
        torch.testing.assert_close(getattr(found, side), naive, atol=1e-6, rtol=1e-4)
        torch.testing.assert_close(found.losses[f"{side}_loss"], getattr(objective, side).detach())
    assert all(parameter.grad is None for parameter in fresh.adapter)


def test_a_group_is_entered_for_the_losses_that_it_has_a_part_in(fresh, study):
    forget, retain = make_examples(fresh, study, "text")
    # Retain items name no target concept here; forget items name others, which are kept.
    assert not any(UNLEARN in example.kind for example in retain)
    assert any(PRESERVE in example.kind for example in forget)
    for name, expected in (("npo", [[True, False], [False, True]]), ("duolearn", [[True, False], [True, True]])):
        chosen = method(name)
        forward = predict(fresh, forget + retain, "text", chosen.attention)
        objective = chosen.objective(forward.tokens)
        reached = [forward.reached(loss) for loss in (objective.forget, objective.preserve)]
        assert [[own is not None for own in groups] for groups in reached] == expected
        together = predict(fresh, forget + retain, "text", together=True)
        assert len(together.groups) == 1
        assert together.reached(chosen.objective(together.tokens).forget)[0] is not None


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("metric", ["euclidean", "fisher", "optimizer"])
def test_executed_adamw_steps_never_conflict_with_the_preserve_gradient(fresh, study, monkeypatch, metric, precision):
    monkeypatch.setattr(fresh, "precision", precision)
    # The same items are forget and retain items, so the two gradients must conflict.
    forget, retain = make_examples(fresh, study, "text", study.splits.forget_train[:6])
    preserve, positions = [], [flatten(fresh.adapter).clone()]
    original = unlearn.gradients

    def spy(*arguments):
        found = original(*arguments)
        preserve.append(found.preserve.double())
        return found

    monkeypatch.setattr(unlearn, "gradients", spy)
    removed = []

    def after(step, values):
        positions.append(flatten(fresh.adapter).clone())
        removed.append(values["removed"])

    strong = method("duolearn", "method.ascent_weight=50", "method.ceiling=100", f"method.geometry.metric={metric}")
    run(fresh, forget, retain, strong, after=after)
    for gradient, before, now in zip(preserve, positions, positions[1:], strict=False):
        step = (now - before).double()
        assert step.norm() > 0
        # The parameters are float32: the inequality holds to their rounding.
        assert float(step @ gradient) <= 1e-4 * float(step.norm() * gradient.norm())
    assert max(removed) > 0


def test_same_seed_same_result_other_seed_other_result(tiny, study):
    from duolearn_cli.model.lora import initialise

    results = []
    for seed in (0, 0, 1):
        initialise(tiny.network, 0)
        forget, retain = make_examples(tiny, study, "answer")
        results.append(run(tiny, forget, retain, "npo", seed))
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])


EVERYTHING = (
    "method.geometry.basis_size=3",
    "method.geometry.metric=fisher",
    "method.geometry.scope=layer",
    "method.geometry.gradient_decay=0.3",
)


@pytest.mark.parametrize(
    ("overrides", "chosen_few", "optimizer"),
    [((), False, "AdamW"), (EVERYTHING, True, "AdamW"), *((EVERYTHING, False, name) for name in OPTIMIZERS)],
)
def test_resumed_run_is_bitwise_the_unbroken_run(fresh, study, tmp_path, overrides, chosen_few, optimizer):
    settings = replace(SETTINGS, optimizer=optimizer, momentum=0.9 if optimizer in WITH_MOMENTUM else 0.0)
    chosen = method("duolearn", *overrides)
    forget, retain = make_examples(fresh, study, "text")
    start = [p.detach().clone() for p in fresh.adapter]
    index = torch.arange(5, 3000, 3) if chosen_few else None
    processes = Processes(Accelerator(cpu=True))

    def restore():
        for parameter, value in zip(fresh.adapter, start, strict=True):
            parameter.data.copy_(value)

    whole = run(fresh, forget, retain, chosen, moved_by=make_update(fresh, chosen, index, settings))
    assert (whole != flatten(start)).sum() <= (1000 if chosen_few else len(whole))
    restore()
    moved_by = make_update(fresh, chosen, index, settings)

    class Stop(Exception):
        pass

    def stop_at_two(step, values):
        if step == 2:
            checkpoint.save_checkpoint(tmp_path, step, "signature", fresh, moved_by, processes)
            raise Stop

    with pytest.raises(Stop):
        run(fresh, forget, retain, chosen, after=stop_at_two, moved_by=moved_by)
    restore()
    latest = checkpoint.latest_checkpoint(tmp_path)
    with pytest.raises(RunError, match="other data"):
        checkpoint.load_checkpoint(latest, "other", fresh, processes)
    first, state = checkpoint.load_checkpoint(latest, "signature", fresh, processes)
    assert first == 2
    assert ("index" in state) == chosen_few
    assert ("constraint.basis" in state and "constraint.fisher" in state) == bool(overrides)
    moved_by = make_update(fresh, chosen, state.get("index"), settings)
    moved_by.restore(state)
    assert torch.equal(run(fresh, forget, retain, chosen, first=first, moved_by=moved_by), whole)


@pytest.mark.parametrize(("name", "overrides"), [("npo", ()), ("duolearn", EVERYTHING)])
def test_divergence_is_an_error(fresh, study, name, overrides):
    chosen = method(name, *overrides)
    forget, retain = make_examples(fresh, study, chosen.labels)
    # From the second step on there is a basis too.
    with pytest.raises(RunError, match="diverged at step 2"):
        run(fresh, forget, retain, chosen, after=lambda step, values: fresh.adapter[0].data.fill_(float("inf")) is None)


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("state.json", '{"schema": 1, "step": 2, "signature": "s"}', "schema 1, from another version"),
        ("state.json", "{", "is damaged"),
        ("update.safetensors", "cut off", "is damaged"),
    ],
)
def test_checkpoints_that_cannot_be_read_say_why(fresh, tmp_path, file, content, said):
    processes, chosen = Processes(Accelerator(cpu=True)), method("duolearn")
    checkpoint.save_checkpoint(tmp_path, 2, "s", fresh, make_update(fresh, chosen), processes)
    latest = checkpoint.latest_checkpoint(tmp_path)
    (latest / file).write_text(content)
    with pytest.raises(RunError, match=said):
        checkpoint.load_checkpoint(latest, "s", fresh, processes)


def test_streams_pair_every_forget_item_once_an_epoch_and_cycle_retain():
    steps = list(pairs(10, 3, batch_size=4, num_epochs=2, seed=0))
    assert len(steps) == 6
    for epoch in (steps[:3], steps[3:]):
        assert sorted(i for forgets, _ in epoch for i in forgets) == list(range(10))
    retains = [i for _, part in steps for i in part]
    assert all(sorted(retains[k : k + 3]) == [0, 1, 2] for k in range(0, 18, 3))


def test_a_small_request_may_have_full_batches_of_what_is_kept():
    steps = list(pairs(3, 20, batch_size=8, num_epochs=5, seed=0, retain_size=8))
    assert [(len(forget), len(retain)) for forget, retain in steps] == [(3, 8)] * 5
    assert [forget for forget, _ in steps] == [forget for forget, _ in pairs(3, 20, 8, 5, seed=0)]
    # All are used twice before any comes a third time.
    assert Counter(i for _, retain in steps for i in retain) == Counter(dict.fromkeys(range(20), 2))


def test_learning_rate_warms_up_then_decays():
    settings = UnlearnConfig(learning_rate=1.0, warmup=0.5)
    assert [unlearn.learning_rate(step, 4, settings) for step in (1, 2, 3, 4)] == [0.5, 1, 1, 0.5]


def test_items_of_earlier_requests_join_in_turn():
    task = SimpleNamespace(settings=SimpleNamespace(rehearse=2), rehearsed=list("abcde"), seed=3)
    joined = unlearn._rehearsals(task, 5)
    assert [len(own) for own in joined] == [2] * 5
    # Two passes over all five before any comes a third time.
    assert sorted("".join(map("".join, joined))) == sorted("abcde" * 2)
    assert joined == unlearn._rehearsals(task, 5)
    task.rehearsed = []
    assert unlearn._rehearsals(task, 2) == [[], []]


@pytest.mark.parametrize(
    ("size", "at_least", "expected"),
    [(300, 32, 8), (300, None, 8), (56, 32, 16), (22, 32, 32), (2, 32, 32), (2, 5, 8), (90, 32, 11), (0, 32, 8)],
)
def test_few_items_are_passed_over_more_often(size, at_least, expected):
    assert passes(size, 32, 8, at_least) == expected
    assert not size or num_steps(size, 32, expected) >= (at_least or 0)


def test_more_steps_than_the_passes_give_are_smaller(fresh, study):
    chosen = method("graddiff")
    forget, retain = make_examples(fresh, study, chosen.labels)
    rates = []
    for at_least in (None, 8):
        settings, own = replace(SETTINGS, min_steps=at_least, warmup=0.0), []
        task = UnlearningTask(forget, retain, chosen, settings, 0)
        moved_by = make_update(fresh, chosen, settings=settings)
        unlearn.unlearn(fresh, task, moved_by, 0, lambda step, values, own=own: own.append(values["learning_rate"]))
        rates.append(own)
    # Six items in batches of four: two passes are four steps, and eight steps are twice as many.
    assert [len(own) for own in rates] == [4, 8]
    assert rates[1][0] == pytest.approx(rates[0][0] / 2)


@pytest.mark.parametrize("weight", [1.0, 20.0])
def test_keeping_may_weigh_more_whatever_the_method(monkeypatch, weight):
    plain = Gradients(torch.tensor([1.0, 2.0]), torch.tensor([3.0, -4.0]))
    monkeypatch.setattr(unlearn, "gradients", lambda *given: plain)
    settings = UnlearnConfig(keep_weight=weight, epochs=1, batch_size=2)
    task = SimpleNamespace(
        settings=settings, forget=[0, 1], retain=[2, 3], rehearsed=[], seed=0, pack_to=None, method=None
    )
    update = SimpleNamespace(
        coordinates=None, processes=None, constraint=SimpleNamespace(settings=SimpleNamespace(needs_fisher=False))
    )
    steps, gradients_at = unlearn._plain_steps(None, task, update)
    both = gradients_at(1)
    assert steps == 1 and both.forget.tolist() == [1.0, 2.0]
    assert both.preserve.tolist() == [3.0 * weight, -4.0 * weight]


def test_a_lower_learning_rate_is_announced():
    settings = replace(SETTINGS, epochs=2, batch_size=4, learning_rate=1e-3, min_steps=16)
    assert unlearn.slowdown(8, settings) == 4
    said = unlearn_run.slower_note(settings, unlearn.slowdown(8, settings))
    assert "8 passes instead of 2, so the learning rate is 0.00025 instead of 0.001" in said
    once = replace(settings, min_steps=1)
    assert unlearn.slowdown(8, once) == 1 and unlearn_run.slower_note(once, 1.0) == ""
