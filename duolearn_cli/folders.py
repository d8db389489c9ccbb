"""Where things lie: the configuration folder, embedded assets, the user's cache."""

from __future__ import annotations

import os
from pathlib import Path

PACKAGE = Path(__file__).parent
ASSETS = PACKAGE / "assets"


def conf_dir() -> Path:
    """The configuration folder: inside the package when installed from a wheel, else that of the checkout."""
    installed = PACKAGE / "conf"
    return installed if installed.is_dir() else PACKAGE.parent / "conf"


def cache_dir(configured: str | None) -> Path:
    """The folder for target and gold models and fetched weights: `configured`, $DUOLEARN_CACHE or the user's cache."""
    chosen = configured or os.environ.get("DUOLEARN_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    import platformdirs

    return Path(platformdirs.user_cache_dir("duolearn"))


def groups(extra: Path | None = None) -> dict[str, dict[str, str]]:
    """Return the configuration groups: {group: {option: its first comment line}}, read from the folders."""
    found: dict[str, dict[str, str]] = {}
    for root in filter(None, (conf_dir(), extra)):
        for path in sorted(root.glob("*/*.yaml")):
            found.setdefault(path.parent.name, {})[path.stem] = first_comment(path)
    return found


def first_comment(path: Path) -> str:
    """The first comment of a YAML file that is no package directive: its description."""
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("#") and "@package" not in line:
            return line.lstrip("# ").strip()
    return ""
