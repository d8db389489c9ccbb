"""DuoLearn: remove specialised medical knowledge from a language model, keep the rest, and measure both."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from duolearn_cli.config.version import __version__ as __version__

if TYPE_CHECKING:
    from duolearn_cli.cli.api import FinishedRun, configure, evaluate, learn, retrain, unlearn

__all__ = ["FinishedRun", "__version__", "configure", "evaluate", "learn", "retrain", "unlearn"]


def __getattr__(name: str) -> Any:
    """Import the Python API when it is first used, so that `import duolearn_cli` stays fast."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("duolearn_cli.cli.api"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
