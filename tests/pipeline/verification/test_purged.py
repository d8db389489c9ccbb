"""A run whose purge is in its record verifies; any other loss of files is named."""

import json
import shutil
import sys

import pytest

from duolearn_cli.__main__ import main
from duolearn_cli.files import file_hash
from duolearn_cli.pipeline import purged, record
from duolearn_cli.pipeline.run_folder import Run
from duolearn_cli.pipeline.traces import is_purgeable
from duolearn_cli.pipeline.verification.chain import of_chain
from tests.pipeline.verification.test_tampering import set_metric

GONE = "predictions.jsonl"


@pytest.fixture
def purge(site, monkeypatch):
    """Purge the site's run; return what is said."""
    monkeypatch.setattr(sys, "argv", ["duolearn"])

    def call(*words):
        assert main(["purge", f"run={site.run}", "yes=true", *words]) == 0

    return call


@pytest.fixture
def kept(site, purge, tmp_path):
    """A copy of the run from before it is purged."""
    before = shutil.copytree(site.run, tmp_path / "before")
    purge()
    return before


def test_a_purge_is_recorded_and_the_earlier_signature_still_holds(site, purge, capfd):
    before = site.read(record.FILE)
    purge()
    found = site.read(record.FILE)
    (told,) = found["purges"]
    rows = site.read(purged.FILE)["files"]
    assert told["previous"] == before["digest"] and told["files"] == len(rows) and GONE in told["gone"]
    assert told["list"] == file_hash(site.run / purged.FILE) and told["bytes"] == sum(row["size"] for row in rows)
    assert found["files"] == before["files"] and [*purged.stages(found)][1] == before
    capfd.readouterr()
    assert site.said(public_key=str(site.public), deep=True) == ""
    said = capfd.readouterr().out
    assert "signature.json: not checked: it belongs to the record from before a purge" in said
    assert "were purged, so nothing can be computed or scored again" in said
    assert "files, settings and requests match its record" in said


def test_a_purge_can_be_signed(site, purge, capfd):
    purge(f"record.sign={site.root / 'owner.pem'}")
    capfd.readouterr()
    assert site.said(public_key=str(site.public)) == ""
    assert "signature.json" not in capfd.readouterr().out


def test_purging_again_changes_nothing(site, purge):
    purge()
    before = record.manifest(site.run) | {record.FILE: site.read(record.FILE)}
    purge()
    assert record.manifest(site.run) | {record.FILE: site.read(record.FILE)} == before


def test_a_purge_by_an_older_version_is_recorded_by_the_next_one(site, kept, purge, capfd):
    shutil.copy(kept / record.FILE, site.run / record.FILE)
    assert "it is missing: it was removed or renamed" in site.said()
    purge()
    assert "now lists what was purged earlier" in capfd.readouterr().out
    assert site.said() == ""


def list_changed(site, kept):
    content = site.read(purged.FILE)
    site.write(purged.FILE, content | {"files": content["files"][1:]})


def list_removed(site, kept):
    (site.run / purged.FILE).unlink()


def back_again(site, kept):
    shutil.copy(kept / GONE, site.run / GONE)


def unrecorded(site, kept):
    shutil.copy(kept / record.FILE, site.run / record.FILE)


def unrecorded_and_restored(site, kept):
    unrecorded(site, kept)
    for name in site.read(record.FILE)["files"]:
        if name != "run.json" and not (site.run / name).exists():
            shutil.copy(kept / name, site.run / name)


def more_than_recorded(site, kept):
    (site.run / "target.json").unlink()


def mark_with_more(site, kept):
    site.write("run.json", site.read("run.json") | {"status": "failed"})


def set_purge(site, **values):
    """Change the purge in the record, and compute the digest again."""
    found = site.read(record.FILE)
    found["purges"][-1] |= values
    site.write(record.FILE, found | {"digest": record.digest(found)})


def another_file_purged(site, kept):
    content = site.read(purged.FILE)
    next(row for row in content["files"] if row["path"] == GONE)["sha256"] = "0" * 64
    site.write(purged.FILE, content)
    set_purge(site, list=file_hash(site.run / purged.FILE))


def metrics_purged(site, kept):
    (site.run / "metrics.json").unlink()
    set_purge(site, gone=[*site.read(record.FILE)["purges"][-1]["gone"], "metrics.json"])


def adapter_purged(site, kept):
    (site.run / "adapter" / "adapter_model.safetensors").unlink()
    set_purge(site, gone=[*site.read(record.FILE)["purges"][-1]["gone"], "adapter/adapter_model.safetensors"])


