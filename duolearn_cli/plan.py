"""What a run would do: sizes, steps, trainable share, memory, time, folder. Estimates, without loading a model."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from duolearn_cli.composition import component
from duolearn_cli.config import AdapterConfig, RunConfig, target_names
from duolearn_cli.data.items import Item
from duolearn_cli.data.streams import num_steps
from duolearn_cli.methods.base import Method, geometry_of, sparsity_of
from duolearn_cli.privacy.account import Account
from duolearn_cli.run import planned_folder
from duolearn_cli.study import Study
from duolearn_cli.weights import Weights, find_weights

TOKENS_PER_CHARACTER = 0.3
# A LoRA step costs about twice a forward (2 FLOPs a parameter and token) for each of forward and backward.
TRAINING_FLOPS, FORWARD_FLOPS = 4, 2


@dataclass(frozen=True, slots=True)
class Shape:
    """The numbers of a Llama-like transformer that sizes follow from."""

    width: int
    inner: int
    layers: int
    vocabulary: int
    attention: int
    key_value: int
    tied: bool

    def linears(self) -> list[tuple[int, int]]:
        """(inputs, outputs) of the linear layers of one block."""
        return [
            (self.width, self.attention),
            (self.width, self.key_value),
            (self.width, self.key_value),
            (self.attention, self.width),
            (self.width, self.inner),
            (self.width, self.inner),
            (self.inner, self.width),
        ]

    def parameters(self) -> int:
        embeddings = self.vocabulary * self.width * (1 if self.tied else 2)
        return embeddings + self.layers * sum(i * o for i, o in self.linears()) + (2 * self.layers + 1) * self.width

    def adapter_parameters(self, adapter: AdapterConfig) -> int:
        """LoRA pairs on every linear layer of every block, or on those that the configuration names."""
        names = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
        wanted = target_names(adapter) or names
        sizes = [i + o for name, (i, o) in zip(names, self.linears(), strict=True) if name in wanted]
        return self.layers * adapter.rank * sum(sizes)


def read_shape(weights: Weights) -> Shape | None:
    """From config.json or the GGUF's metadata; None for a hub model that is not here yet."""
    folder = Path(weights.location)
    if weights.gguf_file and (folder / weights.gguf_file).is_file():
        return _gguf_shape(folder / weights.gguf_file)
    if not (folder / "config.json").is_file():
        return None
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    try:
        heads, width = config["num_attention_heads"], config["hidden_size"]
        size = config.get("head_dim") or width // heads
        return Shape(
            width=width,
            inner=config["intermediate_size"],
            layers=config["num_hidden_layers"],
            vocabulary=config["vocab_size"],
            attention=heads * size,
            key_value=config.get("num_key_value_heads", heads) * size,
            tied=config.get("tie_word_embeddings", False),
        )
    except KeyError:
        return None


def _gguf_shape(path: Path) -> Shape:
    from gguf import GGUFReader

    reader = GGUFReader(path)
    architecture = reader.fields["general.architecture"].contents()

    def number(key: str) -> int:
        return int(reader.fields[f"{architecture}.{key}"].contents())

    tensors = {tensor.name: tensor for tensor in reader.tensors}
    width, heads = number("embedding_length"), number("attention.head_count")
    return Shape(
        width=width,
        inner=number("feed_forward_length"),
        layers=number("block_count"),
        vocabulary=int(tensors["token_embd.weight"].shape[1]),
        attention=width,
        key_value=number("attention.head_count_kv") * (width // heads),
        tied="output.weight" not in tensors,
    )


def plan(study: Study, account: Account | None = None) -> Any:
    """Return a rich table of the plan, with what a private run would spend."""
    from rich.table import Table

    table = Table("plan", "value", title="Dry run: nothing is written", title_justify="left")
    for name, value in (*rows(study), *spending(account)):
        table.add_row(name, value)
    return table


def spending(account: Account | None) -> list[tuple[str, str]]:
    """What each protected set's privacy would cost, and the terms."""
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
    ] + [(f"privacy of {name}", "none: epsilon is infinite") for name in account.last.unprotected]


