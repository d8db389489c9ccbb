"""The handle of a loaded model, which is valid as long as its weights are the ones in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from duolearn_cli.model.encoding import Encoder
from duolearn_cli.model.language_model import LanguageModel, Mark
from duolearn_cli.pipeline.model_cache import ModelCache
from duolearn_cli.pipeline.study import Study
from duolearn_cli.report.terminal import Display


class StaleModelError(RuntimeError):
    """A `LoadedModel` is used although its weights are no longer in memory. This is a bug, not a user error."""


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """The handle of one model of a study, valid as long as its weights are the ones in memory.

    There is only one network; loading a model changes its adapter. Functions that evaluate a model take this handle.
    `model` refuses a handle once weights have been loaded, drawn or trained, by whomever; `keep` also compares every
    byte of the weights. So nothing is cached under the wrong name.

    Attributes:
        name: ``base``, ``target``, ``gold`` or ``unlearned``.
        cache: holds results about this model; None: they are not cached.
        mark: that of the network at the time of loading.
        checksum: of the weights at the time of loading.
    """

    name: str
    network: LanguageModel
    study: Study
    encoder: Encoder
    display: Display
    cache: ModelCache | None
    mark: Mark
    checksum: str

    @property
    def model(self) -> LanguageModel:
        """The network. Raises StaleModelError if it holds other weights than those that were loaded."""
        if self.network.mark is not self.mark:
            raise StaleModelError(f"{self.name} was loaded, and {self.network.mark.origin} is in memory now")
        return self.network

    def keep(self, kind: str, key: Any, make: Callable[[], Any]) -> Any:
        """Return the result of `make` about this model, from the cache if it has it. Results must be JSON values.

        Args:
            kind: the kind of result, part of the file name.
            key: everything else that the result depends on.
            make: computes the result.

        Raises:
            StaleModelError: the network holds other weights than those that were loaded.
        """
        # Code that writes into the parameters and renews no mark is seen by the checksum alone.
        if self.model.checksum() != self.checksum:
            raise StaleModelError(f"the weights of {self.name} have changed since it was loaded")
        return self.cache.record(self.name, kind, key, make) if self.cache else make()

    def shard(self) -> LoadedModel:
        """Shard the layers over the processes. Return a new handle: each process now holds other tensors."""
        self.model.shard()
        return replace(self, mark=self.network.mark, checksum=self.network.checksum())
