"""duolearn cache: what there is, how old, and what goes."""

import os
import time

import pytest
from filelock import FileLock

from duolearn_cli.config.deploy import CacheConfig
from duolearn_cli.pipeline.cache_entries import DAY, chosen, entries
from duolearn_cli.pipeline.model_cache import alone


def age(path, days):
    then = time.time() - days * DAY
    for one in [path, path.with_suffix(".lock"), *path.rglob("*")]:
        if one.exists():
            os.utime(one, (then, then))


def names(cache):
    return {path.name for kind in ("models", "mentions", "weights") for path in (cache / kind).glob("*")}


def test_the_list_has_every_entry_with_its_size(finished, command):
    done = command("cache")
    assert done.returncode == 0
    size = sum(path.stat().st_size for path in finished.target.iterdir())
    row = next(line for line in done.stdout.splitlines() if finished.target.name in line)
    assert f"| models | {size / 1e6:.2f} | 0.0 | 0.0 |" in row
    shown = {entry.name for entry in entries(finished.cache)}
    assert shown == {name for name in names(finished.cache) if not name.endswith(".lock")}
    assert all(name in done.stdout for name in shown)


def test_age_use_and_name_choose_together(finished):
    gold = next((finished.cache / "models").glob("gold-????????????????"))
    age(finished.target, 40)
    age(gold, 40)
    with alone(gold, lambda note: None):  # as a run does that loads it
        pass
    found = entries(finished.cache)

    def going(**settings):
        return {entry.name for entry in chosen(found, CacheConfig(**settings))}

    assert going(older_than=30) == {finished.target.name, gold.name}
    assert going(unused=30) == {finished.target.name}
    assert going(older_than=30, names=["gold-*"]) == {gold.name}
    assert going(older_than=50) == set()
    assert going(names=["*"]) == {entry.name for entry in found}


def test_prune_deletes_what_is_chosen_and_nothing_else(finished, command):
    before = names(finished.cache)
    listed = command("cache", "prune", "cache.names=[target-*]", "--dry-run")
    assert listed.returncode == 0 and finished.target.name in listed.stdout and names(finished.cache) == before
    gone = finished.target.name
    assert command("cache", "prune", "cache.names=[target-*]", "yes=true").returncode == 0
    assert before - names(finished.cache) == {gone}


def test_a_model_that_is_being_learned_stays(finished, command):
    with FileLock(finished.target.with_suffix(".lock")):
        done = command("cache", "prune", "cache.names=[target-*]", "yes=true")
    assert done.returncode == 0 and "another run is learning or loading it" in done.stdout
    assert finished.target.is_dir()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["prune"], "nothing says what to delete"),
        (["prune", "cache.names=[nothing-*]"], "holds no nothing-*"),
        (["prune", "cache.unused=-1"], "cache.unused=-1"),
        (["prun"], "did you mean 'prune'"),
        (["list", "prune"], "there is no such action"),
    ],
)
def test_mistakes_are_named(duolearn, words, said):
    done = duolearn("cache", *words)
    assert done.returncode == 2 and said in done.stderr
