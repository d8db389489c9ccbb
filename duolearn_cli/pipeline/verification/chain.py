"""Check the chain of requests: its hashes, that it ends with this run, and the models that earlier requests left."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from omegaconf import DictConfig

from duolearn_cli.config.explain import key_of
from duolearn_cli.config.patient_key import patient_key
from duolearn_cli.config.schema import RunConfig
from duolearn_cli.errors import ConfigError, RunError
from duolearn_cli.files import read_json
from duolearn_cli.pipeline import record, signing
from duolearn_cli.pipeline.chain_runs import earlier_models
from duolearn_cli.pipeline.request_patients import may_be
from duolearn_cli.pipeline.requests import (
    FILE,
    Chain,
    configured,
    examine,
    inherited,
    settled,
    without_places,
)
from duolearn_cli.pipeline.run_folder import Run
from duolearn_cli.pipeline.verification.finding import Finding, as_json, differences, not_checked
from duolearn_cli.pipeline.verification.integrity import (
    METRICS,
    of_files,
    of_purges,
    of_record,
    read_metrics,
    read_record,
)
from duolearn_cli.privacy import account_summary
from duolearn_cli.privacy.account import read_account

RECORD = f"adapter/{FILE}"
SETTINGS = "config.yaml with metrics.json"


def of_chain(run: Run, config: DictConfig, given: Sequence[str], public_key: Path | None) -> Iterator[Finding]:
    """Check requests.json of a run, and what earlier runs have left, as far as their folders are known.

    Args:
        given: folders of earlier runs, the first request first.

    Raises:
        RunError: more folders are given than there are earlier requests, or the record cannot be read.
    """
    adapter = run.folder / "adapter"
    if config.command == "unlearn" and not (adapter / FILE).is_file():
        yield Finding(RECORD, "it is missing, and every finished run of unlearn has one")
    chain, broken = examine(adapter) if (adapter / FILE).is_file() else (None, [])
    yield from (Finding(RECORD, fault) for fault in broken)
    yield from _of_after(run, config.after)
    earlier = len(chain.entries) - 1 if chain else 0
    if len(given) > earlier:
        raise RunError(f"chain: {len(given)} folders are given, and {run.folder} follows {earlier} earlier requests.")
    if not chain or broken:
        return
    try:
        yield from _of_last(run, cast(RunConfig, config), chain)
        models = earlier_models(chain, run.folder, config.after, given)
        for number in range(1, earlier + 1):
            yield from _of_earlier(number, models.get(number), chain, public_key)
    except (LookupError, TypeError, AttributeError) as error:
        said = f"fields are missing, or are not what a run writes ({type(error).__name__}: {error})"
        yield Finding(RECORD, said)


def _of_last(run: Run, config: RunConfig, chain: Chain) -> Iterator[Finding]:
    """Check that the last entry is that of this run, and the entries before are the requests that it began with."""
    entry = chain.entries[-1]
    try:
        metrics, account = read_metrics(run.folder), read_account(run.folder / "adapter")
        expected = as_json(settled(config, metrics))
        expected["privacy"] = as_json(account_summary.summarise(account)) if account else None
        labels = metrics["forget_subjects"]
    except (LookupError, TypeError, AttributeError) as error:
        # An edited record may lack any field, or hold another type there. That is a finding, never a traceback.
        yield Finding(METRICS, f"fields are missing, or are not what a run writes ({type(error).__name__}: {error})")
        return
    # Which concepts a target covers follows from the hierarchy, which this check does not load.
    expected["target"] = {
        "name": config.forget.name,
        "labels": labels,
        "configured": _recorded(entry, config.forget, config),
    }
    # An entry keeps a value only if it was no path on the machine of the run. It may be one here, or the other way
    # round.
    expected["inherited"] = without_places(as_json(inherited(config)), everywhere=True)
    own = {name: entry[name] for name in expected}
    own["target"] = {name: own["target"][name] for name in expected["target"]}
    own["inherited"] = without_places(own["inherited"], everywhere=True)
    place = f"{RECORD}, request {entry['number']}"
    yield from differences(place, own, _as_far_as(own, expected), SETTINGS)
    yield from _of_concepts(place, entry["target"]["concepts"], run.folder)
    recorded = [one["target"]["configured"] for one in chain.entries[:-1]]
    if len(recorded) != len(config.requests):
        yield Finding(
            RECORD, f"it has {len(recorded)} earlier requests, but the run began after {len(config.requests)}"
        )
        return
    before = [_recorded(*pair, config) for pair in zip(chain.entries, config.requests, strict=False)]
    for number, (one, other) in enumerate(zip(recorded, before, strict=True), start=1):
        yield from differences(f"{RECORD}, request {number}", one, _as_far_as(one, other), "config.yaml")


def _of_concepts(place: str, concepts: Mapping[str, Any], folder: Path) -> Iterator[Finding]:
    """Compare how many concepts an entry lists with target.json, unless that was purged."""
    path = folder / "target.json"
    if not path.is_file():
        return
    covered = sum(level["forget"] for level in read_json(path)["concepts"].values())
    if len(concepts) != covered:
        yield Finding(place, f"target.concepts lists {len(concepts)} concepts, but {path.name} counts {covered}")


def _of_after(run: Run, configured_after: str | None) -> Iterator[Finding]:
    """Compare the model that the command line began after with that of config.yaml."""
    # A configuration file may set it too, so without it on the command line nothing can be compared.
    given = [text.partition("=")[2].strip("'\"") for text in run.info["overrides"] if key_of(text) == "after"]
    for value in given:
        asked = None if value in ("", "null") else Path(value)
        now = Path(configured_after) if configured_after else None
        # config.yaml names the adapter's folder, the command line may name the run that it is in.
        if now != asked and not (asked and now == asked / "adapter"):
            yield Finding("run.json", f"overrides has after={value}, but config.yaml has after={configured_after}")


def _recorded(entry: Mapping[str, Any], forget: Any, config: RunConfig) -> Any:
    """A configured target as `entry` should have it. Patients are compared as far as the key allows."""
    try:
        key = patient_key(config.patient_key)
    except ConfigError:
        key = None
    expected, own = as_json(configured(forget, key)), entry["target"]["configured"].get("patients") or []
    return expected | {"patients": own if may_be(forget.patients, own, key) else expected["patients"]}


def _as_far_as(own: Any, expected: Any) -> Any:
    """`expected` without keys that `own` lacks: settings that a later version added."""
    if not isinstance(own, Mapping) or not isinstance(expected, Mapping):
        return expected
    return {name: _as_far_as(own[name], value) for name, value in expected.items() if name in own}


def _of_earlier(number: int, model: Path | None, chain: Chain, public_key: Path | None) -> Iterator[Finding]:
    """Check the model that an earlier request left, and its run folder."""
    name = f"request {number} ({chain.names[number - 1]})"
    if model is None:
        yield not_checked(name, "its folder is not known; give those of all earlier runs with chain=[RUN,...]")
        return
    place = f"{name}, {model}"
    if not (model / FILE).is_file():
        yield Finding(place, f"there is no {FILE} beside the model")
        return
    own, broken = examine(model)
    if broken:
        yield from (Finding(place, f"{FILE}: {fault}") for fault in broken)
    elif problem := _other_request(number, own, chain):
        yield Finding(place, problem)
    elif (model.parent / record.FILE).is_file():
        yield from _of_run(name, model.parent, public_key)
    else:
        yield not_checked(place, f"there is no {record.FILE}; only the model and its requests match")


def _other_request(number: int, own: Chain, chain: Chain) -> str:
    """Say what a model's chain is, if it is not the part of this chain that ends with this request."""
    hashes = [entry["hash"] for entry in chain.entries]
    last = own.entries[-1]["hash"]
    if last not in hashes:
        return "this model is not of this chain; its last request is another one"
    found = hashes.index(last) + 1
    return "" if found == number else f"this is the model of request {found} of the chain"


def _of_run(name: str, folder: Path, public_key: Path | None) -> Iterator[Finding]:
    found = read_record(folder)
    # The user gives the key for the last run. An earlier run without a signature is no fault of that run.
    key = public_key if (folder / signing.FILE).is_file() else None
    for check in (of_record(folder, found, key), of_files(folder, found), of_purges(folder, found)):
        for finding in check:
            if finding.is_wrong:
                yield Finding(f"{name}, {folder / finding.place}", finding.said)
