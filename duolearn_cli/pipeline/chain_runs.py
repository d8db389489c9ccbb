"""Where the models lie that earlier requests of a chain have left: given, recorded, or beside the run."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from duolearn_cli.pipeline.requests import FILE, Chain

# From the folder above a run: runs beside it, runs of other days, and exported models.
BESIDE = (f"*/adapter/{FILE}", f"../*/*/adapter/{FILE}", f"*/{FILE}")


def earlier_models(chain: Chain, run: Path, after: str | None, given: Sequence[str] = ()) -> dict[int, Path]:
    """By number of the request, the folder with the adapter or merged model that it left.

    Only earlier requests are looked for, and only those whose folder is known are returned.

    Args:
        run: the run folder of the chain's last request.
        after: the folder that this run began with, as its configuration says.
        given: folders of the user, the first request first; they are taken as they are.
    """
    found = {number: model_folder(Path(folder)) for number, folder in enumerate(given, start=1)}
    # Known by its hash, whatever its name: folders may have moved since.
    numbers = {entry["hash"]: entry["number"] for entry in chain.entries[:-1]}
    for folder in _candidates(run, after):
        if number := numbers.get(last_hash(folder)):
            found.setdefault(number, folder)
    # The recorded folder that holds something else is returned too, so that it can be named.
    if after and (Path(after) / FILE).is_file() and len(chain.entries) > 1:
        found.setdefault(len(chain.entries) - 1, Path(after))
    return found


def model_folder(given: Path) -> Path:
    """The folder of the model in a run folder, or the given folder itself."""
    return given / "adapter" if (given / "adapter").is_dir() else given


def last_hash(model: Path) -> str | None:
    """The hash of the last request that is recorded beside a model; None without a readable record."""
    with suppress(OSError, ValueError, LookupError, TypeError):
        return json.loads((model / FILE).read_text(encoding="utf-8"))["requests"][-1]["hash"]
    return None


def _candidates(run: Path, after: str | None) -> Iterator[Path]:
    # First those beside the run: a copy of all runs of a chain is checked against itself.
    parent = run.resolve().parent
    for pattern in BESIDE:
        yield from (path.parent for path in sorted(parent.glob(pattern)))
    if after:
        yield Path(after)
