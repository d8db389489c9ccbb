"""The unlearning stage of a run: label tokens, choose coordinates, run the loop with checkpoints."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from accelerate import Accelerator
from torch import Tensor

from duolearn_cli.config.compose import component
from duolearn_cli.data.items import Item
from duolearn_cli.data.order import num_steps, sample
from duolearn_cli.errors import ConfigError, ModelError, RunError
from duolearn_cli.methods.base import (
    NO_ATTENTION,
    Attention,
    Method,
    attention_of,
    geometry_of,
    sparsity_of,
    wants_answer_form,
)
from duolearn_cli.model.distributed import Processes
from duolearn_cli.model.encoding import Encoded
from duolearn_cli.pipeline.laboratory import Laboratory
from duolearn_cli.pipeline.monitor import Goal, Watch, between_looks
from duolearn_cli.pipeline.private_run import private_steps
from duolearn_cli.pipeline.processes import deferred_interrupt
from duolearn_cli.pipeline.result import write_result
from duolearn_cli.training.answer_form import AnswerForm, openings
from duolearn_cli.training.checkpoint import latest_checkpoint, load_checkpoint, save_checkpoint
from duolearn_cli.training.coordinates import Coordinates
from duolearn_cli.training.forward import Example
from duolearn_cli.training.per_example import GradientRows
from duolearn_cli.training.per_example_probe import check_adapter, check_singles
from duolearn_cli.training.private.separable import check_separable
from duolearn_cli.training.references import references
from duolearn_cli.training.selection import choose
from duolearn_cli.training.unlearn import unlearn
from duolearn_cli.training.update import Update

# Retain items whose wrong options tell the form of answers.
FORM_ITEMS = 64


def examples(
    lab: Laboratory,
    items: Sequence[Item],
    is_forget: bool,
    labels: str,
    attention: Attention = NO_ATTENTION,
    form: AnswerForm | None = None,
) -> list[Example]:
    """Encode, classify and look up the references of `items`; the target model must be in place."""
    study = lab.study
    texts = [lab.encoder.encode(item) for item in items]
    labelled = [study.label(text, is_forget) for text in texts]
    all_kinds = [kinds for kinds, _, _ in labelled]
    cached = references(lab.model, texts, labels, study.config.evaluation.batch_tokens, attention, all_kinds)
    found: list[Example] = []
    for item, text, (kinds, _, weights), reference in zip(items, texts, labelled, cached, strict=True):
        at = text.labels(labels)
        opening = openings(text.is_answer)[at]
        found.append(
            Example(
                text,
                is_forget,
                study.request.weights.get(item.id, 1.0),
                [kinds[i] for i in at],
                [weights[i] for i in at],
                reference,
                form.formed(reference.base_nll, opening) if form else reference.base_nll,
                kinds,
            )
        )
    return found


def answer_form(lab: Laboratory, method: Method) -> AnswerForm | None:
    """The form of answers as the target, which must be in place, has learned it; None where the method asks for none.

    It is told from wrong options of retain items, whose right ones the target knows. That is outside of what a private
    run accounts for, so such a run has none.
    """
    config = lab.study.config
    if not wants_answer_form(method) or config.privacy.epsilon is not None:
        return None
    items = sample(lab.study.request.retain, FORM_ITEMS, config.learn.seed)
    texts = wrong_options(lab, items)
    if not texts:
        return None

    def make() -> tuple[float, float] | None:
        lab.display.stage(f"Tell the form of answers from {len(texts)} wrong options")
        base_nll, target_nll, opening = answer_tokens(lab, texts)
        form = AnswerForm.fit(base_nll[opening], target_nll[opening])
        return form and (form.slope, form.intercept)

    line = lab.kept("target", "opening", [text.ids for text in texts], make)
    return AnswerForm(*line) if line else None


def wrong_options(lab: Laboratory, items: Sequence[Item]) -> list[Encoded]:
    """Each item's question with each of its wrong options."""
    return [lab.encoder.encode(item, k) for item in items for k in range(len(item.options)) if k != item.answer]