def rows(study: Study) -> list[tuple[str, str]]:
    """The plan as (name, value) pairs."""
    config, splits = study.config, study.splits
    learn, unlearn = config.learn, config.unlearn
    sizes, covered = study.summary(), study.coverage()
    found = [
        ("forget", covered.sentence()),
        ("data", ", ".join(f"{name} {len(items)}" for name, items in splits.by_name().items())),
        (
            "boundary",
            ", ".join(f"{b.name} (also under {', '.join(b.also_under)})" for b in covered.boundary[:5]) or "none",
        ),
        ("request", ", ".join(f"{name} {count}" for name, count in sizes["request"].items())),
        ("rejected rows", str(sizes["rejected"] or "none")),
        ("duplicates across splits", f"{sizes['duplicates']} ({config.split.near_duplicates})"),
        ("learn steps", str(num_steps(len(study.training_items("target")), learn.batch_size, learn.epochs))),
        ("retrain steps", str(num_steps(len(splits.retain_train), learn.batch_size, learn.epochs))),
        ("unlearn steps", str(num_steps(len(study.request.forget), unlearn.batch_size, unlearn.epochs))),
    ]
    shape = read_shape(find_weights(config.model, config.cache_dir))
    found += (
        _costs(study, shape) if shape else [("parameters, memory, time", "unknown: the model is not on this machine")]
    )
    return [*found, ("output folder", planned_folder(config))]


def _costs(study: Study, shape: Shape) -> list[tuple[str, str]]:
    config, splits = study.config, study.splits
    base, adapter = shape.parameters(), shape.adapter_parameters(config.model.adapter)
    trained = config.learn.epochs * (_tokens(study.training_items("target")) + _tokens(splits.retain_train))
    trained += config.unlearn.epochs * 2 * _tokens(study.request.forget)
    options = 4 if config.prompt.form == "cloze" else 1
    scored = 4 * options * sum(_tokens(items[: config.evaluation.max_items]) for items in splits.by_name().values())
    flops = base * (TRAINING_FLOPS * trained + FORWARD_FLOPS * scored)
    batch = max(config.learn.batch_size, 2 * config.unlearn.batch_size)
    length = _tokens(splits.forget_train) / len(splits.forget_train)
    # Per token and block about 34 activations of the model's width (Korthikanti et al. 2022), 4 bytes each.
    activations = batch * length * (shape.layers * shape.width * 34 * 4 + shape.vocabulary * 4 * 3)
    memory = 4 * base + 16 * adapter + activations
    changed = _changed(config, shape)
    memory += 4 * changed * _rows_of_state(config)
    memory += 4 * adapter * _rows_of_units(config)
    return [
        ("trainable", f"{adapter:,} of {base:,} parameters ({adapter / base:.2%})"),
        ("may change", f"{changed:,} of them ({changed / base:.2%} of the model)"),
        ("memory", f"about {memory / 1e9:.1f} GB"),
        ("a checkpoint", f"about {checkpoint_bytes(config, shape) / 1e6:.0f} MB"),
        ("time", f"about {max(1, round(flops / _speed() / 60))} min on this machine's CPU, if no model is cached yet"),
    ]


def checkpoint_bytes(config: RunConfig, shape: Shape) -> int:
    """The size of a checkpoint: the adapter, two moments of the optimiser, what the constraint remembers."""
    return 4 * (shape.adapter_parameters(config.model.adapter) + _changed(config, shape) * (2 + _rows_of_state(config)))


def _changed(config: RunConfig, shape: Shape) -> int:
    """How many coordinates may change."""
    adapter, sparse = shape.adapter_parameters(config.model.adapter), sparsity_of(_method(config))
    return adapter if sparse.unit == "none" else min(adapter, int(sparse.fraction * shape.parameters()))


def _rows_of_state(config: RunConfig) -> int:
    """How many numbers a coordinate the constraint keeps: the basis with the gradient at hand, and the Fisher."""
    geometry = geometry_of(_method(config))
    return 0 if geometry.space == "none" else 1 + geometry.basis_size + geometry.needs_fisher


def _rows_of_units(config: RunConfig) -> int:
    """How many gradients of single items a private step holds at once: those of one forward."""
    privacy, found = config.privacy, 0
    items = 1 if privacy.unit == "example" else privacy.max_examples
    if privacy.epsilon is not None:
        units = 2 * (privacy.batch_size or config.unlearn.batch_size)
        found = min(units, config.unlearn.micro_batch or units) * items
    if privacy.learn_epsilon is not None:
        found = max(found, (privacy.batch_size or config.learn.batch_size) * items)
    return found


def _method(config: RunConfig) -> Method:
    return component(config.method, config.plugins)


def _tokens(items: Sequence[Item]) -> float:
    return TOKENS_PER_CHARACTER * sum(len(item.question) + sum(map(len, item.options)) for item in items)


def _speed() -> float:
    """FLOP/s of a short matrix product on this machine."""
    import numpy as np

    matrix = np.ones((768, 768), dtype=np.float32)
    seconds = []
    for _ in range(6):
        started = time.perf_counter()
        np.matmul(matrix, matrix)
        seconds.append(time.perf_counter() - started)
    # The first product also starts threads; the best one was disturbed least.
    return 2 * 768**3 / min(seconds)
