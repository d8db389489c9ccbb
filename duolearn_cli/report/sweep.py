"""After a sweep: one table of its jobs."""

from __future__ import annotations

from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig


class SweepTable(Callback):
    """Hydra callback that prints the results of a finished sweep."""

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        pass