def answer_tokens(lab: Laboratory, texts: Sequence[Encoded]) -> tuple[Tensor, Tensor, Tensor]:
    """Of the tokens of all answers: nll under the base, nll under the model in place, which begin an answer [n]."""
    found = references(lab.model, texts, "answer", lab.study.config.evaluation.batch_tokens)
    opening = [openings(text.is_answer)[text.labels("answer")] for text in texts]
    base_nll, own_nll = (torch.cat([getattr(one, name) for one in found]) for name in ("base_nll", "target_nll"))
    return base_nll, own_nll, torch.cat(opening)


def trusted(lab: Laboratory, items: Sequence[Item]) -> Sequence[Item]:
    """The items to unlearn with; ``labels.answers=trusted`` leaves out those whose answer the target does not give.

    What a model that was trained on these facts contradicts is likely to be mislabelled. Items that were not scored are
    trusted. Raises RunError where none is left.
    """
    if lab.study.config.labels.answers == "all":
        return items
    given = {answer.id: answer.prediction for answers in lab.answers("target").values() for answer in answers}
    kept = [item for item in items if given.get(item.id, item.answer) == item.answer]
    lab.display.note(f"{len(items) - len(kept)} of {len(items)} items left out: the target answers otherwise")
    if not kept:
        raise RunError(
            "labels.answers=trusted leaves no item: the target gives none of the answers; use labels.answers=all."
        )
    return kept


def check_method(lab: Laboratory) -> None:
    """Refuse what the method asks and the model does not offer, before anything is learned.

    Raises:
        ModelError, ConfigError: with the model and the mend.
    """
    config, request = lab.study.config, lab.study.request
    method = component(config.method, config.plugins)
    wanted, chosen = attention_of(method), sparsity_of(method)
    masks = config.unlearn.packing or wanted.is_biased
    texts = [lab.encoder.encode(item) for item in (*request.forget, *request.retain)] if masks else []
    longest = max((len(text.ids) for text in texts), default=0)
    lab.model.check_attention(masks=masks, kept_layers=wanted.kept_layers, longest=longest)
    with lab.model.activations(wanted.depth):
        pass
    lab.model.check_adapted(wanted.depth)
    everything = Coordinates(lab.model.named_adapter, experts=lab.model.experts)
    _check_gradients(lab, method)
    if config.privacy.epsilon is not None:
        check_separable(method)
    if chosen.unit == "none":
        return
    budget, needed = int(chosen.fraction * lab.model.num_base_parameters), 1
    if chosen.unit != "coordinate":
        needed = int(torch.bincount(everything.units(chosen.unit)).min())
    if budget < needed:
        # A little more, so that the number that is shown is enough after rounding.
        share = 1.01 * needed / lab.model.num_base_parameters
        raise ConfigError(
            f"method.sparsity.fraction={chosen.fraction}: that is {budget} of the model's parameters, and the smallest "
            f"{chosen.unit} has {needed}; allowed: {share:.3g} or more, or a finer method.sparsity.unit."
        )


def _check_gradients(lab: Laboratory, method: Method) -> None:
    """Refuse an adapter that the forward leaves out, or whose gradients of single examples are asked and not had."""
    model, config = lab.model, lab.study.config
    check_adapter(model)
    is_private = config.privacy.epsilon is not None or config.privacy.learn_epsilon is not None
    if sparsity_of(method).unit == "none" and not geometry_of(method).needs_fisher and not is_private:
        return
    check_singles(model)
    if config.runtime.sharding != "none" and GradientRows(model.network, model.adapter).by_hand:
        raise ModelError(
            f"runtime.sharding={config.runtime.sharding}: gradients of single examples cannot be followed through the "
            f"fused experts of {model.architecture} there; allowed: none. Mend: runtime.sharding=none."
        )


