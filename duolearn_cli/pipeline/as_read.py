"""The study as a model's tokenizer reads it."""

from __future__ import annotations

from duolearn_cli.errors import present
from duolearn_cli.model.encoding import Encoder
from duolearn_cli.model.language_model import LanguageModel
from duolearn_cli.model.text_checks import Texts
from duolearn_cli.pipeline.study import Study


def as_read(study: Study, model: LanguageModel) -> tuple[Study, Texts]:
    """Return the study as the model's tokenizer reads it; the same study if this tokenizer has read it already."""
    texts, config = study.texts, study.config
    if texts:
        own, name = texts.encoder, model.tokenizer.name_or_path
        if own.tokenizer.name_or_path == name and own.prompt == config.prompt:
            return study, texts
    study = study.readable(Encoder(model.tokenizer, config.prompt), model.context)
    return study, present(study.texts, "the texts that the tokenizer has just read")
