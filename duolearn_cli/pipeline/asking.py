"""Questions of the user's own to the models of a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from omegaconf import DictConfig, OmegaConf

from duolearn_cli.config.schema import PromptConfig
from duolearn_cli.data.items import Item
from duolearn_cli.errors import DataError
from duolearn_cli.evaluation.generation import generate
from duolearn_cli.evaluation.scoring import score
from duolearn_cli.model.encoding import Encoder
from duolearn_cli.model.prompt_layout import UnreadableError
from duolearn_cli.pipeline.laboratory import Laboratory
from duolearn_cli.pipeline.loaded_model import LoadedModel

# A free question needs an answer for the encoder, which writes it after the prompt; no model sees it.
PLACEHOLDER = "unknown"


@dataclass(frozen=True, slots=True)
class Reply:
    """What one model says: the text of a free answer, or the probability of each option relative to the others."""

    model: str
    text: str | None = None
    chances: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Question:
    """A question, with options to choose from or, if there are none, to be answered in `new_tokens` tokens at most."""

    text: str
    options: tuple[str, ...]
    new_tokens: int

    @property
    def item(self) -> Item:
        """The question as the encoder takes it. Its right answer is not known: the first option stands there."""
        return Item("question", self.text, self.options or (PLACEHOLDER,), 0)


def ask(lab: Laboratory, adapters: Mapping[str, Path | None], question: Question) -> Iterator[Reply]:
    """Yield the reply of each model to a question, with the prompt of the run.

    Args:
        adapters: by model the folder of its adapter; None for the base.

    Raises:
        DataError: the tokenizer cannot write the question or an option as plain text, or it is too long.
        ModelError: an adapter does not fit the base.
    """
    encoder = _encoder(lab, question)
    _check(encoder, question)
    for name, adapter in adapters.items():
        loaded = lab.load(name) if adapter is None else lab.load_from(name, adapter)
        with loaded.model.without_adapter() if adapter is None else nullcontext():
            yield replace(_reply(loaded, encoder, question), model=name)


def _encoder(lab: Laboratory, question: Question) -> Encoder:
    """The run's encoder; for a free question it lists no options, as a cloze prompt."""
    if question.options or lab.encoder.prompt.form == "cloze":
        return lab.encoder
    prompt = OmegaConf.merge(cast(DictConfig, lab.study.config.prompt), {"form": "cloze"})
    return Encoder(lab.model.tokenizer, cast(PromptConfig, prompt))


def _check(encoder: Encoder, question: Question) -> None:
    item = question.item
    try:
        for place in range(len(item.options)):
            encoder.encode(item, place)
    except UnreadableError as error:
        raise DataError(f"the question cannot be asked: {error.detail} [{error.reason}].") from error
    # Long items of a data set are cut. Here the answer would be to another question than the user's.
    if item.id in encoder.cut:
        raise DataError(
            f"the question has {encoder.cut[item.id]} tokens with its prompt; allowed: {encoder.prompt.max_tokens} "
            "(prompt.max_tokens of the run). Ask a shorter one."
        )


def _reply(loaded: LoadedModel, encoder: Encoder, question: Question) -> Reply:
    batch_tokens = loaded.study.config.evaluation.batch_tokens
    if question.options:
        (answer,) = score(loaded.model, encoder, [question.item], batch_tokens)
        return Reply(loaded.name, chances=tuple(answer.chances))
    (text,) = generate(loaded.model, encoder, [question.item], question.new_tokens, batch_tokens)
    return Reply(loaded.name, text)
