"""requests.json beside a model: what it has forgotten, one entry for each request, the first one first.

Each entry holds the SHA-256 of itself and of the entry before, so an entry that is changed, removed or moved breaks the
chain. `files` holds the SHA-256 of the weights that lie beside the record, which ties the chain to its model.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf

from duolearn_cli.concepts.mention_cache import fingerprint
from duolearn_cli.config.components import first_target
from duolearn_cli.config.explain import key_of
from duolearn_cli.config.forget import ForgetTarget
from duolearn_cli.config.patient_key import patient_key
from duolearn_cli.config.schema import RunConfig
from duolearn_cli.data.earlier import spec_of
from duolearn_cli.data.items import Item
from duolearn_cli.errors import RunError
from duolearn_cli.files import file_hash, finite, read_json, write_json
from duolearn_cli.model.adapter_files import ADAPTER_FILE, HELD_FILE
from duolearn_cli.pipeline.request_patients import hidden, patient_hash
from duolearn_cli.pipeline.run_folder import Run
from duolearn_cli.pipeline.study import Study
from duolearn_cli.privacy import account_summary
from duolearn_cli.privacy.account import read_account

FILE, SCHEMA = "requests.json", 1
# Settings that a later request takes from the first one. They decide which model it is and what that has learned.
INHERITED = ("model", "dataset", "retain_from", "hierarchy", "prompt", "split", "imperfect", "labels", "learn")
# Settings of `unlearn` that suit a model, as its preset sets them: later requests take over those that are not given.
LOOP = (
    *("epochs", "batch_size", "learning_rate", "warmup", "max_grad_norm", "optimizer", "weight_decay", "momentum"),
    *("attack", "keep_weight", "kin_weight"),
)
# Settings that may say where files lie on a machine. An entry leaves such values out: the record is handed on.
PLACES = ("model.path", "dataset.path", "retain_from.path", "hierarchy.path", "learn.gold")
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
    """The requests that a model has gone through, the first one first."""

    entries: Sequence[Mapping[str, Any]]

    @property
    def targets(self) -> list[ForgetTarget]:
        """The forget target of each request, as it was configured."""
        return [ForgetTarget(**entry["target"]["configured"]) for entry in self.entries]

    @property
    def names(self) -> list[str]:
        return [target.name for target in self.targets]

    @property
    def inherited(self) -> DictConfig:
        """The settings that decide what the target of the first request has learned, see `INHERITED`."""
        return cast(DictConfig, OmegaConf.create(self.entries[0]["inherited"]))

    def then(self, entry: Mapping[str, Any]) -> Chain:
        """Return the chain with one more request. Its number and hashes are added here."""
        number, before = len(self.entries) + 1, self.entries[-1]["hash"] if self.entries else None
        # As the file will have it: a figure without a value is null there, and the hash must be that of null.
        body = finite({"number": number, **entry, "previous": before})
        return Chain([*self.entries, {**body, "hash": _hash(body)}])

    def write(self, folder: Path) -> None:
        """Write the record beside the weights in `folder`, which must be complete: the record holds their hashes."""
        content = {"schema": SCHEMA, "requests": list(self.entries), "files": weight_files(folder)}
        write_json(folder / FILE, content)


def weight_files(folder: Path) -> dict[str, str]:
    """SHA-256 of each safetensors file in `folder`, by name: an adapter with its held gradients, or a whole model."""
    return {path.name: file_hash(path) for path in sorted(folder.glob("*.safetensors"))}


def read_chain(model: Path) -> Chain | None:
    """Read the record beside an adapter or a merged model; None where there is none.

    Raises:
        RunError: the record is damaged, does not hold together, or belongs to other weights.
    """
    path = model / FILE
    if not path.is_file():
        return None
    chain, faults = examine(model)
    if faults:
        raise RunError(f"{path}: {faults[0]}")
    return chain


def examine(model: Path) -> tuple[Chain, list[str]]:
    """Read the record beside a model, and list what is wrong with its chain of hashes and its weights.

    Raises:
        RunError: the file cannot be read, or is of another schema.
    """
    path = model / FILE
    content = _content(path)
    try:
        # The chain of hashes covers the record alone. The last entry ties it to the weights that lie beside it.
        faults = [*_broken_links(content["requests"]), *_other_weights(content, weight_files(model))]
        return Chain(content["requests"]), faults
    except (OSError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise RunError(f"{path} cannot be read: {type(error).__name__} {error}.") from error


def _content(path: Path) -> dict[str, Any]:
    try:
        content = read_json(path)
        schema = content["schema"]
    except (RunError, KeyError, TypeError) as error:
        raise RunError(f"{path} cannot be read: {type(error).__name__} {error}.") from error
    if schema != SCHEMA:
        raise RunError(f"{path} is of schema {schema}; this version of duolearn reads {SCHEMA}.")
    return content


def _broken_links(entries: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    before = None
    for number, entry in enumerate(entries, start=1):
        body = {name: value for name, value in entry.items() if name != "hash"}
        if entry["number"] != number or entry["previous"] != before:
            yield f"request {number} does not follow the one before; a request was removed or moved."
        if entry["hash"] != _hash(body):
            yield f"request {number} ({entry['target']['name']}) was changed after it was written."
        before = entry["hash"]


def _other_weights(content: Mapping[str, Any], found: Mapping[str, str]) -> Iterator[str]:
    """Yield files that are not those of the record. Records of older versions have no `files`."""
    last = content["requests"][-1]
    left = {ADAPTER_FILE: last["adapter"], HELD_FILE: last["held"]}
    listed = content.get("files", {name: digest for name, digest in left.items() if digest})
    if not listed:
        yield "it names no file of weights, so nothing ties it to a model."
    for name, digest in listed.items():
        # The weights of a merged model are no file of the request itself; an adapter's are.
        if found.get(name) != digest or left.get(name, digest) != digest:
            yield f"{name} is not the file that request {last['number']} left."
    for name in found.keys() - listed.keys() if "files" in content else ():
        yield f"{name} is not in the record; it was added later."


def new_entry(study: Study, adapter: Path, metrics: Mapping[str, Any], secret: bytes | None) -> dict[str, Any]:
    """The entry of the request that a finished run has carried out, without number and hashes.

    Args:
        secret: the user's key for hashes of patients; without it only their number is recorded.
    """
    config, target, account = study.config, study.target, read_account(adapter)
    forgot = study.splits.forget_train
    # `after` sets `adapter` too: the entry before has the hash of that model.
    given = file_hash(Path(config.adapter) / ADAPTER_FILE) if config.adapter and not config.after else None
    patients = sorted({item.patient for item in forgot if item.patient is not None})
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "target": {
            "name": target.name,
            "concepts": {node: study.hierarchy[node].name for node in sorted(target.forget)},
            "labels": sorted(target.labels),
            "configured": configured(config.forget, secret),
        },
        "hierarchy": fingerprint(study.hierarchy),
        "items": sorted(item_hash(item) for item in forgot),
        "patients": {
            "count": len(patients),
            "hmac_sha256": [patient_hash(patient, secret) for patient in patients] if secret else None,
        },
        **settled(config, metrics),
        "privacy": account_summary.summarise(account) if account else None,
        "inherited": without_places(inherited(config)),
        "adapter": file_hash(adapter / ADAPTER_FILE),
        "held": file_hash(adapter / HELD_FILE) if (adapter / HELD_FILE).is_file() else None,
        # Then later requests take over the number of passes as it is.
        **({"epochs_given": True} if _epochs_given(adapter) else {}),
        # The adapter that the first request began with, where the user gave one: the original target.
        **({"began_with": given} if given else {}),
        # The base of this adapter is not the one that the first entry names, but a merged model.
        **({"merged": weight_files(Path(str(config.model.path)))} if config.merged else {}),
    }


def _epochs_given(adapter: Path) -> bool:
    """Whether the command line of the run that made this adapter gives the number of passes."""
    run = Run.around(adapter)
    return run is not None and any(key_of(text) == "unlearn.epochs" for text in run[0].info["overrides"])


def settled(config: RunConfig, metrics: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of an entry that follow from the run's config.yaml and metrics.json."""
    scores = metrics["models"]["unlearned"]["scores"]
    return {
        "method": _settings(config.method),
        "settings": {"seed": config.seed, "unlearn": _settings(config.unlearn)},
        "metrics": {name: _estimate(scores[name]) for name in SCORES if name in scores},
    }


