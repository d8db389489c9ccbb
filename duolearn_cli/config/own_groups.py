"""Check the files of ``--config-dir`` before Hydra composes them: they may set values, and run nothing.

A folder of groups is passed on between users. What runs code (Hydra's callbacks, launchers and job settings, and
`plugins`) is taken from the command line alone, where whoever starts the run has written it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from duolearn_cli.config.safe_yaml import yaml_fault
from duolearn_cli.errors import ConfigError
from duolearn_cli.files import read_text, reason

PACKAGE = re.compile(r"^#\s*@package\s+(\S+)", re.MULTILINE)
# Files are a few kilobytes; the parser's time grows with their size.
MOST_BYTES = 1_000_000


def check_own_groups(folder: Path | None) -> None:
    """Check every YAML file of the folder of ``--config-dir``.

    Raises:
        ConfigError: the folder or a file cannot be read, is no YAML, or would run code. One problem a line.
    """
    if folder is None:
        return
    try:
        if not folder.is_dir():
            what = "a file, not a folder" if folder.exists() else "not there"
            raise ConfigError(f"--config-dir {folder}: this is {what}; give the folder of your configuration groups.")
        files = sorted(
            path for path in (*folder.glob("*.yaml"), *folder.glob("*/*.yaml"), *folder.glob("hydra/**/*.yaml"))
        )
        for inner in folder.iterdir():
            if inner.is_dir():
                next(inner.iterdir(), None)  # glob passes over folders that it may not open
    except (OSError, ValueError) as error:
        where = getattr(error, "filename", None) or folder
        raise ConfigError(f"--config-dir {folder}: {where} cannot be read: {reason(error)}.") from error
    if problems := [f"{path}: {fault}" for path in dict.fromkeys(files) for fault in _faults(path, folder)]:
        raise ConfigError("\n".join(problems))


def _faults(path: Path, folder: Path) -> Iterator[str]:
    text = read_text(path, ConfigError)
    if len(text) > MOST_BYTES:
        yield f"{len(text):,} characters; a configuration has at most {MOST_BYTES:,}."
        return
    parsed = _parsed(text)
    if isinstance(parsed, str):
        yield parsed
        return
    (document,) = parsed
    if path.relative_to(folder).parts[0] == "hydra":
        yield "settings of Hydra come from the command line alone; take this file out of the folder."
    elif isinstance(document, dict):
        yield from _runs_code(document, _package(text, path, folder))
    elif document is not None:
        yield f"a YAML object is needed, found {str(document)[:40]!r}."


def _parsed(text: str) -> tuple[Any] | str:
    """The document, or why it is none."""
    import yaml

    if fault := yaml_fault(text):
        return f"{fault}."
    try:
        return (yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)),)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        return f"not YAML: {' '.join(str(error).split())[:200]}."


def _package(text: str, path: Path, folder: Path) -> str:
    """Where Hydra puts the content of a file: at the top (``_global_``), or below its group."""
    named = PACKAGE.search(text)
    if named:
        return named[1]
    return "_global_" if path.parent == folder else path.parent.name


def _runs_code(document: dict[Any, Any], package: str) -> Iterator[str]:
    top = package in ("_global_", "_root_")
    keys = {str(key).partition(".")[0] for key in document} if top else {re.split(r"[.\[]", package)[0]}
    for key in sorted(keys & {"hydra", "plugins"}):
        yield f"{key} can run code, so it comes from the command line alone; take it out of the file."
    for entry in document.get("defaults") or [] if isinstance(document.get("defaults"), list) else []:
        if "hydra" in re.split(r"[\s/@:]+", str(next(iter(entry)) if isinstance(entry, dict) and entry else entry)):
            yield f"defaults: {entry}: settings of Hydra come from the command line alone; take the line out."
