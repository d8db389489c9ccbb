"""The variants that can be measured, by name, and what each is compared with. Nothing here loads a model."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from omegaconf import DictConfig, OmegaConf

from duolearn_cli.config.check import check
from duolearn_cli.config.components import component_class
from duolearn_cli.errors import ConfigError, nearest
from duolearn_cli.files import conf_dir, first_comment
from duolearn_cli.methods.base import Method

GEOMETRY, SPARSITY = "method.geometry.", "method.sparsity."
# The families `step`, `sparsity`, `private`, `attention` and `loop` vary the settings of this method.
OURS = "duolearn"
PLAIN = {"text": "plain/lora_text", "answer": "plain/lora_answer"}
PEER, FORWARD = "peer/npo_lora", "evaluation/forward"
# Private steps end with their budget, so it must hold more steps than are timed.
MANY_EPOCHS = 2000
# Epsilon sets the size of the noise, and does not change what a step costs.
EPSILON = 4.0
# The command's own privacy would make every variant private: only the family `private` is.
NO_PRIVACY: Mapping[str, Any] = {"privacy.name": "none", "privacy.epsilon": None, "privacy.learn_epsilon": None}
# Earlier gradients have a cost of their own, which `step/basis_8` and `step/basis_32` measure.
NO_BASIS = {f"{GEOMETRY}basis_size": 0}


@dataclass(frozen=True, slots=True)
class Over:
    """What a variant is compared with: `times` times the cost of the variant `name`."""

    name: str
    times: int = 1

    def __str__(self) -> str:
        return self.name if self.times == 1 else f"{self.times} x {self.name}"


@dataclass(frozen=True, slots=True)
class Variant:
    """A step or an evaluation to measure.

    Attributes:
        name: family and detail, such as ``private/both``.
        about: a description for people.
        over: what it is compared with.
        method: for an unlearning step, its option of conf/method.
        settings: settings that override the command's configuration, by dotted key.
        adapter_share: for a step with sparsity, the share of the adapter's parameters that may change.
    """

    name: str
    about: str
    over: tuple[Over, ...] = ()
    method: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    adapter_share: float | None = None

    @property
    def family(self) -> str:
        """The part of the name before the slash; ``bench.only`` takes it too."""
        return self.name.partition("/")[0]


REFERENCES = (
    Variant("plain/lora_text", "one plain LoRA step on the same texts, all tokens as labels"),
    Variant("plain/lora_answer", "the same, answers' tokens as labels", (Over("plain/lora_text"),)),
    Variant(PEER, "NPO as the peer does it: copied reference, three forwards, all logits", (Over(PLAIN["answer"]),)),
    Variant("peer/npo_full", "the same, every weight trained instead of an adapter", (Over(PEER),)),
)
EVALUATIONS = (
    Variant(FORWARD, "one plain forward over the evaluated texts"),
    Variant("evaluation/answers", "scoring answers", (Over(FORWARD),)),
    Variant("evaluation/full", "scoring answers, attacks and token classes", (Over(FORWARD),)),
)


def _ours(name: str, about: str, over: str, settings: Mapping[str, Any], share: float | None = None) -> Variant:
    """A variant of our method. The one named `over` is what the others are compared with, and has nothing itself."""
    return Variant(name, about, () if name == over else (Over(over),), OURS, settings, share)


def _step(name: str, about: str, settings: Mapping[str, Any]) -> Variant:
    return _ours(f"step/{name}", f"constraint: {about}", "step/none", settings)


def _rest(name: str, about: str, settings: Mapping[str, Any], share: float | None = None) -> Variant:
    return _ours(name, about, f"method/{OURS}", settings, share)


def _private(name: str, about: str, settings: Mapping[str, Any]) -> Variant:
    budget = {"privacy.name": "bench", "privacy.epsilon": EPSILON, "unlearn.epochs": MANY_EPOCHS}
    secure = {"privacy.protect": "both", "privacy.randomness": "secure"}
    return _rest(f"private/{name}", about, {**budget, **secure, **settings})


STEPS = (
    _step("none", "none", {**NO_BASIS, f"{GEOMETRY}space": "none"}),
    _step("gradient", "of the gradient", {**NO_BASIS, f"{GEOMETRY}space": "gradient"}),
    _step("executed", "of the executed step", NO_BASIS),
    _step("by_layer", "in each layer", {**NO_BASIS, f"{GEOMETRY}scope": "layer"}),
    _step("optimizer_metric", "in the optimiser's metric", {**NO_BASIS, f"{GEOMETRY}metric": "optimizer"}),
    _step("fisher", "in the Fisher's metric", {**NO_BASIS, f"{GEOMETRY}metric": "fisher"}),
    _step("basis_8", "with 8 earlier gradients", {f"{GEOMETRY}basis_size": 8}),
    _step("basis_32", "with 32 earlier gradients", {f"{GEOMETRY}basis_size": 32}),
    _step("fisher_basis_8", "Fisher and 8", {f"{GEOMETRY}metric": "fisher", f"{GEOMETRY}basis_size": 8}),
    *(
        _rest(f"sparsity/{unit}", f"{unit}s chosen, 30 % of the adapter", {f"{SPARSITY}unit": unit}, 0.3)
        for unit in ("coordinate", "rank", "module", "layer")
    ),
    _private("both", "private, both sets", {}),
    _private("retain", "private, retain set", {"privacy.protect": "retain"}),
    _private("forget", "private, forget set", {"privacy.protect": "forget"}),
    _private("both_seeded", "private, both sets, seeded noise", {"privacy.randomness": "seeded"}),
    # Any bias and any weight but zero will do: they switch on the code that is measured.
    _rest("attention/biased", "key biases", {"method.unlearn_key_bias": -1.0, "method.preserve_key_bias": 1.0}),
    _rest("attention/kept", "attention of some layers kept", {"method.attention_weight": 1.0}),
    _rest("loop/micro_batch", "forwards of 8 items", {"unlearn.micro_batch": 8}),
    _rest("loop/checkpointing", "activations computed again", {"unlearn.checkpointing": True}),
    _rest("loop/packing", "texts share rows", {"unlearn.packing": True}),
)


def methods(config: DictConfig) -> dict[str, DictConfig]:
    """The settings of every method to measure, by name: all files of conf/method, and the configured method.

    The configured method replaces the file that it came from. A user's own method, which has no file there, is added
    under the name of its class.
    """
    paths = sorted((conf_dir() / "method").glob("*.yaml"))
    by_name: dict[str, Any] = {path.stem: OmegaConf.load(path) for path in paths}
    chosen = config.method
    same = [name for name, node in by_name.items() if node["_target_"] == chosen["_target_"]]

    # Several files may configure the same class: the one with the most settings in common is where it came from.
    def agreement(name: str) -> int:
        return sum(chosen.get(key) == value for key, value in by_name[name].items())

    own = max(same, key=agreement) if same else str(chosen["_target_"]).rpartition(".")[2].lower()
    return {**by_name, own: chosen}


def variants(config: DictConfig) -> dict[str, Variant]:
    """All variants by name. Each comes after those that it is compared with."""
    listed = [*REFERENCES]
    for name, node in methods(config).items():
        kind: type[Method] = component_class(node, config.plugins)
        # The plain step is trained on the same labels as the method.
        plain = PLAIN[kind.labels]
        # Our method takes one gradient to forget and one to preserve: its plain counterpart is two training steps.
        more = {OURS: (Over(plain, 2),), "npo": (Over(PEER),)}.get(name, ())
        about = first_comment(path) if (path := conf_dir() / "method" / f"{name}.yaml").is_file() else name
        listed.append(Variant(f"method/{name}", about, (Over(plain), *more), name))
    return {variant.name: variant for variant in (*listed, *STEPS, *EVALUATIONS)}


def chosen_variants(config: DictConfig) -> dict[str, Variant]:
    """The variants that `bench.only` lists, by name or family, and all that they are compared with.

    Returns:
        The variants by name, in the order of `variants`.

    Raises:
        ConfigError: `bench.only` has an unknown name; the message suggests the nearest one.
    """
    every, only = variants(config), list(config.bench.only)
    names = {name for name, variant in every.items() if not only or {name, variant.family} & set(only)}
    known = sorted({*every, *(variant.family for variant in every.values())})
    problems = [
        f"bench.only={word}: there is no such variant; `duolearn bench --dry-run` lists them{nearest(word, known)}."
        for word in only
        if word not in known
    ]
    if problems:
        raise ConfigError("\n".join(problems))
    # Add what the variants are compared with, and what that is compared with in turn.
    unvisited = list(names)
    while unvisited:
        added = {over.name for over in every[unvisited.pop()].over} - names
        names |= added
        unvisited += added
    return {name: variant for name, variant in every.items() if name in names}


def configured(config: DictConfig, variant: Variant) -> DictConfig:
    """The configuration of a variant: the command's, with the variant's method and settings.

    The command's own privacy is switched off. The variants of the family `private` set theirs.

    Raises:
        ConfigError: the variant's settings conflict with the command's.
    """
    own = copy.deepcopy(config)
    if variant.method:
        own.method = copy.deepcopy(methods(config)[variant.method])
    for key, value in {**NO_PRIVACY, **variant.settings}.items():
        OmegaConf.update(own, key, value)
    if problems := list(_named(variant, check(own))):
        raise ConfigError("\n".join(problems))
    return own


def _named(variant: Variant, problems: Iterator[str]) -> Iterator[str]:
    yield from (f"{variant.name}: {problem}" for problem in problems)


def with_adapter_share(config: DictConfig, share: float | None, adapter: int, base: int) -> DictConfig:
    """Let a share of the adapter's coordinates change.

    The setting `method.sparsity.fraction` is a share of the model's parameters, hence the conversion.

    Args:
        config: the configuration of a variant.
        share: the share of the adapter; None leaves the configuration as it is.
        adapter: the number of the adapter's parameters.
        base: the number of the model's parameters.
    """
    if share is None:
        return config
    changed = copy.deepcopy(config)
    OmegaConf.update(changed, f"{SPARSITY}fraction", share * adapter / base)
    return changed


def ratios_of(chosen: Mapping[str, Variant]) -> Sequence[tuple[str, Over]]:
    """All pairs of a variant's name and what it is compared with."""
    return [(name, over) for name, variant in chosen.items() for over in variant.over]
