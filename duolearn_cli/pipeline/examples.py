"""From items to training examples: token classes, references of base and target, form of answers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from duolearn_cli.concepts.hierarchy import Target
from duolearn_cli.config.given_target import target_is_given
from duolearn_cli.data.items import Item
from duolearn_cli.data.order import sample
from duolearn_cli.errors import RunError
from duolearn_cli.methods.base import NO_ATTENTION, Attention, Method
from duolearn_cli.model.encoding import Encoded, Encoder
from duolearn_cli.pipeline.answers import answers
from duolearn_cli.pipeline.loaded_model import LoadedModel
from duolearn_cli.training.answer_form import AnswerForm, answer_starts
from duolearn_cli.training.forward import Example
from duolearn_cli.training.references import references
from duolearn_cli.training.unknown_answer import answer_places, unknown_nll

# The form of answers is fitted on the wrong options of this many retain items.
FORM_ITEMS = 64


def examples(
    target: LoadedModel,
    items: Sequence[Item],
    is_forget: bool,
    labels: str,
    attention: Attention = NO_ATTENTION,
    form: AnswerForm | None = None,
    goal: Target | None = None,
) -> list[Example]:
    """Encode `items`, classify their tokens, and compute the predictions of the base and the `target` model.

    Args:
        labels: which tokens have labels, ``"answer"`` or ``"text"``.
        attention: what the method reads or changes inside the model.
        form: the form of answers that the base's nll is adjusted for; None: it is not.
        goal: the earlier forget target that decides on token classes; None: this request's.
    """
    study = target.study
    texts = [target.encoder.encode(item) for item in items]
    labelled = [study.label(text, is_forget, goal) for text in texts]
    all_kinds = [kinds for kinds, _, _ in labelled]
    cached = references(target.model, texts, labels, study.config.evaluation.batch_tokens, attention, all_kinds)
    wrong = wrong_nlls(target, items) if is_forget and target_is_given(study.config) else None
    built: list[Example] = []
    for index, (text, (kinds, _, weights), reference) in enumerate(zip(texts, labelled, cached, strict=True)):
        at = text.labels(labels)
        starts = answer_starts(text.is_answer)[at]
        formed = form.adjust(reference.base_nll, starts) if form else reference.base_nll
        if wrong:
            formed = unknown_nll(formed, answer_places(text.is_answer, text.offsets)[at], wrong[index])
        built.append(
            Example(
                text,
                is_forget,
                study.request.weights.get(items[index].id, 1.0),
                [kinds[i] for i in at],
                [weights[i] for i in at],
                reference,
                formed,
                kinds,
            )
        )
    return built


def wrong_nlls(target: LoadedModel, items: Sequence[Item]) -> list[list[Tensor]]:
    """Return for each item the base's nll of the tokens of each wrong option, without the end of the text (nats)."""
    texts = [wrong_options(target.encoder, [item]) for item in items]
    flat = [text for own in texts for text in own]
    found = iter(references(target.model, flat, "answer", target.study.config.evaluation.batch_tokens))

    def nll_of(text: Encoded) -> Tensor:
        at = text.labels("answer")
        return next(found).base_nll[answer_places(text.is_answer, text.offsets)[at] >= 0]

    return [[nll_of(text) for text in own] for own in texts]


def answer_form(target: LoadedModel, method: Method) -> AnswerForm | None:
    """Return the form of answers that the target has learned, or None if the method does not use it.

    It is fitted on wrong options of retain items. A private run has none: its account does not cover this use of the
    retain items.
    """
    config = target.study.config
    if not method.answer_form or config.privacy.epsilon is not None:
        return None
    # The seed of learning: the form belongs to the target, so runs with other seeds of unlearning find it in the cache.
    items = sample(target.study.taught(target.study.request.retain), FORM_ITEMS, config.learn.seed)
    texts = wrong_options(target.encoder, items)
    if not texts:
        return None

    def make() -> tuple[float, float] | None:
        target.display.stage(f"Fit the form of answers on {len(texts)} wrong options")
        base_nll, target_nll, starts = answer_tokens(target, texts)
        form = AnswerForm.fit(base_nll[starts], target_nll[starts])
        return form and (form.slope, form.intercept)

    # The line is fitted on the first token of answers only. Lines for the tokens between foretold a fall of the loss
    # that gold does not have (docs/history/lab-notes.md, "How answers look").
    line = target.keep("opening", [text.ids for text in texts], make)
    return AnswerForm(*line) if line else None


def wrong_options(encoder: Encoder, items: Sequence[Item]) -> list[Encoded]:
    """Encode each item's question with each of its wrong options."""
    return [encoder.encode(item, k) for item in items for k in range(len(item.options)) if k != item.answer]


def answer_tokens(loaded: LoadedModel, texts: Sequence[Encoded]) -> tuple[Tensor, Tensor, Tensor]:
    """Return the nll of all answer tokens under the base and under the loaded model, and the mask of first tokens.

    Shapes: [n] each, over all texts; nll in nats.
    """
    of_texts = references(loaded.model, texts, "answer", loaded.study.config.evaluation.batch_tokens)
    starts = [answer_starts(text.is_answer)[text.labels("answer")] for text in texts]
    base_nll, own_nll = (torch.cat([getattr(one, name) for one in of_texts]) for name in ("base_nll", "target_nll"))
    return base_nll, own_nll, torch.cat(starts)


def trusted(target: LoadedModel, items: Sequence[Item]) -> Sequence[Item]:
    """Return the items to unlearn with. ``labels.answers=trusted`` leaves out items that the target answers otherwise.

    The target was trained on these facts: an answer that it contradicts is likely to be mislabelled. Items that were
    not scored are trusted.

    Raises:
        RunError: no item is left.
    """
    if target.study.config.labels.answers == "all" or not items:
        return items
    predicted = {answer.id: answer.prediction for own in answers(target).values() for answer in own}
    agreeing = [item for item in items if predicted.get(item.id, item.answer) == item.answer]
    target.display.note(f"{len(items) - len(agreeing)} of {len(items)} items left out: the target answers otherwise")
    if not agreeing:
        raise RunError(
            "labels.answers=trusted leaves no item: the target gives none of the answers; use labels.answers=all."
        )
    return agreeing
