"""The script that tells every measure of several runs."""

import json

import pytest

from tests.scripts import load


@pytest.mark.parametrize(("seeds", "shown"), [((0.3, 0.6, 0.9), "0.300 to 0.900"), ((0.3,), "0.300")])
def test_p_values_are_not_averaged(tmp_path, seeds, shown):
    """Their mean, and a t-interval of it, [-0.06, 0.12] once, say nothing."""
    folders = []
    for seed, p_value in enumerate(seeds):
        entry = {"gold": {"forget": {"ks": 0.1 + seed / 10, "ks_p_value": p_value}}}
        folder = tmp_path / str(seed)
        folder.mkdir()
        (folder / "metrics.json").write_text(json.dumps({"models": dict.fromkeys(MODELS, entry)}))
        folders.append(folder)
    rows = {row[0]: row[1:] for row in load("results_table").measures({"mine": folders}).rows}
    assert rows["gold, forget, ks_p_value"][-1] == shown
    assert rows["gold, forget, ks"][-1].startswith("0.200" if len(seeds) > 1 else "0.100")


MODELS = ("base", "target", "gold", "unlearned")
