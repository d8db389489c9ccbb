"""Folders of ``--config-dir`` that would run code, and files in them that are no configuration."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tests.hardening.contents import CONTENTS
from tests.hardening.row import Row

NPO = "_target_: duolearn_cli.methods.npo.NPO\nbeta: 0.1\nretain_weight: 1\n"
HOSTILE: dict[str, tuple[str, str]] = {
    "callbacks": ("forget/x.yaml", "# @package _global_\nhydra: {callbacks: {x: {_target_: os.system}}}\n"),
    "callbacks_by_package": ("forget/x.yaml", "# @package hydra.callbacks\nx: {_target_: os.system}\n"),
    "hydra_by_package": ("forget/x.yaml", "# @package hydra\ncallbacks: {x: {_target_: os.system}}\n"),
    "plugins": ("method/x.yaml", "# @package _global_\nplugins: [evil]\n"),
    "plugins_by_package": ("method/x.yaml", "# @package plugins\n- evil\n"),
    "command_replaced": ("unlearn.yaml", "plugins: [evil]\n"),
    "command_replaced_hydra": ("unlearn.yaml", "hydra: {run: {dir: /tmp/x}}\n"),
    "defaults_override": ("forget/x.yaml", "defaults:\n- override /hydra/launcher: evil\n"),
    "defaults_group": ("forget/x.yaml", "defaults:\n- /hydra/callbacks: evil\n"),
    "defaults_text": ("forget/x.yaml", "defaults:\n- /hydra/callbacks/evil\n"),
    "group_of_hydra": ("hydra/callbacks/evil.yaml", "x: {_target_: os.system}\n"),
    "launcher_of_hydra": ("hydra/launcher/evil.yaml", "_target_: os.system\n"),
    "dotted_key": ("forget/x.yaml", "# @package _global_\nhydra.callbacks.x: {_target_: os.system}\n"),
    "alias": ("forget/x.yaml", "a: &a [1]\nb: *a\n"),
    "list": ("method/x.yaml", "- 1\n"),
    "text": ("method/x.yaml", "hello\n"),
    "tag": ("method/x.yaml", "a: !!python/object/apply:os.system [id]\n"),
    "tab": ("method/x.yaml", "a:\n\t- 1\n"),
    "huge": ("method/x.yaml", "a: '" + "x" * 1_000_001 + "'\n"),
}
HARMLESS: dict[str, tuple[str, str]] = {
    "method": ("method/x.yaml", NPO),
    "comment_only": ("method/x.yaml", "# nothing\n"),
    "key_called_plugins_below_a_group": ("method/x.yaml", NPO + "plugins: 1\n"),
    "global": ("model/x.yaml", "# @package _global_\nmodel: {name: x}\n"),
    "no_yaml": ("method/notes.txt", "hydra: 1\n"),
}


def checked(folder: Path) -> None:
    from duolearn_cli.config.own_groups import check_own_groups

    check_own_groups(folder / "own")


def rows() -> Iterator[Row]:
    for kind, (name, text) in HOSTILE.items():
        named, quick = name.rpartition("/")[2], kind in ("callbacks", "plugins")
        yield Row(kind, checked, (named,), {f"own/{name}": text}, quick=quick)
    for kind, (name, text) in HARMLESS.items():
        yield Row(kind, checked, (), {f"own/{name}": text}, status=0)
    for kind in ("nul_bytes", "random_bytes", "latin1", "deep_lists", "deep_objects", "yaml_bomb", "png"):
        yield Row(f"content-{kind}", checked, ("x.yaml",), {"own/method/x.yaml": CONTENTS[kind]})
    yield Row("file", checked, ("--config-dir",), {"own": "x"})
    yield Row("missing", checked, ("--config-dir",))
    words = ("unlearn", "+forget=surgery", "method=x", "--dry-run", "--config-dir", "own")
    yield Row("command", words, ("plugins",), {"own/method/x.yaml": HOSTILE["plugins"][1]})
