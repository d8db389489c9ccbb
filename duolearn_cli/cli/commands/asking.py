"""Before something is deleted for good: a typed yes."""

from __future__ import annotations

from omegaconf import DictConfig

from duolearn_cli.errors import RunError


def check_wanted(config: DictConfig, what: str) -> None:
    """Ask unless `yes` is set.

    Raises:
        RunError: the answer is another one, or there is nobody to ask.
    """
    if config.yes:
        return
    try:
        answer = input(f"delete {what} for good? Type yes: ")
    except (EOFError, OSError) as error:
        raise RunError("nobody answered, and nothing was deleted; give yes=true to delete without asking.") from error
    # The whole word: a stray "y" or Return must not delete anything.
    if answer.strip().casefold() != "yes":
        raise RunError("nothing was deleted: the answer was not yes.")