def forged_purge(site, *names):
    """Delete files, list them as purged, and let the program itself write that into the record, without a key."""
    content = site.read(purged.FILE)
    for name in names:
        row = {"place": "run", "path": name, "kind": "predictions", "date": "2026-01-01T00:00:00+00:00"}
        path = site.run / name
        content["files"].append({**row, "sha256": file_hash(path), "size": path.stat().st_size})
        path.unlink()
    site.write(purged.FILE, content)
    purged.record_purge(site.run, "2026-01-01T00:00:00+00:00")


@pytest.mark.parametrize(
    "name",
    ["adapter/requests.json", "adapter/held.safetensors", "adapter/adapter_config.json", "history.jsonl"],
)
def test_no_purge_deletes_requests_adapters_or_steps(site, kept, name):
    forged_purge(site, name)
    assert f"it says that {name} was purged, which no purge deletes" in site.said(public_key=str(site.public))


def test_a_chain_without_its_requests_is_named(site):
    opened, saved = Run.open(site.run)
    (site.run / "adapter" / "requests.json").unlink()
    (finding,) = of_chain(opened, saved, [], None)
    assert finding.is_wrong and str(finding).startswith("adapter/requests.json: it is missing")


def test_a_purge_may_delete_the_adapter_of_learn_alone():
    assert is_purgeable("adapter/adapter_model.safetensors", "learn")
    assert not is_purgeable("adapter/adapter_model.safetensors", "unlearn")
    assert is_purgeable("target.json", "unlearn") and not is_purgeable("metrics.json", "unlearn")


def other_record_before(site, kept):
    set_purge(site, previous="0" * 64)


def metric_changed(site, kept):
    set_metric(site, "models", "unlearned", "scores", "forget_accuracy", "value", value=0.0)
    site.rechain()
    found, now = site.read(record.FILE), record.manifest(site.run)
    found["files"] |= {name: now[name] for name in ("metrics.json", "adapter/requests.json")}
    site.write(record.FILE, found | {"digest": record.digest(found)})


def list_without_fields(site, kept):
    site.write(purged.FILE, {"schema": 1, "files": [{}]})
    set_purge(site, list=file_hash(site.run / purged.FILE))


def no_shape(site, kept):
    set_purge(site, gone=None)


@pytest.mark.parametrize(
    ("tamper", "said"),
    [
        (list_changed, "purged.json: it was changed: it is not the list"),
        (list_removed, "purged.json: it is missing, and the record has a purge"),
        (back_again, f"{GONE}: the record says that it was purged, but it is here"),
        (unrecorded, "it is missing: it was removed or renamed"),
        (unrecorded_and_restored, "run.json: it was changed"),
        (more_than_recorded, "target.json: it is missing"),
        (mark_with_more, "run.json: it was changed"),
        (another_file_purged, f"purged.json: the {GONE} that was purged is not the one of the run"),
        (metrics_purged, "it says that metrics.json was purged, which no purge deletes"),
        (adapter_purged, "adapter_model.safetensors was purged, which no purge deletes"),
        (other_record_before, "does not follow the record that was there before"),
        (metric_changed, "does not follow the record that was there before"),
        (list_without_fields, "purged.json: it is damaged"),
        (no_shape, "record.json is damaged: `purges`"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_what_was_done_after_a_purge_is_named(site, kept, tamper, said):
    tamper(site, kept)
    assert said in site.said()


def test_who_forges_a_purge_and_the_record_before_it_lacks_the_signature(site, kept):
    metric_changed(site, kept)
    earlier = [*purged.stages(site.read(record.FILE))][1]
    set_purge(site, previous=record.digest(earlier))
    assert site.said() == ""  # hashes alone can be computed again
    assert "signature.json: it does not belong to this record.json" in site.said(public_key=str(site.public))


def test_a_purge_that_is_not_in_the_record_is_named(site):
    site.write(purged.FILE, {"schema": 1, "files": []})
    assert "purged.json: the record does not have this purge" in site.said()


def test_a_damaged_record_stops_the_purge_before_anything_is_deleted(site, monkeypatch, capfd):
    (site.run / record.FILE).write_text(json.dumps({"digest": 1})[:-3])
    monkeypatch.setattr(sys, "argv", ["duolearn"])
    assert main(["purge", f"run={site.run}", "yes=true"]) == 2
    assert "so the purge cannot be added to it" in capfd.readouterr().err and (site.run / GONE).is_file()
