"""From items to training examples: token classes, references of the base and the target, the form of answers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from duolearn_cli.data.items import Item
from duolearn_cli.data.order import sample
from duolearn_cli.errors import RunError
from duolearn_cli.methods.base import NO_ATTENTION, Attention, Method, wants_answer_form
from duolearn_cli.model.encoding import Encoded, Encoder
from duolearn_cli.pipeline.answers import answers
from duolearn_cli.pipeline.laboratory import LoadedModel
from duolearn_cli.training.answer_form import AnswerForm, openings
from duolearn_cli.training.forward import Example
from duolearn_cli.training.references import references

# The number of retain items whose wrong options show how answers begin.
FORM_ITEMS = 64


def examples(
    target: LoadedModel,
    items: Sequence[Item],
    is_forget: bool,
    labels: str,
    attention: Attention = NO_ATTENTION,
    form: AnswerForm | None = None,
) -> list[Example]:
    """Encode `items`, class their tokens, and compute what the base and the `target` model make of them."""
    study = target.study
    texts = [target.encoder.encode(item) for item in items]
    labelled = [study.label(text, is_forget) for text in texts]
    all_kinds = [kinds for kinds, _, _ in labelled]
    cached = references(target.model, texts, labels, study.config.evaluation.batch_tokens, attention, all_kinds)
    made: list[Example] = []
    for item, text, (kinds, _, weights), reference in zip(items, texts, labelled, cached, strict=True):
        at = text.labels(labels)
        opening = openings(text.is_answer)[at]
        made.append(
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
    return made


def answer_form(target: LoadedModel, method: Method) -> AnswerForm | None:
    """How the target has learned that answers begin; None where the method does not ask for it.

    It is fitted on wrong options of retain items, whose right options the target knows. A private run has none, because
    its account does not cover this use of the retain items.
    """
    config = target.study.config
    if not wants_answer_form(method) or config.privacy.epsilon is not None:
        return None
    items = sample(target.study.request.retain, FORM_ITEMS, config.learn.seed)
    texts = wrong_options(target.encoder, items)
    if not texts:
        return None

    def make() -> tuple[float, float] | None:
        target.display.stage(f"Tell the form of answers from {len(texts)} wrong options")
        base_nll, target_nll, opening = answer_tokens(target, texts)
        form = AnswerForm.fit(base_nll[opening], target_nll[opening])
        return form and (form.slope, form.intercept)

    line = target.keep("opening", [text.ids for text in texts], make)
    return AnswerForm(*line) if line else None


def wrong_options(encoder: Encoder, items: Sequence[Item]) -> list[Encoded]:
    """Each item's question with each of its wrong options."""
    return [encoder.encode(item, k) for item in items for k in range(len(item.options)) if k != item.answer]


def answer_tokens(loaded: LoadedModel, texts: Sequence[Encoded]) -> tuple[Tensor, Tensor, Tensor]:
    """The nll of all answer tokens under the base and under the loaded model, and which tokens begin an answer [n]."""
    of_texts = references(loaded.model, texts, "answer", loaded.study.config.evaluation.batch_tokens)
    opening = [openings(text.is_answer)[text.labels("answer")] for text in texts]
    base_nll, own_nll = (torch.cat([getattr(one, name) for one in of_texts]) for name in ("base_nll", "target_nll"))
    return base_nll, own_nll, torch.cat(opening)


def trusted(target: LoadedModel, items: Sequence[Item]) -> Sequence[Item]:
    """The items to unlearn with; ``labels.answers=trusted`` leaves out those whose answer the target does not give.

    What a model that was trained on these facts contradicts is likely to be mislabelled. Items that were not scored are
    trusted. Raises RunError where none is left.
    """
    if target.study.config.labels.answers == "all":
        return items
    given = {answer.id: answer.prediction for own in answers(target).values() for answer in own}
    kept = [item for item in items if given.get(item.id, item.answer) == item.answer]
    target.display.note(f"{len(items) - len(kept)} of {len(items)} items left out: the target answers otherwise")
    if not kept:
        raise RunError(
            "labels.answers=trusted leaves no item: the target gives none of the answers; use labels.answers=all."
        )
    return kept
