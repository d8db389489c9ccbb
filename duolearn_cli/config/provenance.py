"""What made a run, by content: the code of this package and of plugins, and the class of the machine."""

from __future__ import annotations

import hashlib
import platform
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from duolearn_cli.config.version import __version__
from duolearn_cli.files import PACKAGE, conf_dir, file_hash


def code(plugins: Sequence[str] = ()) -> dict[str, Any]:
    """Version, hash of the source files, git commit (None outside a checkout), and the hash of each plugin module.

    Attributes of the commit: ``changed`` says that files differ from it.
    """
    return {
        "version": __version__,
        "source": tree_hash(source_files()),
        **_commit(PACKAGE.parent),
        "plugins": {name: tree_hash(_files_of_module(name)) for name in plugins},
    }


def host() -> dict[str, str]:
    """The class of this machine: nothing that tells one machine of the class from another."""
    return {"system": platform.system(), "machine": platform.machine()}


def source_files() -> dict[str, Path]:
    """The files of this package by their names in its wheel, whether it runs from a wheel or a checkout."""
    own = {f"{PACKAGE.name}/{name}": path for name, path in _files_below(PACKAGE)}
    settings = {f"{PACKAGE.name}/conf/{name}": path for name, path in _files_below(conf_dir())}
    return own | settings


def tree_hash(files: Mapping[str, Path]) -> str:
    """SHA-256 of what ``sha256sum`` prints of these files in the order of their names."""
    lines = [f"{file_hash(files[name])}  {name}\n" for name in sorted(files)]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _files_below(folder: Path) -> Iterator[tuple[str, Path]]:
    """Files with their names relative to `folder`, without what Python and file managers leave there."""
    for path in folder.rglob("*"):
        inside = path.relative_to(folder)
        if path.is_file() and not any(part.startswith((".", "__pycache__")) for part in inside.parts):
            yield inside.as_posix(), path


def _files_of_module(name: str) -> dict[str, Path]:
    """The files of a module that has been imported: of a package all of its folder; none of a built-in module."""
    file = getattr(sys.modules.get(name), "__file__", None)
    if file is None:
        return {}
    path = Path(file)
    return dict(_files_below(path.parent)) if path.stem == "__init__" else {path.name: path}


def _commit(root: Path) -> dict[str, Any]:
    """The commit that is checked out in `root`, and whether files differ from it."""
    # From an installed package git would find a repository further up: that of a project around its virtual
    # environment.
    found = _git(root, "rev-parse", "HEAD") if (root / ".git").exists() else None
    changed = bool(_git(root, "status", "--porcelain", "--", PACKAGE.name, "conf")) if found else None
    return {"commit": found, "changed": changed}


def _git(root: Path, *arguments: str) -> str | None:
    """What git prints; None where it fails or is not installed."""
    try:
        done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=False)
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None
