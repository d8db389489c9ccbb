"""`duolearn benchmark` as a user calls it."""

import json
import shutil
from types import SimpleNamespace

import pytest

from duolearn_cli.cli.commands import benchmark
from duolearn_cli.cli.commands.common import NEEDED_BYTES, Invocation
from duolearn_cli.config.compose import compose
from duolearn_cli.errors import ConfigError, RunError
from tests.conftest import SMALL, last, own_method
from tests.contributing import leave_example

GIVEN = ["benchmark", "+forget=surgery", *SMALL, "benchmark.methods=[npo,gradient_ascent]", "benchmark.trials=2"]
GIVEN += ["benchmark.seeds=[0]", "evaluation.generate_items=0", "output_dir=outputs"]


def test_a_benchmark_from_beginning_to_end(duolearn, tmp_path):
    done = duolearn(*GIVEN)
    assert done.returncode == 0, done.stderr
    assert "| gradient_ascent |" in done.stdout and "| gold |" in done.stdout
    (folder,) = tmp_path.glob("outputs/*/*-benchmark-surgery")
    assert json.loads((folder / "run.json").read_text())["status"] == "finished"
    found = json.loads((folder / "benchmark.json").read_text())
    assert {"pareto.svg", "benchmark.md"} <= {path.name for path in folder.iterdir()}
    for method, one in found["methods"].items():
        assert [trial["status"] for trial in one["trials"]] == ["finished"] * 2
        check_facts(folder, method)
    again = duolearn("benchmark", f"resume={folder}")
    assert again.returncode == 0, again.stderr
    assert json.loads((folder / "benchmark.json").read_text()) == found
    other = duolearn("unlearn", f"resume={folder}")
    assert other.returncode == 2 and "is a run of `duolearn benchmark`, not of `duolearn unlearn`" in other.stderr
    refused = duolearn("benchmark", f"resume={folder}", "benchmark.trials=3")
    assert refused.returncode == 2 and "leave out: benchmark.trials=3" in refused.stderr


def check_facts(folder, method):
    """What a choice is made by and what is reported have no fact in common, and are of the same models' answers."""
    facts = {}
    for name in (f"trials/{method}/0", f"runs/{method}/epochs-2-seed-0"):
        rows = [json.loads(line) for line in (folder / name / "predictions.jsonl").read_text().splitlines()]
        facts[name] = {row["fact"] for row in rows}
        assert {row["model"] for row in rows} == {"base", "target", "gold", "unlearned"}
        assert (folder / name / "report.html").is_file() == name.startswith("runs")
    first, second = facts.values()
    assert first and second and not first & second


def test_a_dry_run_lists_the_tries_and_leaves_nothing(duolearn, tmp_path):
    done = duolearn(*GIVEN, "--dry-run")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("| npo |") == 2 and not list(tmp_path.glob("outputs/*"))


def test_a_search_space_of_ones_own_replaces_the_methods(duolearn):
    space = "+benchmark.search.npo={method.beta:[0.3],unlearn.learning_rate:[2e-3,3e-3]}"
    done = duolearn(*last(*GIVEN, "benchmark.trials=9", space), "--dry-run")
    assert done.returncode == 0, done.stderr
    found = [row for row in done.stdout.splitlines() if row.startswith("| npo |")]
    assert "defaults" in found[0] and all("method.beta=0.3 unlearn.learning_rate=" in row for row in found[1:])
    assert len(found) == 3 and done.stdout.count("| gradient_ascent |") > 2


