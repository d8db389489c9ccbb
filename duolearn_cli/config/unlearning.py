"""The part of the schema that describes how unlearning changes the adapter."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from duolearn_cli.config.settings import MAX_COUNT, MAX_RATE, setting

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

    epochs: int = setting(
        10, "passes over the forget items", minimum=1, maximum=MAX_COUNT, common=("unlearn", "benchmark")
    )
    min_steps: int | None = setting(
        None,
        "fewest steps: few forget items are passed over more often than epochs says, at a learning rate that is lower "
        "by the same factor; empty: as epochs says, and "
        f"after=RUN {FEWEST_STEPS} unless epochs is given, there or in the first request: in few steps a small request "
        "would keep too little. 1: always as epochs says",
        minimum=1,
    )
    batch_size: int = setting(
        16,
        "number of forget items in a step, over all processes; the same number of retain items joins them",
        minimum=1,
        maximum=MAX_COUNT,
        common=("unlearn", "benchmark"),
    )
    retain_batch_size: int | None = setting(
        None,
        "number of retain items in a step; empty: as many as forget items. With after=RUN a full batch_size, "
        "because a small request would otherwise keep too little",
        minimum=1,
    )
    learning_rate: float = setting(5e-4, "peak learning rate", minimum=0, maximum=MAX_RATE, common=("unlearn",))
    warmup: float = setting(0.1, "share of steps of linear warm-up", minimum=0, maximum=1)
    max_grad_norm: float = setting(
        1.0, "largest norm of the combined gradient; longer gradients are clipped", minimum=0
    )
    optimizer: str = setting(
        "AdamW",
        "the optimiser, a class of torch.optim that updates each coordinate on its own",
        choices=list(OPTIMIZERS),
    )
    weight_decay: float = setting(0.0, "the optimiser's weight decay", minimum=0)
    momentum: float = setting(0.0, "momentum of SGD and RMSprop", minimum=0, maximum=1)
    micro_batch: int | None = setting(
        None,
        "number of items in one forward pass, forget and retain together; empty: the whole batch",
        minimum=1,
        maximum=MAX_COUNT,
    )
    memory_limit: float | None = setting(
        None,
        "largest predicted memory of unlearning, in GiB. If micro_batch is empty, it becomes the largest one that "
        "fits. Empty: no limit",
        minimum=0.01,
        common=("unlearn",),
    )
    checkpointing: bool = setting(
        False, "recompute the activations of layers in the backward pass: slower, less memory"
    )
    evaluate_every: int = setting(
        0,
        "number of steps between quick evaluations; 0: five evaluations in a run, or twenty with unlearn.stop",
        minimum=0,
    )
    checkpoint_every: int = setting(50, "steps between checkpoints", minimum=1)
    stop: str = setting(
        "none",
        "when to end early: gold or base ends the run once the model answers the forget items of the validation "
        "part like that model and still keeps the retain items (docs/benchmark.md). none: at the last step",
        choices=["none", "gold", "base"],
        common=("unlearn",),
    )
    hold: bool = setting(
        True,
        "store a gradient of this request, so that later requests (after=) do not bring it back. It is as large as "
        "the adapter and derived from the forgotten data. With after=: use the gradients of earlier requests",
    )
    attack: str = setting(
        "values",
        "what is attacked in documents: the words that state what is forgotten, the sentences around them, or whole "
        "documents. Data sets without documents have no use for it",
        choices=["values", "sentences", "documents"],
    )
    # In notes a weight of 1 cost neighbours 11 points (docs/results/notes.md). On minimed ten times the
    # method's own weights left a quarter of what was to be forgotten (docs/history/lab-notes.md).
    keep_weight: float = setting(
        1.0,
        "weight of the preserve loss beside the forget loss, whatever the method; data sets of notes set it to 20",
        minimum=0,
        common=("unlearn",),
    )
    kin_weight: float = setting(
        1.0,
        "weight of kept tokens that state the target's kin: boundary concepts, siblings, and the target's own concepts "
        "where others than the named patients have them; data sets of notes set it to 8",
        minimum=0,
    )
    rehearse: int = setting(
        0,
        "number of items of earlier requests (after=) that join the forget items of each step, in turn. Their texts"
        " must still exist",
        minimum=0,
    )
    # Packing changes no result. On CPUs it does not pay: attention over long rows costs more than the padding that it
    # saves (docs/history/lab-notes.md, "Concept-aware attention").
    packing: bool = setting(False, "pack several texts into one row of prompt.max_tokens; they do not see each other")


@dataclass
class GeometryConfig:
    """The constraint on updates: to first order, no step may raise the preserve loss. See docs/geometry.md."""

    # With Adam, a constrained gradient saved half of what a constrained step saved on SmolLM2. This and the reasons
    # below are measured in docs/history/geometry.md, "What it is worth".
    space: str = setting(
        "step",
        "what the constraint applies to: the optimiser's step, the gradient before it, or nothing",
        choices=["step", "gradient", "none"],
        common=("unlearn",),
    )
    follow: str = setting(
        "both",
        "which gradients updates follow: both, or the forget gradient alone; the preserve gradient is then only a "
        "constraint",
        choices=["both", "forget"],
    )
    # Two sides also forbid healing: on minimed that ended with ten times the damage.
    sides: str = setting(
        "one", "one: preserve losses may fall but not rise; two: they may do neither", choices=["one", "two"]
    )
    # With a basis of 8 the metrics could not be told apart, so the cheapest is the default.
    metric: str = setting(
        "euclidean",
        "metric that defines the nearest allowed step; optimizer: the metric of the optimiser's second moments",
        choices=["euclidean", "fisher", "optimizer"],
    )
    # By layer there was no difference on minimed; on SmolLM2 it was not run.
    scope: str = setting(
        "global",
        "where the constraint holds: for the whole step, or in each layer or module",
        choices=["global", "layer", "module"],
    )
    gradient_decay: float = setting(
        0.0,
        "decay of the running mean of preserve gradients that the constraint uses; 0: only the gradient of the "
        "current step",
        minimum=0,
        maximum=0.999999,
    )
    # One earlier gradient saves a good part of the damage and eight a little more; 32 could not be told from 8.
    basis_size: int = setting(
        8, "number of earlier preserve gradients that the constraint uses in addition to the current one", minimum=0
    )
    basis_every: int = setting(1, "number of steps between two gradients that enter the basis", minimum=1)
    basis_from: str = setting(
        "step",
        "which preserve gradients enter the basis: the ones of the step (with noise if retain is protected), or raw"
        " ones (not allowed then)",
        choices=["step", "raw"],
    )
    fisher_decay: float = setting(0.95, "decay of the running Fisher information", minimum=0, maximum=0.999999)
    damping: float = setting(1e-2, "damping of the Fisher information, as a share of its mean", minimum=1e-9)
    # A price saved more than any constraint on minimed. On SmolLM2 it slowed forgetting too much to be compared.
    fisher_price: float = setting(
        0.0, "how strongly the Fisher information shortens a step in each coordinate; 0: not at all", minimum=0
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
        "what is chosen as a unit: coordinates, ranks of LoRA pairs, adapted modules or whole layers",
        choices=["none", *UNITS],
        common=("unlearn",),
    )
    # The paper changes about 0.1 % of the parameters (docs/method.md).
    fraction: float = setting(1e-3, "share of the model's parameters that may change", minimum=1e-9, maximum=1)
    examples: int = setting(64, "number of forget items, and of retain items, that the choice is based on", minimum=1)
    # 0.1 and 1 were tried with the present choice of coordinates, this default was not (docs/history/lab-notes.md, "0.1
    # % of the parameters").
    damping: float = setting(
        1e-3,
        "damping of the retain side, as a share of its mean; a larger value favours coordinates that matter for "
        "forgetting",
        minimum=1e-9,
    )
