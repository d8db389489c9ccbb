"""How often modules are used within one forward: weights may be shared by layers, a router asked twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from itertools import takewhile
from typing import Any

from torch import nn
from torch.utils.hooks import RemovableHandle


class ModuleUses:
    """`current` counts uses in the forward under way; each forward has a counter of its own, which is kept.

    A forward begins where a module of `network` that holds all `followed` ones is called from outside of those. Where
    none is, everything counts as one forward.
    """

    def __init__(self, network: nn.Module, followed: Collection[nn.Module]) -> None:
        self.current: Counter[nn.Module] = Counter()
        self._holders, self._depth = _holders(network, followed), 0

    def hooks(self) -> list[RemovableHandle]:
        """Begin to watch forwards, until the hooks are removed."""
        self.current, self._depth = Counter(), 0
        hooks = [module.register_forward_pre_hook(self._enter) for module in self._holders]
        return hooks + [module.register_forward_hook(self._leave, always_call=True) for module in self._holders]

    def _enter(self, module: nn.Module, inputs: Any) -> None:
        if not self._depth:
            self.current = Counter()
        self._depth += 1

    def _leave(self, module: nn.Module, inputs: Any, output: Any) -> None:
        self._depth -= 1


def _holders(network: nn.Module, followed: Collection[nn.Module]) -> list[nn.Module]:
    """The modules that all `followed` ones are inside of, the outermost first."""
    paths = [name.split(".")[:-1] for name, module in network.named_modules() if name and module in followed]
    shared = [parts[0] for parts in takewhile(lambda parts: len(set(parts)) == 1, zip(*paths, strict=False))]
    return [network.get_submodule(".".join(shared[:i])) for i in range(len(shared) + 1)] if paths else []
