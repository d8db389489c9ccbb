"""Ratios, goals and the comparison with an earlier result, which are pure functions of numbers."""

import json

import pytest

from duolearn_cli.benchmarks.speed.results import GOALS, check_same, compared, judged, missed, read_result, worse
from duolearn_cli.benchmarks.speed.variants import Over, variants
from duolearn_cli.config.compose import compose
from duolearn_cli.errors import RunError
from duolearn_cli.files import groups

SECONDS = {"a": [1.0, 2.0, 4.0], "b": [3.0, 4.0, 4.0]}
PAIRS = [("b", Over("a")), ("b", Over("a", 2))]
HEAD = {"schema": 1, "model": "tiny", "vocabulary": 4096, "device": "cpu", "items": {"forget": 8, "retain": 8}}


def ratio(value, of="method/npo", over="peer/npo_lora", what="time", times=1):
    return {"what": what, "of": of, "over": over, "times": times, "ratio": value}


def test_ratios_are_paired_by_repeat():
    memory = {"a": {"peak_bytes": 100}, "b": {"peak_bytes": 150}}
    once, twice, bytes_ = compared(PAIRS, SECONDS, memory)
    assert (once["low"], once["ratio"], once["high"]) == (1.5, 2.0, 2.5)
    assert once["least"] == 3.0
    assert twice["ratio"] == 1.0 and twice["times"] == 2
    assert bytes_ == {"what": "memory", "of": "b", "over": "a", "times": 1, "ratio": 1.5}
    assert all(one["what"] == "time" for one in compared(PAIRS, SECONDS, {}))


def test_goals_are_judged_if_they_were_measured():
    (goal,) = judged([ratio(0.4)], 32_000)
    assert (goal["found"], goal["most"], goal["met"]) == (0.4, 0.35, False)
    assert judged([ratio(0.3)], 32_000)[0]["met"]
    assert judged([ratio(0.4)], 4096) == [], "this goal is for large vocabularies"
    (line,) = missed([goal])
    assert all(part in line for part in ("method/npo", "0.40 of peer/npo_lora", "allows 0.35", "bench.repeats"))


def test_goals_name_existing_variants():
    every = variants(compose("bench", ["+forget=surgery"]))
    for goal in json.loads(GOALS.read_text())["goals"]:
        assert Over(goal["over"], goal["times"]) in every[goal["of"]].over, goal
    assert {"npo", "duolearn"} <= set(groups()["method"])


@pytest.mark.parametrize(("now", "count"), [(0.37, 0), (0.38, 1), (0.1, 0)])
def test_worse_by_more_than_tolerated(now, count):
    earlier = {"ratios": [ratio(0.3), ratio(1.0, of="method/old")]}
    lines = list(worse(earlier, [ratio(now), ratio(9.0, of="method/new")], 0.25, "before.json"))
    assert len(lines) == count
    for line in lines:
        assert "\n" not in line
        for part in ("method/npo: time is 0.38 of peer/npo_lora", "allowed 0.38", "0.30 in before.json", "tolerance"):
            assert part in line


def test_an_earlier_result_is_read_and_must_be_comparable(tmp_path):
    path = tmp_path / "bench.json"
    path.write_text(json.dumps(HEAD | {"ratios": [ratio(0.3)]}))
    earlier = read_result(str(path))
    check_same(str(path), earlier, HEAD)
    for key, value, said in (
        ("vocabulary", 32_000, "vocabulary 4096, this run of 32000"),
        ("items", {"forget": 9, "retain": 9}, "items forget 8, retain 8, this run of forget 9"),
    ):
        with pytest.raises(RunError, match=said):
            check_same(str(path), earlier, HEAD | {key: value})


@pytest.mark.parametrize(
    "content", [None, "no json", "[]", "{}", '{"schema": 2, "ratios": []}', '{"schema": 1, "ratios": [{"ratio": 1.0}]}']
)
def test_a_file_that_is_not_a_result_is_refused_in_one_line(tmp_path, content):
    path = tmp_path / "bench.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(RunError) as caught:
        read_result(str(path))
    assert f"bench.compare={path}" in str(caught.value) and len(str(caught.value).splitlines()) == 1
