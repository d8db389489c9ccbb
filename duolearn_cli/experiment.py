"""The stages of an unlearning run: label tokens, unlearn with checkpoints, evaluate, write everything down."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import torch

from duolearn_cli import __version__, summary
from duolearn_cli.checkpoint import latest_checkpoint, load_checkpoint, save_checkpoint
from duolearn_cli.composition import component
from duolearn_cli.data.items import Item
from duolearn_cli.data.streams import num_steps, sample
from duolearn_cli.errors import RunError
from duolearn_cli.evaluation import Answer
from duolearn_cli.methods.base import NO_ATTENTION, Attention, attention_of
from duolearn_cli.protocol import STAGES, Laboratory
from duolearn_cli.references import references
from duolearn_cli.report.page import write_report
from duolearn_cli.run import write_json, write_jsonl
from duolearn_cli.unlearning import Example, unlearn

# By model, then by split.
Answers = dict[str, dict[str, list[Answer]]]
# Seconds that interrupted workers get to finish a step.
WORKER_PATIENCE = 120


def evaluate(lab: Laboratory, names: Sequence[str]) -> Answers:
    """Answers of base, target or gold, each learned first where the cache has none; the last one stays in place."""
    answers: Answers = {}
    for name in names:
        lab.load(name)
        answers[name] = lab.answers(name)
        if name in STAGES:
            lab.run.forget_history_after(STAGES[name], 0)
            for line in lab.history(name):
                lab.run.record(line)
    return answers


def examples(
    lab: Laboratory, items: Sequence[Item], is_forget: bool, labels: str, attention: Attention = NO_ATTENTION
) -> list[Example]:
    """Encode, classify and look up the references of `items`; the target model must be in place."""
    study = lab.study
    texts = [lab.encoder.encode(item) for item in items]
    labelled = [study.label(text, is_forget) for text in texts]
    all_kinds = [kinds for kinds, _, _ in labelled]
    cached = references(lab.model, texts, labels, study.config.evaluation.batch_tokens, attention, all_kinds)
    found: list[Example] = []
    for item, text, (kinds, _, weights), reference in zip(items, texts, labelled, cached, strict=True):
        places = text.labels(labels)
        found.append(
            Example(
                text,
                is_forget,
                study.request.weights.get(item.id, 1.0),
                [kinds[i] for i in places],
                [weights[i] for i in places],
                reference,
                kinds,
            )
        )
    return found


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
        raise RunError("labels.answers=trusted leaves no item: the target gives none of the answers; use answers=all.")
    return kept


def check_attention(lab: Laboratory) -> None:
    """Refuse what the method or packing asks of attention and the model does not offer, before anything is learned.

    Raises:
        ModelError: with the model and the mend.
    """
    config = lab.study.config
    wanted = attention_of(component(config.method, config.plugins))
    lab.model.check_attention(masks=config.unlearn.packing or wanted.is_biased, kept_layers=wanted.kept_layers)


def unlearn_stage(lab: Laboratory) -> None:
    """Unlearn from the target model, or from the run's last checkpoint; write the adapter into the run folder."""
    config, run = lab.study.config, lab.run
    lab.load("target")
    method = component(config.method, config.plugins)
    forget, retain = (
        examples(lab, trusted(lab, items), is_forget, method.labels, attention_of(method))
        for items, is_forget in ((lab.study.request.forget, True), (lab.study.request.retain, False))
    )
    optimizer = torch.optim.AdamW(lab.model.adapter, lr=config.unlearn.learning_rate, weight_decay=0.0)
    checkpoints = run.folder / "checkpoints"
    checkpoint = latest_checkpoint(checkpoints)
    signature = lab.signature()
    first = load_checkpoint(checkpoint, signature, lab.model, optimizer) if checkpoint else 0
    steps = num_steps(len(forget), config.unlearn.batch_size, config.unlearn.epochs)
    every = config.unlearn.evaluate_every or max(1, steps // 5)
    if lab.is_main:
        run.forget_history_after("unlearn", first)
    lab.display.stage(
        f"Unlearn {lab.study.target.name}: {len(forget)} forget items, {steps} steps" + f" from {first}" * bool(first)
    )

    with lab.display.progress("unlearn", steps) as advance, deferred_interrupt() as interrupted:
        advance(n=first)

        def after_step(step: int, values: Mapping[str, float]) -> None:
            stopping = interrupted()
            if lab.is_main:
                run.record({"stage": "unlearn", "step": step, **values})
                advance({name: values[name] for name in ("target", "memorised", "general_medical", "neutral")})
                if step % every == 0:
                    quick_evaluation(lab, step)
                if stopping or step % config.unlearn.checkpoint_every == 0:
                    save_checkpoint(checkpoints, step, signature, lab.model, optimizer)
            if stopping:
                raise KeyboardInterrupt

        pack_to = config.prompt.max_tokens if config.unlearn.packing else None
        unlearn(lab.model, forget, retain, method, config.unlearn, config.seed, optimizer, first, after_step, pack_to)
    if lab.is_main:
        save_checkpoint(checkpoints, steps, signature, lab.model, optimizer)
        lab.model.save_adapter(run.folder / "adapter")


@contextmanager
def deferred_interrupt() -> Iterator[Any]:
    """Let the step under way finish on the first Ctrl-C; a second one ends the process at once."""
    seen: list[int] = []

    def handler(number: int, frame: Any) -> None:
        if seen:
            raise KeyboardInterrupt
        seen.append(number)

    try:
        previous = signal.signal(signal.SIGINT, handler)
    except ValueError:  # not the main thread, as in some sweep launchers: nothing to defer
        yield lambda: False
        return
    try:
        yield lambda: bool(seen)
    finally:
        signal.signal(signal.SIGINT, previous)


def quick_evaluation(lab: Laboratory, step: int) -> None:
    """Accuracy on a few forget and retain items, held-out phrasings where there are any."""
    splits, count = lab.study.splits, lab.study.config.evaluation.quick_items
    values = {}
    for name, items in (
        ("forget_accuracy", splits.forget_heldout or splits.forget_train),
        ("retain_accuracy", splits.retain_heldout or splits.retain_train),
    ):
        answers = lab.score(sample(items, count, lab.study.config.split.seed))
        values[name] = sum(answer.correct for answer in answers) / len(answers)
    lab.run.record({"stage": "unlearn", "step": step, **values})
    lab.display.note(
        f"step {step}: " + ", ".join(f"{name.replace('_', ' ')} {value:.2f}" for name, value in values.items())
    )


def unlearn_in_workers(lab: Laboratory) -> None:
    """Run the loop in several processes; they read the frozen configuration and never import Hydra."""
    count = lab.study.config.runtime.num_processes
    lab.load("target")  # once, here, rather than by whichever worker comes first
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(count)]
    workers = subprocess.Popen([*launcher, "-m", "duolearn_cli.worker", str(lab.run.folder.absolute())])
    try:
        status = workers.wait()
    except KeyboardInterrupt:
        # The terminal has interrupted them too: they finish their step and write a checkpoint.
        workers.wait(timeout=WORKER_PATIENCE)
        raise
    if status:
        raise RunError(f"the {count} unlearning processes ended with status {status}; see their messages above.")
    lab.model.load_adapter(lab.run.folder / "adapter")


