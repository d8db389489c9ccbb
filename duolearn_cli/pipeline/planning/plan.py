"""The dry run: sizes, steps, trainable share, memory, time and folder of a run, estimated without loading a model."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any

from duolearn_cli.config.components import component
from duolearn_cli.config.given_target import given_models, target_is_given
from duolearn_cli.config.schema import RunConfig
from duolearn_cli.data.items import Item
from duolearn_cli.data.order import num_steps, passes
from duolearn_cli.data.tally import borderline
from duolearn_cli.methods.base import Method
from duolearn_cli.model.shape import Shape, read_shape
from duolearn_cli.model.weights import find_weights
from duolearn_cli.pipeline.planning.documents import document_rows, estimated_windows
from duolearn_cli.pipeline.planning.fitting import gib
from duolearn_cli.pipeline.planning.memory import TOKENS_PER_CHARACTER, Planner, estimated_tokens
from duolearn_cli.pipeline.run_folder import planned_folder
from duolearn_cli.pipeline.study import Study
from duolearn_cli.privacy.account import Account

MIXTURE = (
    "not predicted: the model is a mixture of experts; the share of its weights that the adapter reaches is shown once "
    "the model is loaded, before anything is learned"
)
# FLOPs per parameter and token. A forward takes 2; the backward of a LoRA step takes 2 more, for it computes gradients
# at inputs but none of the frozen weights.
TRAINING_FLOPS, FORWARD_FLOPS = 4, 2


def plan(study: Study, account: Account | None = None) -> Any:
    """Return the plan as a rich table, with the spending of a private run."""
    from rich.table import Table

    table = Table("plan", "value", title="Dry run: nothing is written", title_justify="left")
    for name, value in (*rows(study), *spending(account)):
        table.add_row(name, value)
    return table


def spending(account: Account | None) -> list[tuple[str, str]]:
    """Return the rows of the plan about privacy: epsilon and terms of each protected set; none without an account."""
    if account is None:
        return []
    planned = account.planned()
    return [
        (
            f"privacy of {name}",
            f"epsilon {planned.epsilon(name):.3g} at delta {account.delta:.2g} (budget {account.budget:g}): noise "
            f"multiplier {own.noise_multiplier:.3g}, {own.steps} steps at rate {own.rate:.3g} of "
            f"{account.last.num_units[name]} units",
        )
        for name, own in account.last.spendings.items()
    ] + [
        *((f"privacy of {name}", "none: epsilon is infinite") for name in account.last.unprotected),
        *((f"privacy of a {kind}", _of_group(planned.epsilon_of(kind), kind)) for kind in account.shared_kinds),
    ]


def _of_group(epsilon: float, kind: str) -> str:
    """Describe the epsilon of all units of one fact or patient together."""
    bound = "no bound" if math.isinf(epsilon) else f"epsilon {epsilon:.3g} for its units together"
    return f"{bound}; privacy.unit={kind} promises privacy.epsilon to each {kind}"


def rows(study: Study) -> list[tuple[str, str]]:
    """Return the plan as (name, value) pairs."""
    config, splits = study.config, study.splits
    unlearn = config.unlearn
    sizes, covered = study.summary(), study.coverage()
    pairs = [
        ("forget", covered.sentence()),
        ("data", ", ".join(f"{name} {len(items)}" for name, items in splits.by_name().items())),
        (
            "boundary",
            ", ".join(f"{b.name} (also under {', '.join(b.also_under)})" for b in covered.boundary[:5]) or "none",
        ),
        ("request", ", ".join(f"{name} {count}" for name, count in sizes["request"].items())),
        *study.tally.rows(),
        *document_rows(study),
        *((("earlier requests", sentence),) if (sentence := study.forgotten.sentence()) else ()),
        ("rejected rows", ", ".join(f"{count} {why}" for why, count in sizes["rejected"].items()) or "none"),
        *(("data note", note) for note in study.notes),
        ("longer than prompt.max_tokens", _cut(study)),
        ("duplicates across splits", f"{sizes['duplicates']} ({config.split.near_duplicates})"),
        ("learn steps", _learn_steps(study)),
        ("retrain steps", _retrain_steps(study)),
        ("unlearn steps", str(num_steps(_num_forget(study), unlearn.batch_size, _passes(study)))),
    ]
    shape = read_shape(find_weights(config.model, config.cache_dir))
    if shape is None:
        pairs.append(("parameters, memory, time", "unknown: the model is not on this machine"))
    elif shape.is_mixture:
        pairs.append(("parameters, memory, time", MIXTURE))
    else:
        pairs += _costs(study, shape)
    return [*pairs, ("output folder", planned_folder(config))]


def remarks(study: Study) -> list[str]:
    """Return lines too wide for the table: warnings about the data, and items that mention the target in passing."""
    passing = borderline(study.filled, study.loaded.items)
    listed = [f"in passing, score below forget.about={study.config.forget.about:g}:"] if passing else []
    return [*(f"warning: {warning}" for warning in study.warnings()), *listed, *(f"  {line}" for line in passing)]


def _learn_steps(study: Study) -> str:
    """Return the number of learning steps, or that there are none because ``adapter=`` is the target."""
    config = study.config
    if config.adapter and config.command != "evaluate":
        return f"none: {config.adapter} is the target"
    if target_is_given(config):
        return f"none: {config.model.name} as it stands is the target"
    texts = len(study.training_items("target")) + len(estimated_windows(study))
    return str(num_steps(texts, config.learn.batch_size, config.learn.epochs))


def _retrain_steps(study: Study) -> str:
    """Return the number of steps of gold, or that there are none because of ``learn.skip``."""
    config, learn = study.config, study.config.learn
    if "gold" not in given_models(config) or learn.gold:
        return f"none: {learn.gold} is gold" if learn.gold else "none: there is no gold"
    # Gold reads about as many windows as the target: what it does not read is cut out of them.
    texts = len(study.taught(study.splits.retain_train)) + len(study.documents.gold)
    return str(num_steps(texts, learn.batch_size, learn.epochs))


def _num_forget(study: Study) -> int:
    """Return about how many texts the forget side has: items, and a window for each document with something in it."""
    return len(study.taught(study.request.forget)) + len(study.documents.forget)


def _cut(study: Study) -> str:
    """Estimate from characters how many items lose words. The tokenizer is not read."""
    config = study.config
    items = [item for own in study.splits.by_name().values() for item in own]
    tokens = [estimated_tokens(item, config) for item in items]
    count = sum(one > config.prompt.max_tokens for one in tokens)
    if not count:
        return f"none by the number of characters (the longest: about {max(tokens)} tokens)"
    sentence = f"about {count} of {len(items)} items lose words in the middle of their question"
    if count > config.prompt.max_cut * len(items):
        limit = f"prompt.max_cut={config.prompt.max_cut:g}"
        sentence += f"; a run refuses more than {limit} of them: raise prompt.max_tokens"
    return f"{sentence} (the longest: about {max(tokens)} tokens)"


def _passes(study: Study) -> int:
    unlearn = study.config.unlearn
    return passes(_num_forget(study), unlearn.batch_size, unlearn.epochs, unlearn.min_steps)


def _costs(study: Study, shape: Shape) -> list[tuple[str, str]]:
    config, splits = study.config, study.splits
    base, adapter = shape.parameters(), shape.adapter_parameters(config.model.adapter)
    learned = (*study.training_items("target"), *splits.retain_train) if not target_is_given(config) else ()
    texts = sum(len(one.document.text) for one in study.documents.learned) * TOKENS_PER_CHARACTER
    trained = config.learn.epochs * (_tokens(learned) + 2 * texts * bool(learned))
    # A step takes as many retain items as forget items, hence twice the forget side.
    of_forget = sum(len(one.document.text) for one in study.documents.forget) * TOKENS_PER_CHARACTER
    trained += _passes(study) * 2 * (_tokens(study.request.forget) + of_forget)
    # A cloze prompt scores each option in a text of its own, of which four are usual.
    options = 4 if config.prompt.form == "cloze" else 1
    models = 1 + len(given_models(config))
    scored = models * options * sum(_tokens(items[: config.evaluation.max_items]) for items in study.scored().values())
    flops = base * (TRAINING_FLOPS * trained + FORWARD_FLOPS * scored)
    changed = _changed(config, shape)
    return [
        ("trainable", f"{adapter:,} of {base:,} parameters ({adapter / base:.2%})"),
        ("may change", f"{changed:,} of them ({changed / base:.2%} of the model)"),
        *_memory(study),
        ("a checkpoint", f"about {checkpoint_bytes(config, shape) / 1e6:.0f} MB"),
        ("time", f"about {max(1, round(flops / _speed() / 60))} min on this machine's CPU, if no model is cached yet"),
    ]


def _memory(study: Study) -> list[tuple[str, str]]:
    """Return the predicted memory of unlearning and its parts; nothing if it cannot be predicted."""
    planner = Planner.of(study)
    if planner is None:
        return []
    size = study.config.unlearn.micro_batch
    memory = planner.predict(size)
    parts = ", ".join(f"{name} {gib(part)}" for name, part in memory.parts.items() if part)
    return [("memory of unlearning", f"{gib(memory.total)} with {size or 'all'} items of a step at once: {parts}")]


def adapter_bytes(config: RunConfig, shape: Shape) -> int:
    """Return the size in bytes of the adapter that a run writes."""
    return 4 * shape.adapter_parameters(config.model.adapter)


def checkpoint_bytes(config: RunConfig, shape: Shape) -> int:
    """Return the size in bytes of a checkpoint: adapter, two moments of the optimiser, state of the constraint."""
    return adapter_bytes(config, shape) + 4 * _changed(config, shape) * (2 + _rows_of_state(config))


def _changed(config: RunConfig, shape: Shape) -> int:
    """Return the number of coordinates that may change."""
    adapter, sparse = shape.adapter_parameters(config.model.adapter), _method(config).sparsity
    return adapter if sparse.unit == "none" else min(adapter, int(sparse.fraction * shape.parameters()))


def _rows_of_state(config: RunConfig) -> int:
    """Return the numbers per coordinate in the constraint's state: the basis with this step's gradient, the Fisher."""
    geometry = _method(config).geometry
    return 0 if geometry.space == "none" else 1 + geometry.basis_size + geometry.needs_fisher


def _method(config: RunConfig) -> Method:
    return component(config.method, config.plugins)


def _tokens(items: Sequence[Item]) -> float:
    return TOKENS_PER_CHARACTER * sum(len(item.question) + sum(map(len, item.options)) for item in items)


def _speed() -> float:
    """Measure the FLOP/s of a short matrix product on this machine."""
    import numpy as np

    matrix = np.ones((768, 768), dtype=np.float32)
    seconds = []
    for _ in range(6):
        started = time.perf_counter()
        np.matmul(matrix, matrix)
        seconds.append(time.perf_counter() - started)
    # The first product also starts threads. The fastest one was least disturbed by other processes.
    return 2 * 768**3 / min(seconds)
