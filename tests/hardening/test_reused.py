"""Kinds 3 and 4: what was cached or saved is compared with its checksums before it is used."""

from __future__ import annotations

import json
import shutil
from types import SimpleNamespace

import pytest

from duolearn_cli.errors import RunError
from duolearn_cli.model import manifest
from duolearn_cli.training.checkpoint import latest_checkpoint
from tests.hardening import reused
from tests.hardening.row import Row, check
from tests.hardening.test_inputs import marked


@pytest.mark.parametrize("row", marked(reused.rows()))
def test_nothing_damaged_is_used(row: Row, tmp_path):
    check(row, tmp_path)


@pytest.fixture
def two(tmp_path):
    """Two sealed checkpoints, of the steps 2 and 3."""
    folder = tmp_path / "checkpoints"
    shutil.copytree(reused.INTERRUPTED / "checkpoints", folder)
    shutil.copytree(folder / "step-000002", folder / "step-000003")
    (folder / "step-000003" / "state.json").write_text(reused.state(3))
    for one in folder.iterdir():
        manifest.seal(one)
    return folder


def test_the_last_whole_checkpoint_is_used_with_a_line_that_says_so(two):
    said: list[str] = []
    assert latest_checkpoint(two, said.append) == two / "step-000003" and not said
    reused.flipped(two / "step-000003" / "adapter_model.safetensors")
    assert latest_checkpoint(two, said.append) == two / "step-000002"
    assert len(said) == 1 and "step-000003 is damaged" in said[0] and "continuing from step-000002" in said[0]
    reused.flipped(two / "step-000002" / "update.safetensors")
    with pytest.raises(RunError, match=r"step-000003.*step-000002.*Remove"):
        latest_checkpoint(two, said.append)


def test_folders_of_older_versions_have_no_manifest_and_are_used(tmp_path):
    assert manifest.damage(reused.CACHED) is None
    assert latest_checkpoint(reused.INTERRUPTED / "checkpoints") is not None


def record(tmp_path, make):
    """What a cache says of a base model, and the files of the result."""
    from duolearn_cli.pipeline.model_cache import ModelCache

    cache = ModelCache(tmp_path, SimpleNamespace(), "base")  # type: ignore[arg-type]
    object.__setattr__(cache, "folder", lambda which: tmp_path / which)
    value = cache.record("base", "answers", ["key"], make)
    (path,) = (tmp_path / "base").glob("answers-*.json")
    return value, path


@pytest.mark.parametrize("change", reused.CHANGES.values(), ids=reused.CHANGES)
def test_a_cached_result_that_was_changed_is_made_again(change, tmp_path):
    assert record(tmp_path, lambda: {"a": [1.5]})[0] == {"a": [1.5]}
    value, path = record(tmp_path, lambda: pytest.fail("it is in the cache"))
    assert value == {"a": [1.5]}
    if change is reused.CHANGES["folder"]:
        return
    change(path)
    assert record(tmp_path, lambda: {"a": [2.5]})[0] == {"a": [2.5]}
    assert record(tmp_path, lambda: pytest.fail("it is in the cache"))[0] == {"a": [2.5]}


def test_a_cached_result_of_an_older_version_has_no_checksum_and_is_used(tmp_path):
    _, path = record(tmp_path, lambda: 1)
    path.with_suffix(".sha256").unlink()
    path.write_text(json.dumps({"b": 2}))
    assert record(tmp_path, lambda: pytest.fail("it is in the cache"))[0] == {"b": 2}
