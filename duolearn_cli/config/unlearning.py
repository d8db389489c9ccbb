"""The part of the schema that describes how unlearning changes the adapter."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from duolearn_cli.config.settings import setting

UNITS = ("coordinate", "rank", "module", "layer")
# Optimisers that treat every coordinate by itself, with the state in which each keeps its second moments ("": none).
OPTIMIZERS = {
    "AdamW": "exp_avg_sq",
    "Adam": "exp_avg_sq",
    "NAdam": "exp_avg_sq",
    "RMSprop": "square_avg",
    "Adagrad": "sum",
    "SGD": "",
}
WITH_MOMENTUM = ("SGD", "RMSprop")
# Of a request after others. With eight steps there is no warm-up, and the first one of Adam moves every value by the
# whole rate: that step alone did most of the damage (docs/history/lab-notes.md, "Small requests").
FEWEST_STEPS = 32


@dataclass
class UnlearnConfig:
    """The unlearning loop."""

    epochs: int = setting(10, "passes over the forget items", minimum=1, common=("unlearn", "benchmark"))
    min_steps: int | None = setting(
        None,
        "steps at least: few forget items are passed over more often than epochs says; empty: as epochs says, and "
        f"after=RUN {FEWEST_STEPS} unless epochs is given: in few steps a small request would keep too little",
        minimum=1,
    )
    batch_size: int = setting(
        16,
        "forget items a step over all processes; as many retain items join",
        minimum=1,
        common=("unlearn", "benchmark"),
    )
    retain_batch_size: int | None = setting(
        None,
        "retain items a step; empty: as many as forget items, and after=RUN a full batch_size, since a small request "
        "has small batches and would keep too little",
        minimum=1,
    )
    learning_rate: float = setting(5e-4, "peak learning rate", minimum=0, common=("unlearn",))
    warmup: float = setting(0.1, "share of steps of linear warm-up", minimum=0, maximum=1)
    max_grad_norm: float = setting(1.0, "norm of the combined gradient is clipped to this", minimum=0)
    optimizer: str = setting(
        "AdamW", "a class of torch.optim that treats every coordinate by itself", choices=list(OPTIMIZERS)
    )
    weight_decay: float = setting(0.0, "the optimiser's weight decay", minimum=0)
    momentum: float = setting(0.0, "momentum of SGD and RMSprop", minimum=0, maximum=1)
    micro_batch: int | None = setting(
        None, "items a forward, forget and retain together; empty: the whole batch at once", minimum=1
    )
    memory_limit: float | None = setting(
        None,
        "GiB that unlearning may need by prediction; an empty micro_batch is then the largest that fits; empty: none",
        minimum=0.01,
        common=("unlearn",),
    )
    checkpointing: bool = setting(
        False, "recompute the activations of layers in the backward pass: slower, less memory"
    )
    evaluate_every: int = setting(
        0, "steps between quick evaluations; 0: five times a run, or twenty with unlearn.stop", minimum=0
    )
    checkpoint_every: int = setting(50, "steps between checkpoints", minimum=1)
    stop: str = setting(
        "none",
        "end at the first quick evaluation that shows validation items of the forget side to be answered as gold, or "
        "the base model, does, where those of the retain side are kept (docs/benchmark.md); none: at the last step",
        choices=["none", "gold", "base"],
        common=("unlearn",),
    )
    hold: bool = setting(
        True,
        "keep a gradient of the request, from which later requests (after=) know what must not come back; it is as "
        "large as the adapter and derived from the forgotten data. With after=: hold those of earlier requests",
    )
    rehearse: int = setting(
        0,
        "items of earlier requests (after=) that join the forget items of each step in turn; the texts of those items "
        "must still be there",
        minimum=0,
    )
    # Packing changes no result. On CPUs it does not pay: attention over long rows costs more than the padding that it
    # saves (docs/history/lab-notes.md, "Concept-aware attention").
    packing: bool = setting(False, "several texts share a row of prompt.max_tokens, without seeing each other")


@dataclass
class GeometryConfig:
    """The constraint on updates: to first order, no step may raise the preserve loss. See docs/geometry.md."""

    # With Adam, a constrained gradient saved half of what a constrained step saved on SmolLM2. This and the reasons
    # below are measured in docs/history/geometry.md, "What it is worth".
    space: str = setting(
        "step",
        "what is constrained: the optimiser's executed step, the gradient that it gets, or nothing",
        choices=["step", "gradient", "none"],
        common=("unlearn",),
    )
    follow: str = setting(
        "both",
        "what updates follow: both gradients, or that of the forget loss; the other then only constrains",
        choices=["both", "forget"],
    )
    # Two sides also forbid healing: on minimed that ended with ten times the damage.
    sides: str = setting(
        "one", "one: the preserve losses may fall but not rise; two: they stay as they are", choices=["one", "two"]
    )
    # With a basis of 8 the metrics could not be told apart, so the cheapest is the default.
    metric: str = setting(
        "euclidean",
        "in which the nearest allowed step is taken; optimizer: that of the optimiser's second moments",
        choices=["euclidean", "fisher", "optimizer"],
    )
    # By layer there was no difference on minimed; on SmolLM2 it was not run.
    scope: str = setting(
        "global",
        "the constraint holds for the whole step, or in each layer or module",
        choices=["global", "layer", "module"],
    )
    gradient_decay: float = setting(
        0.0,
        "how much of a running mean of preserve gradients, which then constrains, is kept each step; 0: the step's own",
        minimum=0,
        maximum=0.999999,
    )
    # One earlier gradient saves a good part of the damage and eight a little more; 32 could not be told from 8.
    basis_size: int = setting(8, "earlier preserve gradients that constrain beside the current one", minimum=0)
    basis_every: int = setting(1, "steps between the gradients that enter the basis", minimum=1)
    basis_from: str = setting(
        "step",
        "which preserve gradients those are: the step's own, privatised where retain is protected, or raw ones, which "
        "a protected retain set rules out",
        choices=["step", "raw"],
    )
    fisher_decay: float = setting(0.95, "how much of the running Fisher is kept each step", minimum=0, maximum=0.999999)
    damping: float = setting(1e-2, "added to the Fisher, as a share of its mean", minimum=1e-9)
    # A price saved more than any constraint on minimed. On SmolLM2 it slowed forgetting too much to be compared.
    fisher_price: float = setting(
        0.0, "how much a step is shortened in each coordinate by the Fisher over its mean; 0: not", minimum=0
    )

    @property
    def needs_fisher(self) -> bool:
        """Whether squared gradients of single items are needed at every step."""
        return self.space != "none" and (self.metric == "fisher" or self.fisher_price > 0)

    def problems(self) -> Iterator[str]:
        """Yield settings that are fine alone and impossible together."""
        if self.space == "gradient" and self.metric == "optimizer":
            yield (
                "geometry.metric=optimizer: gradients have none; allowed with method.geometry.space=gradient: "
                "euclidean, fisher."
            )
        if self.metric == "fisher" and self.fisher_price:
            yield (
                f"geometry.fisher_price={self.fisher_price}: with method.geometry.metric=fisher it shortens all "
                "coordinates alike; allowed: 0, or method.geometry.metric=euclidean."
            )


@dataclass
class SparsityConfig:
    """Which adapter coordinates unlearning may change: those that forget items ask for most at the least cost."""

    # Off by default: 0.1 % of the embedded model are 1,377 values, too few to forget with (docs/history/geometry.md).
    unit: str = setting(
        "none",
        "coordinates, ranks of LoRA pairs, adapted modules or whole layers are chosen",
        choices=["none", *UNITS],
        common=("unlearn",),
    )
    # The paper changes about 0.1 % of the parameters (docs/method.md).
    fraction: float = setting(1e-3, "share of the model's parameters that may change", minimum=1e-9, maximum=1)
    examples: int = setting(64, "forget and as many retain items that the choice is made on", minimum=1)
    # 0.1 and 1 were tried with the present choice of coordinates, this default was not (docs/history/lab-notes.md, "0.1
    # % of the parameters").
    damping: float = setting(
        1e-3, "added to the retain side, as a share of its mean: more favours what forgetting asks for", minimum=1e-9
    )
