"""How often each module is used in one forward: layers may share weights, and a router may be called twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from itertools import takewhile
from typing import Any

from torch import nn
from torch.utils.hooks import RemovableHandle


class ModuleUses:
    """Counts the uses of `modules` in each forward of `network`.

    `current` is the counter of the forward in progress. Each forward gets a new counter, and a hook may keep the old
    one. A forward begins when a module that contains all of `modules` is called from outside such modules. Without such
    a call, everything counts as one forward.
    """

    def __init__(self, network: nn.Module, modules: Collection[nn.Module]) -> None:
        self.current: Counter[nn.Module] = Counter()
        self._ancestors, self._depth = _common_ancestors(network, modules), 0

    def hooks(self) -> list[RemovableHandle]:
        """Register hooks that notice the beginning of forwards, and return them for removal."""
        self.current, self._depth = Counter(), 0
        hooks = [module.register_forward_pre_hook(self._enter) for module in self._ancestors]
        # always_call: the depth must also go down when a forward raises an error.
        return hooks + [module.register_forward_hook(self._leave, always_call=True) for module in self._ancestors]

    def _enter(self, module: nn.Module, inputs: Any) -> None:
        if not self._depth:
            # A new counter instead of an empty one: hooks in the graph of an earlier forward still read the old one.
            self.current = Counter()
        self._depth += 1

    def _leave(self, module: nn.Module, inputs: Any, output: Any) -> None:
        self._depth -= 1


def _common_ancestors(network: nn.Module, modules: Collection[nn.Module]) -> list[nn.Module]:
    """Return the modules of `network` that contain all of `modules`, the outermost first."""
    paths = [name.split(".")[:-1] for name, module in network.named_modules() if name and module in modules]
    shared = [parts[0] for parts in takewhile(lambda parts: len(set(parts)) == 1, zip(*paths, strict=False))]
    return [network.get_submodule(".".join(shared[:i])) for i in range(len(shared) + 1)] if paths else []
