"""The one-page record of an erasure, made from a verified run: HTML to print and sign, and the same as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from duolearn_cli.errors import RunError
from duolearn_cli.evaluation.measures.central import FORGET_ACCURACY, FORGETTING, KEEPING
from duolearn_cli.evaluation.measures.measure import Measure
from duolearn_cli.files import write_json, write_text
from duolearn_cli.model.adapter_files import ADAPTER_FILE
from duolearn_cli.report import privacy
from duolearn_cli.report.page import render
from duolearn_cli.report.tables import cell

SCHEMA = 1
# The rows of the page: a model, a measure of it, and what the measure means.
RESULTS = (
    ("target", FORGET_ACCURACY, "questions about the erased topic answered right, before"),
    ("unlearned", FORGET_ACCURACY, "the same, after"),
    ("gold", FORGET_ACCURACY, "the same, by a model that never learned them"),
    ("unlearned", FORGETTING, "share of the way from before to guessing"),
    ("unlearned", KEEPING, "accuracy on other questions that was kept"),
)
LIMITS = (
    "The figures are about this adapter on this base model. Copies of the model before erasure, caches, backups and "
    "the data themselves are not erased by it.",
    "Questions that were not asked may still be answered: the figures are samples, with 95 % intervals.",
    "What the base model learned before this software was used is not covered, unless the questions show it.",
    "A signature shows who vouches for the record and that it was not changed since; not that what it says is lawful.",
)


@dataclass(frozen=True, slots=True)
class Verification:
    """How a run was verified.

    Attributes:
        date: when.
        deep: whether models were scored again.
        checked: titles of the checks, all of which matched.
        not_checked: a sentence about each thing that could not be checked.
        key: fingerprint of the key that signed the record; None without a signature.
    """

    date: str
    deep: bool
    checked: Sequence[str]
    not_checked: Sequence[str]
    key: str | None = None


def erasure_record(
    record: Mapping[str, Any],
    metrics: Mapping[str, Any],
    verified: Verification,
    requests: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """The content of the page, as JSON.

    Args:
        record, metrics: record.json and metrics.json of the run.
        requests: the entries of its requests.json.

    Raises:
        RunError: nothing was unlearned in the run.
    """
    if "unlearned" not in metrics["models"]:
        raise RunError(f"a run of `{record['command']}` has no erasure record: nothing was unlearned in it.")
    data, files = metrics["data"], record["files"]
    scored = record["models"].get("scored") or files.get(f"adapter/{ADAPTER_FILE}") or {}
    return {
        "schema": SCHEMA,
        "erased": {
            "target": record["forget"],
            "labels": metrics["forget_subjects"],
            "items": data["request"]["forget"],
            "kept_items": data["request"]["retain"],
            "data_set": record["dataset"],
        },
        "model": {
            "base": record["model"],
            "base_sha256": record["base_weights"],
            "adapter_sha256": scored.get("sha256"),
            "method": metrics["method"],
        },
        "run": {"ended": record["times"]["ended"], "responsible": record["user"], "version": record["code"]["version"]},
        "results": [
            _result(metrics["models"], *row) for row in RESULTS if row[1].find(metrics["models"].get(row[0]) or {})
        ],
        "requests": [_request(entry) for entry in requests],
        "purge": _purge(record),
        "privacy": privacy.sentences(metrics),
        "warnings": metrics["flags"],
        "verification": asdict(verified) | {"digest": record["digest"]},
        "limits": [*LIMITS, *privacy.not_covered(metrics)],
    }


def _request(entry: Mapping[str, Any]) -> dict[str, Any]:
    """A request of the chain in short, with the accuracy on its items when it ended."""
    target, accuracy = entry["target"], entry["metrics"].get("forget_accuracy")
    shown = {"number": entry["number"], "target": target["name"], "date": entry["date"], "hash": entry["hash"]}
    counts = {"items": len(entry["items"]), "patients": entry["patients"]["count"]}
    return shown | counts | {"percent": f"{cell(accuracy, 100, 1)} %"}


def _purge(record: Mapping[str, Any]) -> dict[str, Any] | None:
    """What was purged, from the record; None if nothing was."""
    purges = record.get("purges")
    return {name: purges[-1][name] for name in ("date", "files", "bytes", "kinds", "list")} if purges else None


def write_erasure_record(path: Path, content: Mapping[str, Any]) -> list[Path]:
    """Write the page to `path`, and the JSON beside it; return both."""
    write_text(path, render("erasure.html.j2", content))
    write_json(path.with_suffix(".json"), content)
    return [path, path.with_suffix(".json")]


def _result(models: Mapping[str, Any], model: str, measure: Measure, label: str) -> dict[str, Any]:
    found = measure.find(models[model])
    shown = {name: (found or {}).get(name) for name in ("value", "low", "high", "n")}
    return {"label": label, "model": model, "measure": measure.key, **shown, "percent": f"{cell(found, 100, 1)} %"}
