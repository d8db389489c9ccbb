"""The record of requests beside an adapter: what it has forgotten, each request chained by hash to the one before.

`requests.json` holds one entry a request, the first one first. An entry holds the SHA-256 of itself and of the entry
before, so that none can be changed, taken out or exchanged without the next one showing it.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf

from duolearn_cli.concepts.mention_cache import fingerprint
from duolearn_cli.config.components import first_target
from duolearn_cli.config.forget import ForgetTarget
from duolearn_cli.config.patient_key import patient_key
from duolearn_cli.config.schema import RunConfig
from duolearn_cli.data.earlier import spec_of
from duolearn_cli.data.items import Item
from duolearn_cli.errors import RunError
from duolearn_cli.files import write_json
from duolearn_cli.model.lora import ADAPTER_FILE
from duolearn_cli.pipeline.keys import file_hash
from duolearn_cli.pipeline.study import Study
from duolearn_cli.privacy import account_summary
from duolearn_cli.privacy.account import read_account
from duolearn_cli.training.held import FILE as HELD

FILE, SCHEMA = "requests.json", 1
# What a later request takes from the first one: which model it is, and what that has learned.
INHERITED = ("model", "dataset", "retain_from", "hierarchy", "prompt", "split", "imperfect", "labels", "learn")
# The measures of an entry, from models.unlearned.scores of metrics.json.
SCORES = (
    "forget_accuracy",
    "forgetting_against_gold",
    "chance_corrected_forgetting",
    "knowledge_preservation",
    "retain_accuracy",
    "mia_score",
)


@dataclass(frozen=True)
class Chain:
    """The requests that an adapter has gone through, the first one first."""

    entries: Sequence[Mapping[str, Any]]

    @property
    def targets(self) -> list[ForgetTarget]:
        """What each request had to forget, as it was configured."""
        return [ForgetTarget(**entry["target"]["configured"]) for entry in self.entries]

    @property
    def names(self) -> list[str]:
        return [target.name for target in self.targets]

    @property
    def inherited(self) -> DictConfig:
        """The settings that decide what the first request's target has learned: see `INHERITED`."""
        return cast(DictConfig, OmegaConf.create(self.entries[0]["inherited"]))

    def then(self, entry: Mapping[str, Any]) -> Chain:
        """The chain with one more request, whose hash is computed here."""
        number, before = len(self.entries) + 1, self.entries[-1]["hash"] if self.entries else None
        body = {"number": number, **entry, "previous": before}
        return Chain([*self.entries, {**body, "hash": _hash(body)}])

    def write(self, folder: Path) -> None:
        write_json(folder / FILE, {"schema": SCHEMA, "requests": list(self.entries)})


def read_chain(adapter: Path) -> Chain | None:
    """The record beside an adapter; None where there is none.

    Raises:
        RunError: the file is damaged, an entry was changed, taken out or exchanged, or the adapter is another one.
    """
    path = adapter / FILE
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        entries = content["requests"]
        if content["schema"] != SCHEMA:
            raise RunError(f"{path} is of schema {content['schema']}; this version of duolearn reads {SCHEMA}.")
        before = None
        for number, entry in enumerate(entries, start=1):
            body = {name: value for name, value in entry.items() if name != "hash"}
            if entry["number"] != number or entry["previous"] != before:
                raise RunError(
                    f"{path}: request {number} does not follow the one before; a request was removed or moved."
                )
            if entry["hash"] != _hash(body):
                raise RunError(
                    f"{path}: request {number} ({entry['target']['name']}) was changed after it was written."
                )
            before = entry["hash"]
        # The chain of hashes covers the record alone. The last entry ties it to the adapter that lies beside it.
        _check_files(path, adapter, entries[-1])
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise RunError(f"{path} cannot be read: {type(error).__name__} {error}.") from error
    return Chain(entries)


def _check_files(path: Path, adapter: Path, last: Mapping[str, Any]) -> None:
    for name, expected in ((ADAPTER_FILE, last["adapter"]), (HELD, last["held"])):
        found = file_hash(adapter / name) if (adapter / name).is_file() else None
        if found != expected:
            raise RunError(f"{path}: {name} is not the file that request {last['number']} left.")


def new_entry(study: Study, adapter: Path, metrics: Mapping[str, Any], secret: bytes | None) -> dict[str, Any]:
    """What is recorded of the request that a finished run has carried out.

    Args:
        secret: the user's key for hashes of patients; without it only their number is recorded.
    """
    config, target, account = study.config, study.target, read_account(adapter)
    forgot = study.splits.forget_train
    scores = metrics["models"]["unlearned"]["scores"]
    patients = sorted({item.patient for item in forgot if item.patient is not None})
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "target": {
            "name": target.name,
            "concepts": {node: study.hierarchy[node].name for node in sorted(target.forget)},
            "labels": sorted(target.labels),
            "configured": _configured(config),
        },
        "hierarchy": fingerprint(study.hierarchy),
        "items": sorted(item_hash(item) for item in forgot),
        "patients": {
            "count": len(patients),
            "hmac_sha256": [patient_hash(patient, secret) for patient in patients] if secret else None,
        },
        "method": _settings(config.method),
        "settings": {"seed": config.seed, "unlearn": _settings(config.unlearn)},
        "metrics": {name: _estimate(scores[name]) for name in SCORES if name in scores},
        "privacy": account_summary.summarise(account) if account else None,
        "inherited": {name: _settings(getattr(config, name)) for name in INHERITED},
        "adapter": file_hash(adapter / ADAPTER_FILE),
        "held": file_hash(adapter / HELD) if (adapter / HELD).is_file() else None,
    }


def write_requests(study: Study, adapter: Path, metrics: Mapping[str, Any]) -> None:
    """Write the record of all requests beside the adapter of a finished run, with its own as the last one."""
    config = study.config
    before = (read_chain(Path(config.after)) if config.after else None) or Chain([])
    before.then(new_entry(study, adapter, metrics, patient_key(config.patient_key))).write(adapter)


def item_hash(item: Item) -> str:
    """SHA-256 of an item's question, options and answer."""
    return hashlib.sha256(json.dumps([item.question, item.options, item.answer]).encode()).hexdigest()


def patient_hash(patient: str, key: bytes) -> str:
    """HMAC-SHA256 of a patient's identifier: without the key nobody can tell or guess who it is."""
    # A plain hash would not do: identifiers of patients are few enough to be tried one by one.
    return hmac.new(key, str(patient).encode(), hashlib.sha256).hexdigest()


def _hash(body: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def _configured(config: RunConfig) -> dict[str, Any]:
    return asdict(spec_of(cast(DictConfig, config.forget)))


def _settings(node: Any) -> Any:
    """A node as plain values. A component is named as it was first, so that the record outlives a move of code."""
    values = OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else node
    if isinstance(values, dict) and "_target_" in values:
        return {**values, "_target_": first_target(values["_target_"])}
    return values


def _estimate(value: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value.get(name) for name in ("value", "low", "high", "n", "facts")}