@pytest.mark.parametrize(
    "given, told",
    [
        (
            "+benchmark.search.nop={method.beta:[1]}",
            "search.nop: there is no such method in this benchmark; allowed: npo, ",
        ),
        ("+benchmark.search.npo={}", "benchmark.search.npo={}: allowed: values by setting"),
        (
            "+benchmark.search.npo={split.seed:[1]}",
            "split.seed: a method's tries share all else; allowed: ",
        ),
        (
            "+benchmark.search.wga={method.beta:[1]}",
            "search.wga: there is no such method in this benchmark",
        ),
        ("+benchmark.search.npo={unlearn.epochs:[5]}", "unlearn.epochs: a method's tries share all else; allowed: "),
        ("+benchmark.search.npo={method.beta:[1,1]}", "method.beta=[1, 1]: a value is there twice"),
        ("+benchmark.search.npo={method.beta:0.5}", "method.beta=0.5: allowed: a list of values"),
        ("+benchmark.search.npo={method.beta:[[1]]}", "method.beta=[[1]]: allowed: numbers and words."),
        ("+benchmark.search.npo={method.bta:[1]}", "npo (method.bta=1): method.bta: there is no such setting"),
        ("benchmark.search.npo={method.beta:[1]}", "added with a plus: +benchmark.search.npo={...}."),
        ("benchmark.search={npo:{method.beta:[1]}}", "added with a plus: +benchmark.search.npo={...}."),
    ],
)
def test_a_search_space_that_cannot_be_is_refused(given, told):
    with pytest.raises(ConfigError) as refused:
        benchmark.run(compose("benchmark", [*GIVEN[1:], given, "dry_run=true"]), Invocation([*GIVEN[1:], given], None))
    assert told in str(refused.value)


def test_room_for_all_runs_is_asked_for_before_the_first(tmp_path, monkeypatch):
    """There would be enough for one run, and there is not for six."""
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=NEEDED_BYTES + 50_000_000))
    given = [*GIVEN[1:], f"output_dir={tmp_path / 'out'}", f"cache_dir={tmp_path / 'cache'}"]
    with pytest.raises(RunError, match="GB are needed"):
        benchmark.run(compose("benchmark", given), Invocation(given))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("benchmark.methods=[nopo]", "benchmark.methods=nopo: there is no such method; allowed: duolearn"),
        ("benchmark.methods=[npo,npo]", "an entry is there twice"),
        ("benchmark.seeds=[]", "benchmark.seeds=[]: one at least"),
        ("benchmark.seeds=[-1]", "allowed: 0 or more"),
        ("benchmark.epochs=[0]", "allowed: 1 or more"),
        ("benchmark.trials=0", "benchmark.trials=0: allowed: 1 or more"),
    ],
)
def test_what_cannot_be_is_refused_at_once(override, message):
    with pytest.raises(ConfigError) as caught:
        compose("benchmark", ["+forget=surgery", override])
    assert message in str(caught.value)


def test_what_privacy_rules_out_is_known_before_anything_runs(duolearn, tmp_path):
    done = duolearn(*GIVEN, "privacy=eps4", "unlearn.packing=true")
    assert done.returncode == 2 and "unlearn.packing=true" in done.stderr
    assert not list(tmp_path.glob("outputs/*"))


def test_a_method_and_a_measure_of_the_users_own_are_compared_like_any_other(duolearn, tmp_path):
    groups, trust = own_method(tmp_path)
    leave_example("measure", tmp_path)
    trust = trust.replace("mine", "mine,margin")
    given = last(*GIVEN, *groups, "benchmark.methods=[mine]", "benchmark.trials=1", "+measure=margin")
    refused = duolearn(*given)
    assert refused.returncode == 2 and "plugins" in refused.stderr and not list(tmp_path.glob("outputs/*"))
    done = duolearn(*given, trust)
    assert done.returncode == 0, done.stderr
    (folder,) = tmp_path.glob("outputs/*/*-benchmark-surgery")
    found = json.loads((folder / "benchmark.json").read_text())
    assert list(found["methods"]) == ["mine"] and found["methods"]["mine"]["runs"]["2"]["finished"] == 1
    value = found["methods"]["mine"]["runs"]["2"]["margin"]["value"]
    assert " Margin ↓ |" in done.stdout and f"| {value:.3f} |" in done.stdout
    assert found["references"]["gold"]["margin"]["low"] < found["references"]["gold"]["margin"]["high"]
    untrusted = duolearn("benchmark", *groups, f"resume={folder}")
    assert untrusted.returncode != 0 and "plugins=[mine,margin]" in untrusted.stderr
    assert "Traceback" not in untrusted.stderr + duolearn("benchmark", f"resume={folder}", trust).stderr
    again = duolearn("benchmark", *groups, f"resume={folder}", trust)
    assert again.returncode == 0, again.stderr
    assert json.loads((folder / "benchmark.json").read_text()) == found
