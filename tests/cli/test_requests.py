"""Several requests in sequence, through the public command."""

import json

import pytest

from tests.conftest import SMALL


@pytest.mark.slow
def test_a_second_request_leaves_the_first_alone(duolearn, tmp_path):
    done = duolearn("unlearn", "+forget=surgery", *SMALL, "hydra.run.dir=first")
    assert done.returncode == 0, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["first"]
    asked = ["unlearn", "+forget=anxiety", *SMALL, "adapter=first/adapter"]
    refused = duolearn(*asked)
    assert refused.returncode == 2 and refused.stderr.rstrip().endswith("Give forgotten=[surgery].")
    done = duolearn(*asked, "forgotten=[surgery]", "hydra.run.dir=second")
    assert done.returncode == 0, done.stderr
    assert "of earlier requests are neither retained nor learned" in done.stdout
    second = tmp_path / "second"
    metrics = json.loads((second / "metrics.json").read_text())
    assert metrics["data"]["forgotten"]["surgery"] > 500
    assert "peft=second/adapter" in metrics["harness"]["command"]
    rows = [json.loads(line) for line in (second / "predictions.jsonl").read_text().splitlines()]
    assert {row["model"] for row in rows} == {"base", "target", "gold", "unlearned"}
    assert {row["subject"] == "Surgery" for row in rows if row["split"] != "earlier"} == {False}
    # Whether it is still forgotten is measured, of every model.
    earlier = [row for row in rows if row["split"] == "earlier"]
    assert {row["subject"] for row in earlier} == {"Surgery"} and len(earlier) == 4 * metrics["data"]["earlier"]
    assert {name for name, one in metrics["models"].items() if "earlier" in one["splits"]} == set(metrics["models"])
    assert "Accuracy on items of earlier requests" in done.stdout
    page = (second / "report.md").read_text()
    assert "neither kept nor learned" in page and "Accuracy on items of earlier requests" in page
    # What is scored again is asked the same, and goes where it is told.
    again = duolearn("evaluate", "run=second", "hydra.run.dir=again")
    assert again.returncode == 0, again.stderr
    assert json.loads((tmp_path / "again" / "metrics.json").read_text())["models"] == metrics["models"]
    taken = duolearn("evaluate", "run=second", "hydra.run.dir=first")
    assert taken.returncode == 2 and "duolearn unlearn resume=first" in taken.stderr