def unlearn_stage(lab: Laboratory) -> None:
    """Unlearn from the target model, or from the run's last checkpoint; write the adapter into the run folder."""
    config, run, model = lab.study.config, lab.run, lab.model
    settings = config.unlearn
    processes = Processes(Accelerator(cpu=model.device.type == "cpu"), sharded=config.runtime.sharding == "fsdp2")
    goal = None
    if settings.stop != "none":  # without privacy, so that every item is in as many steps as any other
        planned = num_steps(len(lab.study.request.forget), settings.batch_size, settings.epochs)
        goal = Goal.of(lab, settings.stop, max(1, planned // between_looks(lab, planned)))
    lab.load("target")
    method = component(config.method, config.plugins)
    # Before the model is cut: a process that finds it in the cache goes through no forward, and others would wait.
    form = answer_form(lab, method)
    if processes.sharded:
        model.shard()
    forget, retain = (
        examples(lab, trusted(lab, items), is_forget, method.labels, attention_of(method), form)
        for items, is_forget in ((lab.study.request.forget, True), (lab.study.request.retain, False))
    )
    pack_to = config.prompt.max_tokens if settings.packing else None
    checkpoints, signature = run.folder / "checkpoints", lab.signature()
    update, first = make_update(lab, forget, retain, method, processes)
    private = private_steps(lab, forget, retain, method, update, processes)
    steps = private.num_steps if private else num_steps(len(forget), settings.batch_size, settings.epochs)
    beside = private.ledger.write if private else (lambda folder: None)

    def save(step: int) -> None:
        save_checkpoint(checkpoints, step, signature, model, update, processes, beside)

    if private and (lost := private.ledger.lost(first)):
        lab.display.note(
            f"{lost} steps were begun and lost; their privacy is spent, and the run ends as many steps earlier"
        )
    if lab.is_main:
        run.forget_history_after("unlearn", first)
    lab.display.stage(
        f"Unlearn {lab.study.target.name}: {len(forget)} forget items, {steps} steps" + f" from {first}" * bool(first)
    )

    with lab.display.progress("unlearn", steps) as advance, deferred_interrupt() as interrupted:
        advance(n=first)
        after_step = Watch(lab, processes, steps, save, advance, interrupted, goal)
        unlearn(model, forget, retain, method, settings, config.seed, update, first, after_step, pack_to, private)
    write_result(lab, method, private, save, steps, processes)
    if interrupted():  # at the very step that ended the loop
        raise KeyboardInterrupt


def make_update(
    lab: Laboratory, forget: Sequence[Example], retain: Sequence[Example], method: Method, processes: Processes
) -> tuple[Update, int]:
    """A fresh update and step 0; or where the run has a checkpoint, its update and step, with its adapter in place."""
    model, checkpoint = lab.model, latest_checkpoint(lab.run.folder / "checkpoints")
    if checkpoint:
        first, state = load_checkpoint(checkpoint, lab.signature(), model, processes)
        index = state.get("index")
    else:
        first, state, index = 0, {}, chosen_coordinates(lab, forget, retain, method, processes)
    coordinates = Coordinates(model.named_adapter, None if index is None else index.to(model.device), model.experts)
    update = Update(coordinates, lab.study.config.unlearn, geometry_of(method), processes)
    if checkpoint:
        update.restore(state)
    return update, first


def chosen_coordinates(
    lab: Laboratory, forget: Sequence[Example], retain: Sequence[Example], method: Method, processes: Processes
) -> Tensor | None:
    """Choose the coordinates that may change, and say how many they are; None: all of them."""
    sparse, config, model = sparsity_of(method), lab.study.config, lab.model
    if sparse.unit == "none":
        return None
    total = sum(min(sparse.examples, len(side)) for side in (forget, retain))
    with lab.display.progress("choose coordinates", total) as advance:

        def done(count: int) -> None:
            advance(n=count)

        index = choose(model, forget, retain, method, config.unlearn, config.seed, processes, done)
    count = int(processes.sum_parts(torch.tensor(float(len(index)), device=index.device)))
    lab.display.note(f"{count:,} coordinates may change, {count / model.num_base_parameters:.3%} of the model")
    return index
