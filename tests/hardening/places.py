"""Paths of every setting that names one, where the system refuses: permissions, wrong kinds of file, long names.

Rows run without the capabilities by which root ignores permissions.
"""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from duolearn_cli.files import ASSETS
from tests.hardening.row import Row

PLAN = ("unlearn", "+forget=surgery", "--dry-run")
OLD_RUN = Path(__file__).parents[1] / "fixtures" / "before_the_packages" / "finished"
TREE = "id,name\n1,heart\n"


def file(content: str) -> Callable[[Path], object]:
    return lambda path: path.write_text(content, encoding="utf-8")


def copied(source: Path) -> Callable[[Path], object]:
    return lambda path: shutil.copytree(source, path, copy_function=shutil.copyfile)


@dataclass(frozen=True)
class Place:
    """A setting that names a path.

    Attributes:
        words: the command line; {path} is the path.
        make: makes what the setting wants; None: the command makes it.
        named: what a message must contain beside the path's last part.
    """

    words: tuple[str, ...]
    make: Callable[[Path], object] | None
    is_folder: bool = False


RUNS = ("unlearn", "+forget=surgery", "unlearn.epochs=1", "learn.epochs=1", "split.max_forget=4", "split.max_retain=4")
PLACES: dict[str, Place] = {
    "dataset.path": Place((*PLAN, "dataset=local", "dataset.path={path}.csv"), None),
    "hierarchy.path": Place(("hierarchy", "check", "hierarchy=csv", "hierarchy.path={path}"), file(TREE)),
    "hierarchy.path_obo": Place(("hierarchy", "check", "hierarchy=obo", "hierarchy.path={path}"), file("x")),
    "hierarchy.path_mesh": Place(("hierarchy", "check", "hierarchy=mesh", "hierarchy.path={path}"), file("<x/>")),
    "model.path": Place((*PLAN, "model=local", "model.path={path}"), copied(ASSETS / "tiny"), True),
    "config_dir": Place((*PLAN, "--config-dir", "{path}"), lambda path: path.mkdir(), True),
    "run_verify": Place(("verify", "run={path}"), copied(OLD_RUN), True),
    "run_evaluate": Place(("evaluate", "run={path}", "--dry-run"), copied(OLD_RUN), True),
    "run_report": Place(("report", "run={path}"), copied(OLD_RUN), True),
    "run_export": Place(("export", "run={path}", "--dry-run"), copied(OLD_RUN), True),
    "run_purge": Place(("purge", "run={path}", "--dry-run"), copied(OLD_RUN), True),
    "resume": Place(("unlearn", "resume={path}"), copied(OLD_RUN), True),
    "adapter": Place((*PLAN, "adapter={path}"), copied(OLD_RUN / "adapter"), True),
    "after": Place((*PLAN, "after={path}"), copied(OLD_RUN), True),
    "learn.gold": Place((*PLAN, "learn.skip=true", "learn.gold={path}"), copied(OLD_RUN / "adapter"), True),
    "lm_eval": Place(("evaluate", "+forget=surgery", "--dry-run", "evaluation.lm_eval={path}"), file("{}")),
    "patient_key": Place((*PLAN, "patient_key={path}"), file("k" * 64)),
    "record.sign": Place((*PLAN, "record.sign={path}"), file("x")),
    "verify.public_key": Place(("verify", f"run={OLD_RUN}", "verify.public_key={path}"), file("x")),
    "output_dir": Place((*RUNS, "output_dir={path}"), None, True),
    "run_dir": Place((*RUNS, "run_dir={path}"), None, True),
    "cache_dir": Place((*RUNS, "cache_dir={path}"), None, True),
    "export_path": Place(("hierarchy", "import", "hierarchy=medical4", "export_path={path}"), None),
    "data_export": Place(("data", "export", "export_path={path}"), None),
}


def _closed(path: Path) -> None:
    path.chmod(0)


def _replaced(make: Callable[[Path], object]) -> Callable[[Path], object]:
    def act(path: Path) -> None:
        if path.is_dir():
            shutil.rmtree(path)
        path.unlink(missing_ok=True)
        make(path)

    return act


