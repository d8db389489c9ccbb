"""What a run was asked to do, what it cost and where it ran, as rows of label and value."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from duolearn_cli.config.environment import in_words
from duolearn_cli.data import tally
from duolearn_cli.evaluation.measures.central import FORGET_ACCURACY, RETAIN_ACCURACY
from duolearn_cli.evaluation.warnings import WORDS
from duolearn_cli.report.inputs import Inputs
from duolearn_cli.report.tables import DASH, cell, number, present

SPLITS = ("forget_train", "forget_heldout", "forget_unseen", "retain_train", "retain_heldout", "retain_unseen")
HASH = 16


def request(inputs: Inputs) -> list[tuple[str, str]]:
    """Return the rows about the request: target, data, base model and method, with hashes, and who is responsible."""
    metrics, run, config = inputs.metrics, inputs.run, inputs.config
    subjects = ", ".join(metrics.get("forget_subjects") or ())
    # Enough of the hash to compare two reports by eye; record.json has the whole.
    weights = str(run.get("weights_sha256") or run.get("weights") or "")[:HASH]
    rows = [
        ("Name", run.get("name")),
        ("Tags", ", ".join(run.get("tags") or ()) or None),
        ("Command", run.get("command")),
        ("To forget", f"{metrics['forget']} (data labels: {subjects})" if subjects else metrics["forget"]),
        ("Facts asked about", _facts(metrics)),
        ("Data", _with(metrics.get("dataset"), _file(config, "dataset"), _hash("items", run.get("data")))),
        ("Base model", _with(metrics.get("model"), _hash("weights", weights))),
        ("Method", metrics.get("method")),
        ("Seed", metrics.get("seed")),
        ("Privacy", metrics.get("privacy")),
        ("Responsible", (config.get("record") or {}).get("user")),
        ("Date", run.get("created")),
    ]
    return [(label, str(value)) for label, value in rows if value is not None]


def _facts(metrics: Mapping[str, Any]) -> str | None:
    """How many facts the models were asked about on each side, and in how many questions; None if no model was."""
    sides = (("to forget", FORGET_ACCURACY), ("to keep", RETAIN_ACCURACY))
    found = [(side, measure.find(metrics["models"][name])) for name in present(metrics)[:1] for side, measure in sides]
    shown = [f"{one['facts']} {side} ({one['n']} questions)" for side, one in found if one and one.get("facts")]
    return ", ".join(shown) or None


def _with(name: str | None, *details: str | None) -> str | None:
    known = [detail for detail in details if detail]
    return f"{name} ({', '.join(known)})" if name and known else name


def _file(config: Mapping[str, Any], group: str) -> str | None:
    """The name of a data file, without the folders above it, which tell about the machine."""
    path = (config.get(group) or {}).get("path")
    return PurePath(str(path)).name if path else None


def _hash(of: str, value: Any) -> str | None:
    return f"hash of the {of} {value}" if value else None


def command_line(run: Mapping[str, Any]) -> str | None:
    """Return the command that repeats the run, None if run.json has no overrides."""
    return shlex.join(["duolearn", run["command"], *run["overrides"]]) if "overrides" in run else None


def asked(metrics: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the rows about the items: how many each split has, and what was left out and why."""
    data = metrics.get("data") or {}
    rejected = [f"{count} {reason}" for reason, count in (data.get("rejected") or {}).items()]
    rows = [
        ("part", metrics.get("part")),
        *((f"items, {split.replace('_', ' ')}", data.get(split)) for split in (*SPLITS, "earlier")),
        *tally.rows_of(data.get("sides") or {}),
        ("held-out items", WORDS[data["heldout"]][1] if data.get("heldout") else None),
        *((f"commonest answer, {side} items", _commonest(metrics, side)) for side in ("forget", "retain")),
        ("rejected rows", ", ".join(rejected) or "none"),
        ("labels filled from concepts or left out", _counts(data.get("subjects"))),
        ("items given to unlearning", _counts(data.get("request"))),
        ("items forgotten before, neither kept nor learned", _counts(data.get("forgotten"))),
        ("near duplicates across splits", data.get("duplicates")),
        *(("data note", note) for note in data.get("notes") or ()),
    ]
    return [(label, str(value)) for label, value in rows if value is not None]


def _commonest(metrics: Mapping[str, Any], side: str) -> str | None:
    """Return the answer that is right most often, and how often; None if the run did not measure it."""
    majority = (metrics.get("majority") or {}).get(side)
    return f"{majority['answer']}, right for {cell(majority, 100, 1)} %" if majority else None


def _counts(counts: Mapping[str, int] | None) -> str | None:
    return ", ".join(f"{name.replace('_', ' ')} {count}" for name, count in (counts or {}).items()) or None


def cost(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the rows about time, parameters and memory, with units."""
    units = {
        "seconds": lambda value: f"{value:.1f} s",
        "trainable_parameters": lambda value: f"{value:,.0f}",
        "trainable_fraction": lambda value: f"{100 * value:.3g} % of the model",
        "peak_memory_bytes": lambda value: f"{value / 1e9:.2f} GB",
    }
    labels = {"peak_memory_bytes": "peak memory", "seconds": "time"}
    return [
        (labels.get(key, key.replace("_", " ")), DASH if number(values.get(key)) is None else show(values[key]))
        for key, show in units.items()
    ]


def environment(run: Mapping[str, Any], metrics: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the rows about where and when the run was made, and with which versions and seeds."""
    rows = [(key, run.get(key)) for key in ("created", "signature", "device", "platform")]
    rows.append(("duolearn", metrics.get("duolearn")))
    rows += sorted((run.get("versions") or {}).items())
    rows += [
        ("computed with" if name == "here" else f"{name} learned with", in_words(made) if made else "not recorded")
        for name, made in (metrics.get("environment") or {}).items()
    ]
    rows += [(f"seed, {name}", seed) for name, seed in (run.get("seeds") or {}).items()]
    return [(label, str(value)) for label, value in dict(rows).items() if value is not None]