def conclude(lab: Laboratory, answers: Answers, started: float) -> dict[str, Any]:
    """Write predictions, metrics and report; return the metrics."""
    config, run, study = lab.study.config, lab.run, lab.study
    lab.display.stage("Measure and report")
    levels = summary.Levels(study.item_levels(), config.evaluation.hmta_weights)
    rows = [
        {"model": model, "split": split, **answer.as_dict(), "correct": bool(answer.correct)}
        | {"level": levels.of_item.get(answer.id)}
        for model, splits in answers.items()
        for split, found in splits.items()
        for answer in found
    ]
    write_jsonl(run.folder / "predictions.jsonl", rows)
    models = summary.summarise(answers, study.target.labels, levels)
    chance = summary.mean_chance(answers)
    metrics = {
        "schema": 1,
        "duolearn": __version__,
        "forget": study.target.name,
        "forget_subjects": sorted(study.target.labels),
        "model": config.model.name,
        "dataset": str(config.dataset._target_).rpartition(".")[2].lower(),
        "method": str(config.method._target_).rpartition(".")[2] if "unlearned" in models else config.command,
        "seed": config.seed,
        "privacy": config.privacy.name,
        "models": models,
        "chance": chance,
        "flags": summary.flags(models, chance),
        "cost": {
            "seconds": time.monotonic() - started,
            "trainable_parameters": lab.model.num_adapter_parameters,
            "trainable_fraction": lab.model.num_adapter_parameters / lab.model.num_base_parameters,
            "peak_memory_bytes": peak_memory(),
        },
        "data": study.summary(),
    }
    write_json(run.folder / "metrics.json", metrics)
    write_report(run.folder)
    return metrics


def peak_memory() -> int:
    """Peak memory of this process in bytes: of the device on CUDA, else resident."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def write_data_files(lab: Laboratory) -> None:
    """Rejected rows, doubtful labels and duplicates, so that nothing disappears silently; what the target covers."""
    study = lab.study
    if study.loaded.rejected:
        write_jsonl(lab.run.folder / "rejected.jsonl", [asdict(row) for row in study.loaded.rejected])
    if doubts := (*study.filled, *study.request.doubts):
        write_jsonl(lab.run.folder / "doubts.jsonl", [asdict(doubt) for doubt in doubts])
    write_json(lab.run.folder / "target.json", study.coverage().as_dict())
    if study.duplicates:
        write_jsonl(lab.run.folder / "duplicates.jsonl", [asdict(pair) for pair in study.duplicates])