def _socket(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # the name of a socket has at most 107 bytes
    socket.socket(socket.AF_UNIX).bind(path.name)
    os.chdir(here)


# What is done to a place, to one that is read and to one that is made.
FAULTS: dict[str, Callable[[Path], object]] = {
    "closed": _closed,
    "dangling_link": _replaced(lambda path: path.symlink_to("nowhere")),
    "circle_of_links": _replaced(lambda path: path.symlink_to(path.name)),
    "pipe": _replaced(lambda path: os.mkfifo(path)),
    "socket": _replaced(_socket),
    "other_kind": lambda path: None,  # a folder in place of a file, a file in place of a folder
    "below_a_file": lambda path: None,
    "in_a_closed_folder": lambda path: path.parent.chmod(0),
    "in_a_read_only_folder": lambda path: path.parent.chmod(0o555),
    "long_name": lambda path: None,
    "device": lambda path: None,
}
ONLY_MADE, ONLY_READ = ("in_a_read_only_folder",), ("closed",)


def rows() -> Iterator[Row]:
    for name, place in PLACES.items():
        for fault in FAULTS:
            if not _fits(fault, place):
                continue
            path = {"below_a_file": "box/file/it", "long_name": "box/" + "n" * 300, "device": "/dev/null"}.get(fault)
            words = tuple(word.replace("{path}", path or "box/it") for word in place.words)
            part = words_part(path or "box/it")
            quick = (name, fault) in (("hierarchy.path", "closed"), ("resume", "closed"), ("run_verify", "pipe"))
            yield Row(f"{name}-{fault}", words, (part,), {"box/it": maker(place, fault)}, quick=quick)


def words_part(path: str) -> str:
    return path.rpartition("/")[2][:200]


def _fits(fault: str, place: Place) -> bool:
    if fault in ONLY_MADE:
        return place.make is None and "dataset=local" not in place.words
    if fault in ONLY_READ:
        return place.make is not None
    return True


def maker(place: Place, fault: str) -> Callable[[Path], object]:
    """Make the path of a place and then its fault."""

    def make(path: Path) -> None:
        spared = "dataset=local" in place.words
        path = path.with_name(f"{path.name}.csv") if spared and fault != "below_a_file" else path
        (path.parent / "file").write_text("x")
        if fault == "other_kind":
            path.write_text("x") if place.is_folder else path.mkdir()
            return
        if place.make:
            place.make(path)
        FAULTS[fault](path)

    return make


def inner() -> Iterator[Row]:
    """Files and folders inside a folder that is itself in order."""
    for name, words, parts in (
        ("run.json", ("evaluate", "run=box/it", "--dry-run"), ("run.json",)),
        ("config.yaml", ("evaluate", "run=box/it", "--dry-run"), ("config.yaml",)),
        ("metrics.json", ("report", "run=box/it"), ("metrics.json",)),
        ("history.jsonl", ("report", "run=box/it"), ("history.jsonl",)),
        ("adapter", ("evaluate", "run=box/it", "--dry-run"), ("adapter",)),
        ("adapter/adapter_model.safetensors", ("evaluate", "run=box/it", "--dry-run"), ("adapter",)),
        ("adapter/adapter_config.json", (*PLAN, "adapter=box/it/adapter"), ("adapter",)),
    ):
        for fault in ("closed", "circle_of_links", "pipe"):
            yield Row(f"run-{name.replace('/', '_')}-{fault}", words, parts, {"box/it": _inner(OLD_RUN, name, fault)})
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        for fault in ("closed", "circle_of_links", "pipe"):
            words = (*PLAN, "model=local", "model.path=box/it")
            yield Row(f"model-{name}-{fault}", words, (name,), {"box/it": _inner(ASSETS / "tiny", name, fault)})
    for name in ("method", "method/mine.yaml"):
        words = (*PLAN, "method=mine", "--config-dir", "box/it")
        yield Row(f"config_dir-{name.replace('/', '_')}-closed", words, (name,), {"box/it": _config_dir(name)})


def _inner(source: Path, name: str, fault: str) -> Callable[[Path], object]:
    def make(path: Path) -> None:
        copied(source)(path)
        FAULTS[fault](path / name)

    return make


def _config_dir(name: str) -> Callable[[Path], object]:
    def make(path: Path) -> None:
        (path / "method").mkdir(parents=True)
        (path / "method" / "mine.yaml").write_text("_target_: duolearn_cli.methods.npo.NPO\n")
        (path / name).chmod(0)

    return make
