"""The models of one study: base, target, gold and unlearned. One of them is in memory at a time."""

from __future__ import annotations

import copy
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from duolearn_cli.config.given_target import target_is_given
from duolearn_cli.files import cache_dir
from duolearn_cli.model.adapter_files import ADAPTER_FILE
from duolearn_cli.model.encoding import Encoder
from duolearn_cli.model.input_embeddings import check_rows
from duolearn_cli.model.language_model import LanguageModel
from duolearn_cli.model.loading import load_model
from duolearn_cli.model.manifest import moved_into_place
from duolearn_cli.model.weights import find_weights
from duolearn_cli.pipeline import keys
from duolearn_cli.pipeline.as_read import as_read
from duolearn_cli.pipeline.given import load_gold
from duolearn_cli.pipeline.known import with_known_facts
from duolearn_cli.pipeline.learn import learn
from duolearn_cli.pipeline.loaded_model import LoadedModel
from duolearn_cli.pipeline.model_cache import ModelCache, adopt, alone, is_usable
from duolearn_cli.pipeline.run_folder import Run
from duolearn_cli.pipeline.study import Study
from duolearn_cli.report.terminal import Display


@dataclass(eq=False)
class Laboratory:
    """The network of a study, with the prepared data, the model cache, the run folder and the display.

    Use `model` for what all models share: sizes, tokenizer, device, training. To evaluate a particular model, `load` it
    and use the handle.

    Attributes:
        is_main: whether this is the main process, the only one that writes.
    """

    study: Study
    model: LanguageModel
    encoder: Encoder
    display: Display
    run: Run
    cache: ModelCache
    is_main: bool

    @classmethod
    def open(cls, study: Study, display: Display, run: Run, *, is_main: bool = True) -> Laboratory:
        """Load the base model and let its tokenizer read the study.

        Raises:
            ModelError: see `load_model`.
            RunError: the run is resumed, and it began with other weights, data or settings.
        """
        config = study.config
        display.stage(f"Load {config.model.name}")
        weights = find_weights(config.model, config.cache_dir)
        # Before the model is loaded: a resumed run with other weights or data is refused at once.
        digest = weights.digest()
        fingerprint = digest[:16]
        if is_main and not config.learn.known:
            run.fix(weights=fingerprint, data=keys.data_hash(study))
        model = load_model(weights, config.model, config.runtime, config.learn.seed)
        study, texts = as_read(study, model)
        check_rows(texts.encoder, model.num_rows, config.model.name)
        for line in (*texts.sentences(), model.frozen_note, *model.reach.sentences(config.model.adapter.targets)):
            if line:
                display.note(line)
        cache = ModelCache(cache_dir(config.cache_dir), study, keys.base_key(fingerprint, config, model, texts))
        lab = cls(study, model, texts.encoder, display, run, cache, is_main)
        if config.learn.known:
            lab = lab._restricted()
        if is_main:
            run.fix(weights=fingerprint, data=keys.data_hash(lab.study), signature=lab.cache.signature())
            run.update(device=str(model.device), precision=model.precision, weights_sha256=digest)
        return lab

    def _restricted(self) -> Laboratory:
        """Return the laboratory of the facts that the target knows, for ``learn.known``."""
        study = with_known_facts(self.load("target"))
        return replace(self, study=study, cache=replace(self.cache, study=study))

    def load(self, which: str) -> LoadedModel:
        """Load ``base``, ``target`` or ``gold`` from the cache. A model that is missing there is learned first.

        If the configuration names an ``adapter=`` to begin with, that adapter is the target. With ``learn.skip``
        nothing is learned.
        """
        if which == "base":
            # A fresh adapter adds exact zeros, so the base needs no file in the cache.
            self.model.initialise(self.study.config.learn.seed)
            return self._hold(which, self.cache, self.study)
        if which == "gold" and (other := self._gold_elsewhere()):
            return other
        folder = self.cache.folder(which)
        folder.parent.mkdir(parents=True, exist_ok=True)
        # The lock covers look-up and learning, so that of two runs the second one finds the result of the first.
        with alone(folder, self.display.note):
            if not is_usable(folder, self.display.note):
                self._make(which, folder)
        # Loaded from the file in every case: a model that was learned just now is then the one that later runs get.
        self.model.load_adapter(folder)
        if self.is_main:
            self.run.update(**{f"{which}_model": folder.name})
            if warning := self.cache.environment_warning(which, self.model.device):
                self.display.note(f"warning: {warning}")
        return self._hold(which, self.cache, self.study)

    def _make(self, which: str, folder: Path) -> None:
        """Put a model into its cache folder: copied if the user gives it, as it stands or learned if not."""
        config = self.study.config
        if given := keys.given_folder(config, which):
            adopt(given, folder)
        elif which == "target" and target_is_given(config):
            # A fresh adapter adds exact zeros. As a file it is what every later stage expects of a target.
            self.model.initialise(config.learn.seed)
            part = folder.with_suffix(".part")
            shutil.rmtree(part, ignore_errors=True)
            self.model.save_adapter(part)
            shutil.rmtree(folder, ignore_errors=True)
            moved_into_place(part, folder)
        else:
            learn(self.model, self.encoder, self.cache, which, self.display)

    def _gold_elsewhere(self) -> LoadedModel | None:
        """Load gold as a second network: the whole model in ``learn.gold``, or gold of the base below a merged model.

        Return None if gold is an adapter of this network.
        """
        config = self.study.config
        given = keys.given_folder(config, "gold")
        if given and not (given / ADAPTER_FILE).is_file():
            return replace(self, model=load_gold(given, config, self.model))._hold("gold", self.cache, self.study)
        return self.on_origin(self.study).load("gold") if config.origin and not given else None

    def on_origin(self, study: Study) -> Laboratory:
        """Return a laboratory of `study` on the base that a chain with a merged model began with (``origin``).

        Its models have the keys that they have in a chain of adapters, so that both chains share them.
        """
        config = copy.deepcopy(study.config)
        config.model, config.origin, config.merged, config.adapter = config.origin[0], [], False, None
        weights = find_weights(config.model, config.cache_dir)
        model = load_model(weights, config.model, config.runtime, config.learn.seed)
        study, texts = as_read(replace(study, config=config), model)
        cache = replace(self.cache, study=study, base_key=keys.base_key(weights.fingerprint(), config, model, texts))
        return replace(self, study=study, model=model, encoder=texts.encoder, cache=cache)

    def load_from(self, name: str, folder: Path, cache: ModelCache | None = None) -> LoadedModel:
        """Load the adapter in `folder` as the model `name`.

        Results go into `cache`, and the items to ask are those of its study. Without `cache` nothing is cached, because
        this folder need not hold the model that the cache knows by this name.

        Raises:
            ModelError: the adapter does not fit the base.
        """
        self.model.load_adapter(folder)
        return self._hold(name, cache, cache.study if cache else self.study)

    def unlearned(self) -> LoadedModel:
        """Return the handle of the weights in memory as ``unlearned``. Nothing about it is cached."""
        return self._hold("unlearned", None, self.study)

    def _hold(self, name: str, cache: ModelCache | None, study: Study) -> LoadedModel:
        """Return a handle, called `name`, of the weights that are in memory now. Earlier handles become stale."""
        model = self.model
        model.renew_mark(name)
        return LoadedModel(name, model, study, self.encoder, self.display, cache, model.mark, model.checksum())
