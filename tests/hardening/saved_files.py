"""Files that runs write, damaged or changed by others before they are read again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tests.hardening.row import Act, Row

FIXTURES = Path(__file__).parents[1] / "fixtures" / "before_the_packages"
FINISHED, INTERRUPTED = FIXTURES / "finished", FIXTURES / "interrupted"
STEP = "checkpoints/step-000002"
WHOLE: dict[str, bytes] = {
    "empty": b"",
    "cut": b'{"schema": 1, "comm',
    "list": b"[1, 2]",
    "null": b"null",
    "number": b"5",
    "text": b'"x"',
    "not_utf8": b'{"schema": "\xff\xfe"}',
    "deep": b"[" * 50_000,
    "nul_bytes": bytes(300),
    "newer_schema": b'{"schema": 99}',
    "schema_text": b'{"schema": "one"}',
    "schema_true": b'{"schema": true}',
    "schema_null": b'{"schema": null}',
    "schema_negative": b'{"schema": -1}',
    "empty_object": b"{}",
    "huge_number": b'{"schema": ' + b"9" * 10_000 + b"}",
}


def open_run(folder: Path) -> object:
    from duolearn_cli.pipeline.run_folder import Run

    return Run.open(folder / "run")


def load_checkpoint(folder: Path) -> object:
    """Read the checkpoint up to where the network would be needed."""
    from duolearn_cli.training import checkpoint

    latest = checkpoint.latest_checkpoint(folder / "run" / "checkpoints")
    assert latest
    model: Any = SimpleNamespace(load_adapter=lambda where: None)
    processes: Any = SimpleNamespace(sharded=False, count=1, rank=0)
    return checkpoint.load_checkpoint(latest, "d0f2bfafaeed11dd", model, processes)


def read_changes(folder: Path) -> object:
    from duolearn_cli.evaluation.metrics.change import read_changes

    adapter = folder / "run" / "adapter" / "adapter_model.safetensors"
    return read_changes(adapter, adapter)


def report(folder: Path) -> object:
    from duolearn_cli.report.page import write_report

    return write_report(folder / "run")


def resumed_history(folder: Path) -> object:
    from duolearn_cli.pipeline.run_folder import Run

    return Run(folder / "run").forget_history_after("unlearn", 2)


def account(folder: Path) -> object:
    from duolearn_cli.privacy.account import read_account

    return read_account(folder / "run")


def chain(folder: Path) -> object:
    from duolearn_cli.pipeline.requests import examine

    return examine(folder / "run")


FILES: dict[str, tuple[Path, Act, tuple[str, ...]]] = {
    "run.json": (FINISHED, open_run, ()),
    f"{STEP}/state.json": (INTERRUPTED, load_checkpoint, ()),
    "adapter/adapter_config.json": (FINISHED, read_changes, ("schema_",)),
    "metrics.json": (FINISHED, report, ()),
    "privacy.json": (FINISHED, account, ()),
    "requests.json": (FINISHED, chain, ()),
}


def run(source: Path, change: Callable[[Path], object]) -> dict[str, Act]:
    def make(path: Path) -> None:
        shutil.copytree(source, path)
        change(path)

    return {"run": make}


def put(name: str, content: bytes) -> Callable[[Path], object]:
    return lambda path: (path / name).write_bytes(content)


def fields(name: str, **values: Any) -> Callable[[Path], object]:
    def change(path: Path) -> None:
        found = json.loads((path / name).read_text()) | values
        (path / name).write_text(json.dumps({key: value for key, value in found.items() if value is not ...}))

    return change


RUN_FIELDS: dict[str, tuple[Any, ...]] = {
    "status": (5, None, [], True),
    "command": (5, None, ["a"]),
    "overrides": ("x", None, {}),
    "limits": ([], "x", None),
    "seeds": ([], 5),
    "versions": (None, "x"),
    "pid": ("x", None, 1.5, True),
    "started": (5,),
    "weights": (5, []),
    "target_model": (5, None),
    "purged": ("x", [1]),
    "tags": ("x", None, {}),
}
STATE_FIELDS: dict[str, tuple[Any, ...]] = {
    "step": (1_000_000, -5, "2", 2.0, None, True, ...),
    "schema": (1, 3, "2", None, ...),
    "signature": ("other", None, 5, ...),
    "parts": (2, "1", None, ...),
}
LORA_FIELDS: dict[str, tuple[Any, ...]] = {"r": ("x", None, [], ..., True), "lora_alpha": ("x", None, ...)}
CONFIGS: dict[str, bytes] = {
    "empty": b"",
    "list": b"- a\n- b\n",
    "number": b"5",
    "cut": b"command: [a, b",
    "not_utf8": b"command: \xff\xfe",
    "nul": b"command: a\0b",
    "unknown_key": b"frobnicate: 1\n",
    "wrong_type": b"learn: 5\n",
    "wrong_type_inside": b"learn: {epochs: many}\n",
    "list_for_an_object": b"learn: [1]\n",
    "tag": b"command: !!python/object/apply:os.system [id]\n",
    "twice": b"command: a\ncommand: b\n",
    "environment": b"name: ${oc.env:HOME}\n",
    "environment_in_a_list": b"tags: ['${oc.env:HOME}']\n",
    "environment_in_a_component": b"dataset: {_target_: x, path: '${oc.env:HOME}'}\n",
    "environment_in_a_key": b"measures: {'${oc.env:HOME}': {}}\n",
    "interpolation": b"name: ${command}\n",
    "interpolation_broken": b"name: ${\n",
    "hydra": b"hydra: {callbacks: {x: {_target_: os.system}}}\n",
    "bomb": b"a: &a [x,x,x,x,x,x,x,x,x]\n"
    + b"".join(b"%c: &%c [%s]\n" % (98 + i, 98 + i, b",".join([b"*%c" % (97 + i)] * 9)) for i in range(9)),
    "deep": b"a: " + b"[" * 5000,
    "recursive_alias": b"a: &a [*a]\n",
}
METRIC_VALUES = {"gone": ..., "null": None, "number": 5, "list": [1], "text": "x", "object": {"a": 1}}
HISTORIES: dict[str, tuple[bytes, int]] = {
    "torn_last_line": (b'{"stage": "unlearn", "step": 1}\n{"stage": "unl', 0),
    "torn_after_a_number": (b'{"stage": "unlearn", "step": 1}\n5', 0),
    "no_last_line_end": (b'{"stage": "unlearn", "step": 1}', 0),
    "only_a_torn_line": (b'{"sta', 0),
    "empty": (b"", 0),
    "blank_lines": (b"\n\n", 0),
    "broken_in_the_middle": (b'{"sta\n{"stage": "unlearn", "step": 1}\n', 2),
    "list": (b'[1]\n{"stage": "unlearn", "step": 1}\n', 2),
    "no_step": (b'{"stage": "unlearn"}\n', 2),
    "step_text": (b'{"stage": "unlearn", "step": "1"}\n', 2),
    "stage_number": (b'{"stage": 5, "step": 1}\n', 2),
    "not_utf8": (b'{"stage": "\xff", "step": 1}\n', 2),
    "nul_bytes": (bytes(200) + b"\n", 2),
    "two_in_a_line": (b'{"stage": "a", "step": 1}{"stage": "a", "step": 2}\n', 2),
}


def rows() -> Iterator[Row]:
    for name, (source, act, spared) in FILES.items():
        for kind, content in WHOLE.items():
            if not kind.startswith(spared or ("-",)) and not (spared and kind == "newer_schema"):
                named = name.rpartition("/")[2] if "state" not in name else "step-000002"
                quick = kind in ("cut", "newer_schema")
                yield Row(f"{name}-{kind}", act, (named,), run(source, put(name, content)), quick=quick)
    for table, name, source, act in (
        (RUN_FIELDS, "run.json", FINISHED, open_run),
        (STATE_FIELDS, f"{STEP}/state.json", INTERRUPTED, load_checkpoint),
        (LORA_FIELDS, "adapter/adapter_config.json", FINISHED, read_changes),
    ):
        for key, values in table.items():
            for value in values:
                shown = "gone" if value is ... else json.dumps(value)
                named = "step-000002" if "state" in name else name.rpartition("/")[2]
                files = run(source, fields(name, **{key: value}))
                yield Row(f"{name}-{key}={shown}", act, (named,), files, quick=value == -5)
    for kind, content in CONFIGS.items():
        yield Row(
            f"config.yaml-{kind}",
            open_run,
            ("config.yaml",),
            run(FINISHED, put("config.yaml", content)),
            quick=kind in ("environment", "bomb"),
        )
    for kind, (content, status) in HISTORIES.items():
        for reader, act in (("resume", resumed_history),):
            named = ("history.jsonl",) if status else ()
            files = run(FINISHED, put("history.jsonl", content))
            yield Row(f"history-{reader}-{kind}", act, named, files, status, quick=kind == "torn_last_line")


def metrics() -> Iterator[Row]:
    """Every key of metrics.json with other values. A report may do without it, or name the file; no more."""
    for key in json.loads((FINISHED / "metrics.json").read_text()):
        for kind, value in METRIC_VALUES.items():
            files = run(FINISHED, fields("metrics.json", **{key: value}))
            yield Row(f"metrics.json-{key}-{kind}", report, ("metrics.json",), files)
