"""learn and retrain: the target and gold models, made once and kept in the cache under what determines them."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from duolearn_cli.config.environment import FILE as ENVIRONMENT
from duolearn_cli.config.environment import difference, environment, read_environment
from duolearn_cli.data.items import Item
from duolearn_cli.data.order import num_steps, sample
from duolearn_cli.evaluation.scoring import Answer, num_texts, score
from duolearn_cli.files import cache_dir, write_json, write_jsonl
from duolearn_cli.model.encoding import Encoded, Encoder
from duolearn_cli.model.input_embeddings import check_rows
from duolearn_cli.model.language_model import LanguageModel
from duolearn_cli.model.loading import load_model
from duolearn_cli.model.lora import ADAPTER_FILE, initialise
from duolearn_cli.model.text_checks import Texts
from duolearn_cli.model.weights import find_weights
from duolearn_cli.pipeline import model_cache
from duolearn_cli.pipeline.privacy_plan import group, plan_learning
from duolearn_cli.pipeline.run_folder import Run
from duolearn_cli.pipeline.study import Study
from duolearn_cli.privacy.account import Account
from duolearn_cli.privacy.mechanism import Mechanism
from duolearn_cli.privacy.randomness import Secure, Seeded
from duolearn_cli.report.terminal import Display
from duolearn_cli.training.finetune import fine_tune
from duolearn_cli.training.per_example_probe import check_singles
from duolearn_cli.training.private.finetune import learn_privately

# Raise this when a change of code changes what is recorded about a model that is in the cache already.
ANSWERS = 3
STAGES = {"target": "learn", "gold": "retrain"}


@dataclass(eq=False)
class Laboratory:
    """A loaded model with what is needed to make, score and keep the models of one study."""

    study: Study
    model: LanguageModel
    encoder: Encoder
    display: Display
    run: Run
    base_key: str
    cache: Path
    is_main: bool

    @classmethod
    def open(cls, study: Study, display: Display, run: Run, *, is_main: bool = True) -> Laboratory:
        """Load the base model; of several processes only the main one writes.

        Raises:
            ModelError: see load_model.
            RunError: the run is resumed, and was made with other weights, data or settings.
        """
        config = study.config
        display.stage(f"Load {config.model.name}")
        weights = find_weights(config.model, config.cache_dir)
        fingerprint = weights.fingerprint()
        if is_main:
            run.fix(weights=fingerprint, data=model_cache.data_hash(study))
        model = load_model(weights, config.model, config.runtime, config.learn.seed)
        study, texts = as_read(study, model)
        encoder = texts.encoder
        check_rows(encoder, model.num_rows, config.model.name)
        key = model_cache.base_key(fingerprint, config, model, texts)
        for sentence in texts.sentences():
            display.note(sentence)
        if model.kept_note:
            display.note(model.kept_note)
        for line in model.reach.sentences(config.model.adapter.targets):
            display.note(line)
        laboratory = cls(study, model, encoder, display, run, key, cache_dir(config.cache_dir), is_main)
        if is_main:
            run.fix(signature=laboratory.signature())
            run.update(device=str(model.device), precision=model.precision)
        return laboratory

    def signature(self) -> str:
        """Content hash of what determines the unlearned model: see `model_cache.signature`."""
        return model_cache.signature(self.study, self.key("target"))

    def key(self, which: str) -> str:
        """Content hash of what determines a model: see `model_cache.key`."""
        return model_cache.key(self.study, self.base_key, which)

    def folder(self, which: str) -> Path:
        return self.cache / "models" / f"{which}-{self.key(which)}"

    def digest(self, which: str) -> str:
        """SHA-256 of a learned or given adapter as it is in the cache: of private learning, no two are alike."""
        return model_cache.file_hash(self.folder(which) / ADAPTER_FILE)

    def load(self, which: str) -> None:
        """Put the ``base``, ``target`` or ``gold`` model in place, learning it first where the cache has none.

        Where the configuration names an adapter to begin with, that is the target.
        """
        if which == "base":
            initialise(self.model.network, self.study.config.learn.seed)
            self.model.name_it(which)
            return
        folder = self.folder(which)
        folder.parent.mkdir(parents=True, exist_ok=True)
        with model_cache.alone(folder, self.display.note):
            if not (folder / ADAPTER_FILE).is_file():
                given = self.study.config.adapter
                if which == "target" and given:
                    model_cache.adopt(Path(given), folder)
                else:
                    self._learn(which, folder)
        self.model.load_adapter(folder)
        self.model.name_it(which)
        if self.is_main:
            self.run.update(**{f"{which}_model": folder.name})
            if warning := self.elsewhere(which):
                self.display.note(f"warning: {warning}")

    def made_in(self, which: str) -> dict[str, Any] | None:
        """The environment that a cached model was learned in; None where that is unknown, or the model was given."""
        is_given = which == "target" and self.study.config.adapter
        return None if is_given else read_environment(self.folder(which))

    def elsewhere(self, which: str) -> str:
        """The warning that a cached model was learned in another environment than this one; empty where not."""
        return difference(which, self.made_in(which), environment(self.model.device))

    def load_unlearned(self, adapter: Path) -> None:
        """Put an adapter from this folder in place, as ``unlearned``. Raises ModelError where it does not fit."""
        self.model.load_adapter(adapter)
        self.model.name_it("unlearned")

    def _learn(self, which: str, folder: Path) -> None:
        settings = self.study.config.learn
        texts = [self.encoder.encode(item) for item in self.study.training_items(which)]
        steps = num_steps(len(texts), settings.batch_size, settings.epochs)
        self.display.stage(f"{STAGES[which].capitalize()}: {which} model from {len(texts)} items, {steps} steps")
        initialise(self.model.network, settings.seed)
        history: list[dict[str, Any]] = []
        started = time.monotonic()
        with self.display.progress(STAGES[which], steps) as advance:

            def record(values: Any) -> None:
                history.append({"stage": STAGES[which], "step": len(history) + 1, **values})
                advance(values)

            account = plan_learning(self.study) if which == "target" else None
            if account:
                self._learn_privately(texts, account, record)
            else:
                fine_tune(self.model, texts, settings, record)
        part = folder.with_suffix(".part")
        shutil.rmtree(part, ignore_errors=True)
        if account:
            part.mkdir()
            account.began_with(self.folder("base").name).write(part)
        self.model.save_adapter(part)
        write_jsonl(part / "history.jsonl", history)
        write_json(part / ENVIRONMENT, environment(self.model.device))
        write_json(
            part / "learn.json",
            {"schema": 1, "seconds": time.monotonic() - started, "items": len(texts), "steps": steps},
        )
        shutil.rmtree(folder, ignore_errors=True)
        part.rename(folder)

    def _learn_privately(self, texts: Sequence[Encoded], account: Account, record: Callable[[Any], None]) -> None:
        check_singles(self.model)
        config, entry = self.study.config, account.last
        units = list(group(self.study.training_items("target"), config).values())
        is_seeded = entry.randomness == "seeded"
        terms = Mechanism.of(entry, Seeded(config.seed, account.stage) if is_seeded else Secure(Secure.new_key()))
        learn_privately(self.model, texts, units, config.learn, terms, account.num_steps, record)

    def history(self, which: str) -> list[dict[str, Any]]:
        """The learning curve of a target or gold model; none of one that was given."""
        if not (self.folder(which) / "history.jsonl").is_file():
            return []
        lines = (self.folder(which) / "history.jsonl").read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines]

    def evaluation_splits(self) -> dict[str, tuple[Item, ...]]:
        """Items to score, by split. Of unseen facts only phrasings of the trained kind, as members are."""
        limit, seed = self.study.config.evaluation.max_items, self.study.config.split.seed
        splits = {
            name: sample([item for item in items if not (name.endswith("_unseen") and item.heldout)], limit, seed)
            for name, items in self.study.scored().items()
        }
        return {name: items for name, items in splits.items() if items}

    def kept(self, which: str, kind: str, key: Any, make: Callable[[], Any]) -> Any:
        """What `make` finds about the model in place, as JSON; the cache keeps it, but for ``unlearned``.

        Raises ValueError where the model in place is not `which`: the cache would keep it under a wrong name.
        """
        if self.model.name != which:
            raise ValueError(f"{which} is asked for, and {self.model.name or 'another model'} is in place")
        name = f"{kind}-{model_cache.content_hash([ANSWERS, key])}.json"
        path = self.folder(which) / name if which != "unlearned" else None
        if path and path.is_file():
            return json.loads(path.read_text(encoding="utf-8"))
        found = make()
        if path:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_json(path, found)
        return found

    def answers(self, which: str) -> dict[str, list[Answer]]:
        """Answers of the model in place to every split. Those of base, target and gold are kept in the cache."""
        splits, study = self.evaluation_splits(), self.study
        # Where an item comes from and which concepts it mentions change no answer; how its tokens are classed does.
        ignored = {"source": "", "row": 0, "concepts": (), "patient": None}
        items = {name: [asdict(item) | ignored for item in own] for name, own in splits.items()}

        def make() -> dict[str, list[dict[str, Any]]]:
            self.display.stage(f"Evaluate {which} on {sum(map(len, splits.values()))} items")
            total = sum(num_texts(self.encoder, own) for own in splits.values())
            with self.display.progress(f"evaluate {which}", total) as advance:
                found = {
                    name: self.score(own, lambda n: advance(n=n), is_forget=name.startswith("forget"))
                    for name, own in splits.items()
                }
            return {name: [answer.as_dict() for answer in rows] for name, rows in found.items()}

        kept = self.kept(which, "answers", [items, model_cache.concepts(study)], make)
        return {name: [Answer.of(row) for row in rows] for name, rows in kept.items()}

    def score(
        self,
        items: Sequence[Item],
        advance: Callable[[int], None] = lambda n: None,
        *,
        is_forget: bool | None = None,
    ) -> list[Answer]:
        """Answers of the model in place; `advance` is told of finished texts.

        `is_forget` says on which side the items are, for the losses of token classes; without it there are none.
        """

        def classify(place: int, text: Encoded) -> list[int]:
            return self.study.label(text, bool(is_forget))[0]

        tokens = self.study.config.evaluation.batch_tokens
        return score(self.model, self.encoder, items, tokens, advance, None if is_forget is None else classify)


def as_read(study: Study, model: LanguageModel) -> tuple[Study, Texts]:
    """The study as the model's tokenizer reads it; what was read already is not read again."""
    texts, config = study.texts, study.config
    if texts:
        own, name = texts.encoder, model.tokenizer.name_or_path
        if own.tokenizer.name_or_path == name and own.prompt == config.prompt:
            return study, texts
    study = study.readable(Encoder(model.tokenizer, config.prompt), model.context)
    assert study.texts is not None, "it has just been read"
    return study, study.texts
