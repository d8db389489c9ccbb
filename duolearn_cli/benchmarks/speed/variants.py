"""What can be measured, by name, and what each is compared with. Nothing here loads a model."""

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
# The method whose settings the families after `method` vary.
OURS = "duolearn"
PLAIN = {"text": "plain/lora_text", "answer": "plain/lora_answer"}
PEER, FORWARD = "peer/npo_lora", "evaluation/forward"
# More steps than are timed: private ones end with their budget.
MANY_EPOCHS = 2000
EPSILON = 4.0
NO_PRIVACY: Mapping[str, Any] = {"privacy.name": "none", "privacy.epsilon": None, "privacy.learn_epsilon": None}
NO_BASIS = {f"{GEOMETRY}basis_size": 0}


@dataclass(frozen=True, slots=True)
class Over:
    """What a variant is compared with: `times` as much as another one costs."""

    name: str
    times: int = 1

    def __str__(self) -> str:
        return self.name if self.times == 1 else f"{self.times} x {self.name}"


@dataclass(frozen=True, slots=True)
class Variant:
    """Something to measure.

    Attributes:
        name: family and detail, ``private/both``.
        about: what it is, for people.
        over: what it is compared with.
        method: of a step of ours, the option of conf/method.
        settings: values by dotted key, set over the configuration of the command.
        adapter_share: of a step that may change a part of the adapter, how large a share.
    """

    name: str
    about: str
    over: tuple[Over, ...] = ()
    method: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    adapter_share: float | None = None

    @property
    def family(self) -> str:
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
    return Variant(name, about, () if name == over else (Over(over),), OURS, settings, share)


def _step(name: str, about: str, settings: Mapping[str, Any]) -> Variant:
    return _ours(f"step/{name}", f"constraint: {about}", "step/none", settings)


def _rest(name: str, about: str, settings: Mapping[str, Any], share: float | None = None) -> Variant:
    return _ours(name, about, f"method/{OURS}", settings, share)


def _private(name: str, about: str, settings: Mapping[str, Any]) -> Variant:
    given = {"privacy.name": "bench", "privacy.epsilon": EPSILON, "unlearn.epochs": MANY_EPOCHS}
    secure = {"privacy.protect": "both", "privacy.randomness": "secure"}
    return _rest(f"private/{name}", about, {**given, **secure, **settings})


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
    _rest("attention/biased", "key biases", {"method.unlearn_key_bias": -1.0, "method.preserve_key_bias": 1.0}),
    _rest("attention/kept", "attention of some layers kept", {"method.attention_weight": 1.0}),
    _rest("loop/micro_batch", "forwards of 8 items", {"unlearn.micro_batch": 8}),
    _rest("loop/checkpointing", "activations computed again", {"unlearn.checkpointing": True}),
    _rest("loop/packing", "texts share rows", {"unlearn.packing": True}),
)


def methods(config: DictConfig) -> dict[str, DictConfig]:
    """The methods to measure, by name: every file of conf/method, with `config`'s own settings where it is that one.

    A method of the user's own, which is in none of these files, is there under the name of its class.
    """
    paths = sorted((conf_dir() / "method").glob("*.yaml"))
    found: dict[str, Any] = {path.stem: OmegaConf.load(path) for path in paths}
    chosen = config.method
    same = [name for name, node in found.items() if node["_target_"] == chosen["_target_"]]

    def agreement(name: str) -> int:
        return sum(chosen.get(key) == value for key, value in found[name].items())

    own = max(same, key=agreement) if same else str(chosen["_target_"]).rpartition(".")[2].lower()
    return {**found, own: chosen}


def variants(config: DictConfig) -> dict[str, Variant]:
    """Everything that can be measured, by name, each after what it is compared with."""
    found = [*REFERENCES]
    for name, node in methods(config).items():
        kind: type[Method] = component_class(node, config.plugins)
        plain = PLAIN[kind.labels]
        # Of one that forgets and keeps by losses of its own, two training steps are the plain way to both.
        more = {OURS: (Over(plain, 2),), "npo": (Over(PEER),)}.get(name, ())
        about = first_comment(path) if (path := conf_dir() / "method" / f"{name}.yaml").is_file() else name
        found.append(Variant(f"method/{name}", about, (Over(plain), *more), name))
    return {variant.name: variant for variant in (*found, *STEPS, *EVALUATIONS)}


def chosen_variants(config: DictConfig) -> dict[str, Variant]:
    """The variants that `bench.only` names, by name or family, and what they are compared with, in the usual order.

    Raises:
        ConfigError: a name that is none, with the nearest one.
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
    waiting = list(names)
    while waiting:
        fresh = {over.name for over in every[waiting.pop()].over} - names
        names |= fresh
        waiting += fresh
    return {name: variant for name, variant in every.items() if name in names}


def configured(config: DictConfig, variant: Variant) -> DictConfig:
    """The configuration of a variant: that of the command with the variant's method and settings.

    Raises:
        ConfigError: what the variant sets does not go together with the rest.
    """
    found = copy.deepcopy(config)
    if variant.method:
        found.method = copy.deepcopy(methods(config)[variant.method])
    for key, value in {**NO_PRIVACY, **variant.settings}.items():
        OmegaConf.update(found, key, value)
    if problems := list(_said(variant, check(found))):
        raise ConfigError("\n".join(problems))
    return found


def _said(variant: Variant, problems: Iterator[str]) -> Iterator[str]:
    yield from (f"{variant.name}: {problem}" for problem in problems)


def with_adapter_share(config: DictConfig, share: float | None, adapter: int, base: int) -> DictConfig:
    """Set how many coordinates may change as a share of the `adapter`'s parameters; `base` counts the model's."""
    if share is None:
        return config
    found = copy.deepcopy(config)
    OmegaConf.update(found, f"{SPARSITY}fraction", share * adapter / base)
    return found


def ratios_of(chosen: Mapping[str, Variant]) -> Sequence[tuple[str, Over]]:
    """What is compared with what."""
    return [(name, over) for name, variant in chosen.items() for over in variant.over]
