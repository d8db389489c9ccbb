"""What a method is: a dataclass derived from `Method`, whose fields are its settings and whose hooks the runner reads.

A new method is one file beside this one and one YAML in conf/method. `methods.tokens` says what it sees.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from duolearn_cli.config.declarations import declaration_problems
from duolearn_cli.config.unlearning import GeometryConfig, SparsityConfig

if TYPE_CHECKING:
    from torch import Tensor

    from duolearn_cli.methods.tokens import Tokens

LABELS = ("answer", "text")

# A small space for tuning: values by setting, such as ``method.beta``; every combination is a run.
Search = Mapping[str, Sequence[float | str]]
# From the rates of large models to that of the embedded one, alike for all methods.
LEARNING_RATES = [1e-4, 5e-4, 1e-3, 5e-3]


@dataclass(frozen=True, slots=True)
class Attention:
    """What a method does to attention, and watches inside the model, while unlearning; evaluation never sees it.

    Attributes:
        unlearn_key_bias: added before the softmax to the scores of unlearning-targeted tokens as keys.
        preserve_key_bias: the same for preservation-critical tokens.
        kept_layers: in how many evenly spaced layers `Tokens.attention` is wanted; 0: it is not.
        depth: after which share of the layers `Tokens.activations` are wanted; 0: they are not.
    """

    unlearn_key_bias: float = 0.0
    preserve_key_bias: float = 0.0
    kept_layers: int = 0
    depth: float = 0.0

    @property
    def is_biased(self) -> bool:
        return bool(self.unlearn_key_bias or self.preserve_key_bias)


NO_ATTENTION = Attention()


@dataclass(frozen=True, eq=False)
class Objective:
    """Two losses to minimise, both scalars, a forward's share each: what drives forgetting, what keeps the rest."""

    forget: Tensor
    preserve: Tensor


class Method(ABC):
    """A method as configured: ``method._target_`` names a dataclass that derives from this class.

    Its fields are its settings. What this class declares are hooks: the runner reads them, and a method overrides those
    that it needs, by a class attribute, a property or, where users may set it, a field.

    Attributes:
        labels: which tokens the step needs: ``answer`` or ``text`` (question and answer). Every method says so.
        search: values for tuning, by setting; none: a benchmark tries the defaults alone.
        geometry: what constrains each update; nothing by default.
        sparsity: which coordinates may change; all by default.
        answer_form: whether `Labels.formed_nll` allows for the form of answers; false: it is `base_nll`.
    """

    labels: ClassVar[str]
    search: ClassVar[Search] = {}
    geometry: GeometryConfig = GeometryConfig(space="none")
    sparsity: SparsityConfig = SparsityConfig()
    answer_form: bool = False

    @property
    def attention(self) -> Attention:
        """How attention is changed, and which inner layers `Tokens` show; most methods need neither."""
        return NO_ATTENTION

    @abstractmethod
    def objective(self, tokens: Tokens) -> Objective:
        """This forward's share of the step's losses."""

    def result(self, start: Tensor, end: Tensor) -> Tensor:
        """What the run leaves in a tensor of the adapter that was `start` in the target and `end` after the loop.

        It works element by element, since each process of a sharded model has a part of a tensor, and reads no data, so
        that privacy is untouched.
        """
        return end

    def problems(self) -> Iterator[str]:
        """Yield settings that are fine alone and impossible together, one line each, without ``method.``."""
        yield from ()

    @classmethod
    def class_problems(cls) -> Iterator[str]:
        """Yield what makes this class no usable method, whatever its settings, one line each."""
        yield from declaration_problems(cls, Method)
        if (labels := getattr(cls, "labels", None)) not in LABELS:
            yield f"{cls.__name__}.labels is {labels!r}; allowed: {' or '.join(map(repr, LABELS))}."


def result_of(method: Method) -> Callable[[Tensor, Tensor], Tensor] | None:
    """Return the method's `result` if it overrides it; None: the end of the loop is the result."""
    return None if type(method).result is Method.result else method.result