def inherited(config: RunConfig) -> dict[str, Any]:
    """The settings that later requests take over, with all paths."""
    return {name: _settings(getattr(config, name)) for name in INHERITED}


def without_places(settings: Mapping[str, Any], everywhere: bool = False) -> dict[str, Any]:
    """Return inherited settings without local paths; names of the hub stay.

    Args:
        everywhere: drop every path setting, even if no such path exists on this machine.
    """
    kept = {name: dict(node) if isinstance(node, Mapping) else node for name, node in settings.items()}
    for place in PLACES:
        group, _, key = place.partition(".")
        value = (kept.get(group) or {}).get(key)
        if value and (everywhere or Path(value).expanduser().exists()):
            kept[group][key] = None
    return kept


def configured(forget: Any, secret: bytes | None) -> dict[str, Any]:
    """A forget target as an entry records it: what the configuration says, not what it covers.

    Patients are hidden, since the record is handed on: see `request_patients.hidden`.
    """
    values = asdict(spec_of(cast(DictConfig, forget)))
    return values | {"patients": hidden(values["patients"], secret)}


def write_requests(study: Study, adapter: Path, metrics: Mapping[str, Any]) -> None:
    """Write requests.json beside the adapter of a finished run: the earlier requests, and its own as the last one."""
    config = study.config
    before = (read_chain(Path(config.after)) if config.after else None) or Chain([])
    before.then(new_entry(study, adapter, metrics, patient_key(config.patient_key))).write(adapter)


def item_hash(item: Item) -> str:
    """SHA-256 of an item's question, options and answer."""
    return hashlib.sha256(json.dumps([item.question, item.options, item.answer]).encode()).hexdigest()


def _hash(body: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def _settings(node: Any) -> Any:
    """A node as plain values. A component keeps its first name, so that the record stays valid when code moves."""
    values = OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else node
    if isinstance(values, dict) and "_target_" in values:
        return {**values, "_target_": first_target(values["_target_"])}
    return values


def _estimate(value: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value.get(name) for name in ("value", "low", "high", "n", "facts")}
