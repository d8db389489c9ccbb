"""The workbench: the models and texts of one study, loaded when first needed, and the step of every variant."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from io import StringIO
from itertools import count
from pathlib import Path

import torch
from accelerate import Accelerator
from omegaconf import DictConfig
from rich.console import Console

from duolearn_cli.benchmarks.speed import plain
from duolearn_cli.benchmarks.speed.plain import LEARNING_RATE, Plain
from duolearn_cli.benchmarks.speed.timing import Step
from duolearn_cli.benchmarks.speed.variants import FORWARD, Variant, configured, methods, with_adapter_share
from duolearn_cli.config.components import component
from duolearn_cli.data.items import Item
from duolearn_cli.errors import present
from duolearn_cli.methods.base import Attention
from duolearn_cli.model.distributed import Processes
from duolearn_cli.model.encoding import Encoded, Encoder
from duolearn_cli.model.loading import choose_device, load_encoder
from duolearn_cli.model.packing import batches_by_length
from duolearn_cli.model.weights import find_weights
from duolearn_cli.pipeline.answers import score_items
from duolearn_cli.pipeline.examples import examples
from duolearn_cli.pipeline.laboratory import Laboratory
from duolearn_cli.pipeline.loaded_model import LoadedModel
from duolearn_cli.pipeline.privacy_plan import plan_unlearning
from duolearn_cli.pipeline.private_run import private_steps
from duolearn_cli.pipeline.run_folder import Run
from duolearn_cli.pipeline.study import Study
from duolearn_cli.pipeline.unlearn_run import chosen_coordinates
from duolearn_cli.report.terminal import Display
from duolearn_cli.training.coordinates import Coordinates
from duolearn_cli.training.diagnostics import measure
from duolearn_cli.training.forward import Example
from duolearn_cli.training.gradients import Batching, Gradients, gradients
from duolearn_cli.training.task import UnlearningTask
from duolearn_cli.training.update import Update


class Workbench:
    """Makes the step of each variant.

    Args:
        study: the prepared data.
        folder: where private steps write their accounts and adapters. The user's model cache is not touched.
    """

    def __init__(self, study: Study, folder: Path) -> None:
        config, self.folder = study.config, folder
        self.device = choose_device(config.runtime.device)
        if config.runtime.threads:
            torch.set_num_threads(config.runtime.threads)
        batch = slice(config.unlearn.batch_size)
        request = replace(study.request, forget=study.request.forget[batch], retain=study.request.retain[batch])
        # With only as many records as a step takes, every record joins every step, private steps included.
        self.study = replace(study, request=request)
        self._splits = study.splits
        self._examples: dict[tuple[str, Attention], tuple[list[Example], list[Example]]] = {}

    @cached_property
    def encoder(self) -> Encoder:
        """The configured model's prompt encoder."""
        config = self.study.config
        return load_encoder(find_weights(config.model, config.cache_dir), config)

    @cached_property
    def lab(self) -> Laboratory:
        """A laboratory with our model, whose adapter has random weights."""
        lab = Laboratory.open(self.study, Display(Console(file=StringIO())), Run(self.folder), is_main=False)
        plain.scatter(lab.model.network)
        # Private steps save a target: into this folder, never into the user's model cache.
        lab.cache = replace(lab.cache, root=self.folder)
        lab.model.save_adapter(self.folder / "random")
        return lab

    def target(self) -> LoadedModel:
        """Our model with the random adapter, however the steps of other variants have changed it."""
        return self.lab.load_from("target", self.folder / "random")

    @cached_property
    def plain(self) -> Plain:
        """The plain PEFT model, with the same random adapter."""
        return plain.load_plain(self.study.config)

    @cached_property
    def texts(self) -> tuple[list[Encoded], list[Encoded]]:
        """The encoded forget texts and retain texts of a step."""
        request = self.study.request
        forget, retain = ([self.encoder.encode(item) for item in side] for side in (request.forget, request.retain))
        return forget, retain

    def step(self, variant: Variant) -> Step:
        """Make the step of a variant.

        Raises:
            ConfigError, ModelError: the variant does not fit the data or the model.
        """
        config = configured(self.study.config, variant)  # type: ignore[arg-type]
        if variant.method:
            return self._unlearning(variant, config)
        makers: dict[str, Callable[[], Callable[[], object]]] = {
            "plain/lora_text": lambda: self._plain_step("text"),
            "plain/lora_answer": lambda: self._plain_step("answer"),
            "peer/npo_lora": lambda: self._peer_step(self.plain),
            "peer/npo_full": lambda: self._peer_step(plain.load_plain(self.study.config, adapter=False)),
            FORWARD: self._forward,
            "evaluation/answers": lambda: self._scoring(is_forget=None),
            "evaluation/full": lambda: self._scoring(is_forget=True),
        }
        return Step(makers[variant.name](), warm_up=1 if variant.family == "evaluation" else 2)

    def _scoring(self, is_forget: bool | None) -> Callable[[], object]:
        """The scoring of the evaluated items; with `is_forget` None the losses of token classes are left out."""
        lab = self.lab
        return lambda: score_items(lab.model, lab.encoder, lab.study, self._evaluated, is_forget=is_forget)

    def _plain_step(self, labels: str) -> Callable[[], None]:
        forget, retain = self.texts
        return plain.training_step(self.plain, plain.language_model_loss(self.plain, [*forget, *retain], labels))

    def _peer_step(self, model: Plain) -> Callable[[], None]:
        """The peer's NPO step, with the settings of conf/method/npo.yaml or the user's own."""
        npo = component(methods(self.study.config)["npo"])  # type: ignore[arg-type]
        reference, (forget, retain) = plain.reference_of(model.network), self.texts
        return plain.training_step(
            model, lambda: plain.npo_loss(model, reference, forget, retain, npo.beta, npo.retain_weight)
        )

    @cached_property
    def _evaluated(self) -> list[Item]:
        """The items that the evaluation variants score, half of each side."""
        half = max(1, self.study.config.bench.evaluate_items // 2)
        return [*self._splits.forget_train[:half], *self._splits.retain_train[:half]]

    def _forward(self) -> Callable[[], None]:
        """A forward pass over the texts that an evaluation scores, in the same batches; the logits are not read."""
        encoder, model = self.encoder, self.plain
        letters = encoder.prompt.form == "letter"
        items = self._evaluated
        # A letter prompt is scored from one text; a cloze prompt needs one for each option.
        texts = [encoder.encode(i, k) for i in items for k in ([i.answer] if letters else range(len(i.options)))]
        size = self.study.config.evaluation.batch_tokens

        def run() -> None:
            with torch.no_grad(), model.autocast():
                for indices in batches_by_length([len(text.ids) for text in texts], size):
                    batch = plain.padded([texts[i] for i in indices], "answer", model.device)
                    del batch["labels"]
                    model.network(**batch, use_cache=False)

        return run

    def _unlearning(self, variant: Variant, config: DictConfig) -> Step:
        """One unlearning step of a method: both gradients, the update, and the diagnostics for the history."""
        model = self.lab.model
        config = with_adapter_share(
            config, variant.adapter_share, model.num_adapter_parameters, model.num_base_parameters
        )
        folder = self.folder / variant.name
        folder.mkdir(parents=True, exist_ok=True)
        study = replace(self.study, config=config)
        lab = replace(self.lab, study=study, run=Run(folder), cache=replace(self.lab.cache, study=study), is_main=True)
        method, settings = component(config.method, config.plugins), config.unlearn
        model.check_attention(
            masks=settings.packing or method.attention.is_biased, kept_layers=method.attention.kept_layers
        )
        forget, retain = self._labelled(method.labels, method.attention)
        processes = Processes(Accelerator(cpu=model.device.type == "cpu"))
        pack_to = config.prompt.max_tokens if settings.packing else None
        task = UnlearningTask(forget, retain, method, settings, config.seed, pack_to)
        # With sparsity the coordinates are chosen once before a run: that is not part of a step's time.
        index = chosen_coordinates(self.target(), task, processes)
        update = Update(Coordinates(model.named_adapter, index), settings, method.geometry, processes)
        compute = self._gradients(lab, task, update, processes)
        numbers, geometry = count(1), method.geometry

        def step() -> None:
            with model.recomputed(settings.checkpointing):
                both = compute()
            measure(both, update.apply(next(numbers), LEARNING_RATE, both), update)

        # A constraint with a basis of earlier gradients has its full cost only once the basis is full.
        until_full = 0 if geometry.space == "none" else geometry.basis_size * geometry.basis_every
        return Step(step, warm_up=2 + until_full)

    def _gradients(
        self, lab: Laboratory, task: UnlearningTask, update: Update, processes: Processes
    ) -> Callable[[], Gradients]:
        """A function that computes a step's gradients as the unlearning loop does.

        For a private variant it opens an account in the variant's folder.
        """
        model = lab.model
        squares = update.constraint.settings.needs_fisher
        if account := plan_unlearning(lab.study):
            account.write(lab.run.folder)
            # An account records the digest of the adapter that it starts from, which must therefore be on disk.
            model.save_adapter(lab.cache.folder("target"))
            private = present(private_steps(lab, task, update, processes), "the private steps")
            numbers = count(1)

            def privately() -> Gradients:
                # The budget holds more steps than are timed.
                return present(private.gradients(next(numbers)), "what the account allows")

            return privately
        items, batching = [*task.forget, *task.retain], Batching(task.settings.micro_batch, task.pack_to)
        return lambda: gradients(model, items, task.method, update.coordinates, processes, batching, squares)

    def _labelled(self, labels: str, attention: Attention) -> tuple[list[Example], list[Example]]:
        """The step's texts with the predictions of base and target, which a run computes once and this caches."""
        if (labels, attention) not in self._examples:
            request, target = self.study.request, self.target()
            self._examples[labels, attention] = (
                examples(target, request.forget, True, labels, attention),
                examples(target, request.retain, False, labels, attention),
            )
        return self._examples[labels, attention]
