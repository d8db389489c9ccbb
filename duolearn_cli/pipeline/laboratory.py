"""The models of one study, one at a time in memory: base, target, gold, unlearned."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from duolearn_cli.files import cache_dir
from duolearn_cli.model.encoding import Encoder
from duolearn_cli.model.input_embeddings import check_rows
from duolearn_cli.model.language_model import LanguageModel
from duolearn_cli.model.loading import load_model
from duolearn_cli.model.lora import ADAPTER_FILE, initialise
from duolearn_cli.model.text_checks import Texts
from duolearn_cli.model.weights import find_weights
from duolearn_cli.pipeline import keys
from duolearn_cli.pipeline.learn import learn
from duolearn_cli.pipeline.model_cache import ModelCache, adopt, alone
from duolearn_cli.pipeline.run_folder import Run
from duolearn_cli.pipeline.study import Study
from duolearn_cli.report.terminal import Display


class StaleModelError(RuntimeError):
    """Code uses a `LoadedModel` whose weights are no longer the ones in memory."""


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """One model of a study, for as long as its weights are the ones in memory.

    There is only one network, whose adapter changes. Functions that ask a model something take this handle, so that
    they can't ask another model, or keep what it said under a wrong name.
    """

    name: str
    lab: Laboratory
    checksum: float

    @property
    def model(self) -> LanguageModel:
        """The network. Raises StaleModelError once another model has been loaded."""
        if self.lab.loaded is not self:
            now = self.lab.loaded.name if self.lab.loaded else "no model"
            raise StaleModelError(f"{self.name} was loaded, and {now} is in memory now")
        return self.lab.model

    @property
    def study(self) -> Study:
        return self.lab.study

    @property
    def encoder(self) -> Encoder:
        return self.lab.encoder

    @property
    def display(self) -> Display:
        return self.lab.display

    def keep(self, kind: str, key: Any, make: Callable[[], Any]) -> Any:
        """What `make` finds out about this model, as JSON. The cache keeps it, except for ``unlearned``.

        Raises:
            StaleModelError: another model has been loaded, or training has changed the weights.
        """
        if self.model.checksum() != self.checksum:
            raise StaleModelError(f"the weights of {self.name} have changed since it was loaded")
        return make() if self.name == "unlearned" else self.lab.cache.record(self.name, kind, key, make)

    def shard(self) -> LoadedModel:
        """Cut the layers over the processes. Returns the handle of the same model as each process now holds it."""
        self.model.shard()
        return self.lab.hold(self.name)


@dataclass(eq=False)
class Laboratory:
    """The one network that becomes each model of a study, with the study, its cache, the run folder and the display.

    `model` serves for what all models share: sizes, tokenizer, device, training. To ask a particular model something,
    `load` it and use the handle.
    """

    study: Study
    model: LanguageModel
    encoder: Encoder
    display: Display
    run: Run
    cache: ModelCache
    is_main: bool
    loaded: LoadedModel | None = field(default=None, init=False)

    @classmethod
    def open(cls, study: Study, display: Display, run: Run, *, is_main: bool = True) -> Laboratory:
        """Load the base model. Of several processes only the main one writes.

        Raises:
            ModelError: see load_model.
            RunError: the run is resumed, and was made with other weights, data or settings.
        """
        config = study.config
        display.stage(f"Load {config.model.name}")
        weights = find_weights(config.model, config.cache_dir)
        fingerprint = weights.fingerprint()
        if is_main:
            run.fix(weights=fingerprint, data=keys.data_hash(study))
        model = load_model(weights, config.model, config.runtime, config.learn.seed)
        study, texts = as_read(study, model)
        check_rows(texts.encoder, model.num_rows, config.model.name)
        for line in (*texts.sentences(), model.frozen_note, *model.reach.sentences(config.model.adapter.targets)):
            if line:
                display.note(line)
        cache = ModelCache(cache_dir(config.cache_dir), study, keys.base_key(fingerprint, config, model, texts))
        if is_main:
            run.fix(signature=cache.signature())
            run.update(device=str(model.device), precision=model.precision)
        return cls(study, model, texts.encoder, display, run, cache, is_main)

    def load(self, which: str) -> LoadedModel:
        """Load ``base``, ``target`` or ``gold``. The cache's model is used; without one it is learned first.

        Where the configuration names an adapter to begin with, that adapter is the target.
        """
        if which == "base":
            initialise(self.model.network, self.study.config.learn.seed)
            return self.hold(which)
        folder = self.cache.folder(which)
        folder.parent.mkdir(parents=True, exist_ok=True)
        with alone(folder, self.display.note):
            if not (folder / ADAPTER_FILE).is_file():
                given = self.study.config.adapter
                if which == "target" and given:
                    adopt(Path(given), folder)
                else:
                    learn(self.model, self.encoder, self.cache, which, self.display)
        self.model.load_adapter(folder)
        if self.is_main:
            self.run.update(**{f"{which}_model": folder.name})
            if warning := self.cache.environment_warning(which, self.model.device):
                self.display.note(f"warning: {warning}")
        return self.hold(which)

    def load_unlearned(self, adapter: Path) -> LoadedModel:
        """Load the adapter in this folder as ``unlearned``. Raises ModelError where it does not fit."""
        self.model.load_adapter(adapter)
        return self.hold("unlearned")

    def hold(self, name: str) -> LoadedModel:
        """The handle of the weights that are in memory now, under this name. Earlier handles become stale."""
        self.loaded = LoadedModel(name, self, self.model.checksum())
        return self.loaded


def as_read(study: Study, model: LanguageModel) -> tuple[Study, Texts]:
    """The study as the model's tokenizer reads it. A study that it has read already is returned as it is."""
    texts, config = study.texts, study.config
    if texts:
        own, name = texts.encoder, model.tokenizer.name_or_path
        if own.tokenizer.name_or_path == name and own.prompt == config.prompt:
            return study, texts
    study = study.readable(Encoder(model.tokenizer, config.prompt), model.context)
    assert study.texts is not None, "it has just been read"
    return study, study.texts
