"""What is done, by whom and in which order: with runs that are only left, not made."""

import json
import threading
from io import StringIO

import pytest
from rich.console import Console

from duolearn_cli.benchmarks.methods.session import Session, claimed
from duolearn_cli.config.compose import compose
from duolearn_cli.errors import RunError
from duolearn_cli.report.benchmark import benchmark_table, choices_table, pareto, remarks, write_page
from duolearn_cli.report.terminal import Display
from tests.benchmarks.methods.folders import estimate, leave_run

TRIES = {"good": [{}, {"method.beta": 0.5}], "bad": [{}, {"method.beta": 0.5}]}


class Performer:
    """Leaves a run for each job: `bad` forgets half as much, the second tries are better; some fail as told."""

    def __init__(self, folder, failing=()):
        self.folder, self.failing, self.done = folder, failing, []

    def __call__(self, job):
        self.done.append(str(job.folder))
        forgotten = (0.7 if job.method == "good" else 0.3) + 0.05 * len(job.settings)
        is_failing = str(job.folder) in self.failing
        leave_run(
            self.folder / job.folder,
            forgotten,
            0.9,
            seed=job.seed,
            status="diverged" if is_failing else "finished",
            overrides=job.overrides,
        )


def session(folder, performer, **changes):
    given = {"tries": TRIES, "seed": 0, "seeds": [0, 1], "epochs": [8]} | changes
    return Session(folder, perform=performer, display=Display(Console(file=StringIO())), **given)


def test_tries_come_first_and_then_the_chosen_settings_seed_by_seed(tmp_path):
    performer = Performer(tmp_path)
    one = session(tmp_path, performer)
    one.complete()
    assert performer.done == [
        "trials/good/0",
        "trials/bad/0",
        "trials/good/1",
        "trials/bad/1",
        "runs/good/epochs-8-seed-0",
        "runs/bad/epochs-8-seed-0",
        "runs/good/epochs-8-seed-1",
        "runs/bad/epochs-8-seed-1",
    ]
    assert one.num_jobs == 8
    for method in TRIES:
        distances = [own.distance for own in one.worths(method)]
        assert one.choice(method) == distances.index(min(distances))
        assert all(job.settings == TRIES[method][one.choice(method)] for job in one.runs(method))


def test_what_is_done_is_not_done_again(tmp_path):
    session(tmp_path, Performer(tmp_path)).complete()
    again = Performer(tmp_path)
    session(tmp_path, again).complete()
    assert again.done == []
    more = Performer(tmp_path)
    session(tmp_path, more, seeds=[0, 1, 2]).complete()
    assert more.done == ["runs/good/epochs-8-seed-2", "runs/bad/epochs-8-seed-2"]


def test_failed_tries_are_not_chosen_and_a_method_without_any_is_not_run(tmp_path):
    performer = Performer(tmp_path, failing=["trials/good/1", "trials/bad/0", "trials/bad/1"])
    one = session(tmp_path, performer)
    one.complete()
    assert one.choice("good") == 0 and one.choice("bad") is None
    assert [name for name in performer.done if name.startswith("runs")] == [
        "runs/good/epochs-8-seed-0",
        "runs/good/epochs-8-seed-1",
    ]
    found = one.results(compose("benchmark", ["+forget=surgery"]), one.answered())
    assert found["methods"]["bad"]["runs"] == {} and "hypervolume" not in found["methods"]["bad"]
    shown = benchmark_table(found)
    assert shown.rows[1][0] == "bad" and shown.rows[1][-2:] == ("no try is worth anything", "2")
    assert all(len(row) == len(shown.header) for row in shown.rows)
    assert [row[-2] for row in choices_table(found).rows if row[0] == "bad"] == ["diverged", "diverged"]


def test_an_interrupted_run_is_gone_on_with_and_the_rest_is_kept(tmp_path):
    def interrupting(job):
        if str(job.folder) == "trials/good/1":
            leave_run(tmp_path / job.folder, 0, 0, status="interrupted")
            raise KeyboardInterrupt
        Performer(tmp_path)(job)

    with pytest.raises(KeyboardInterrupt):
        session(tmp_path, interrupting).complete()
    performer = Performer(tmp_path)
    session(tmp_path, performer).complete()
    assert performer.done[0] == "trials/good/1" and "trials/bad/0" not in performer.done


def test_two_that_share_a_folder_do_each_run_once(tmp_path):
    performers = [Performer(tmp_path), Performer(tmp_path)]
    threads = [threading.Thread(target=session(tmp_path, one).complete) for one in performers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    done = performers[0].done + performers[1].done
    assert len(done) == len(set(done)) == 8


def test_a_claim_is_held_by_one_and_let_go(tmp_path):
    with claimed(tmp_path / "trials" / "a") as first, claimed(tmp_path / "trials" / "a") as second:
        assert (first, second) == (True, False)
    with claimed(tmp_path / "trials" / "a") as third:
        assert third


def test_what_is_written(tmp_path):
    one = session(tmp_path, Performer(tmp_path), epochs=[2, 4])
    one.complete()
    found = json.loads(json.dumps(one.results(compose("benchmark", ["+forget=surgery"]), one.answered())))
    assert found["schema"] == 2 and found["seeds"] == [0, 1] and list(found["methods"]) == ["good", "bad"]
    assert list(found["methods"]["good"]["runs"]) == ["2", "4"]
    table = benchmark_table(found)
    assert [row[0] for row in table.rows] == ["good", "", "bad", "", "gold"]
    assert table.rows[0][3] == "best" and all(len(row) == len(table.header) for row in table.rows)
    assert any("all differences among the 2 methods" in remark for remark in remarks(found))
    assert any("share one target" in remark for remark in remarks(found))
    alone = found | {"methods": {"good": found["methods"]["good"]}}
    assert not any("differences among" in remark for remark in remarks(alone))
    assert benchmark_table(alone).rows[0][3] != "best"
    found["references"]["gold"] |= {"mia_worst": estimate(0.85), "mia_worst_expected": estimate(0.8)}
    gold, expected = benchmark_table(found).rows[-2:]
    worst = table.header.index("MIA score, worst attack ↑")
    assert (gold[0], gold[worst][:5]) == ("gold", "0.850") and len(expected) == len(table.header)
    assert (expected[0], expected[worst][:5]) == ("if members did not differ", "0.800")
    assert any("no part of any run's epsilon" in remark for remark in remarks(found | {"privacy": "eps4"}))
    assert not any("given for this benchmark" in remark for remark in remarks(found))
    config = compose("benchmark", ["+forget=surgery", "+benchmark.search.npo={method.beta:[0.1,0.5]}"])
    said = remarks(one.results(config, one.answered()))
    assert any("npo: its tries" in remark and "method.beta: [0.1, 0.5]" in remark for remark in said)
    figure = pareto(found)
    assert figure is not None
    runs = [run for one in found["methods"].values() for run in one["runs"].values()]
    heights = [line.get_ydata()[0] for line in figure.axes[1].get_lines()]  # of likeness to gold; gold's own is 100
    assert {round(100 * (1 - run["ks"]), 6) for run in runs} | {100} <= {round(float(y), 6) for y in heights}
    write_page(tmp_path, found)
    page = (tmp_path / "benchmark.md").read_text()
    assert "pareto.svg" in page and "chosen" in page
    assert (tmp_path / "pareto.svg").read_text().startswith("<svg")


def test_nothing_is_drawn_before_anything_has_finished(tmp_path):
    def interrupting(job):
        raise KeyboardInterrupt

    one = session(tmp_path, interrupting)
    with pytest.raises(KeyboardInterrupt):
        one.complete()
    found = one.results(compose("benchmark", ["+forget=surgery"]), one.answered())
    assert pareto(found) is None
    assert [row[-2] for row in benchmark_table(found).rows] == ["not chosen yet"] * 2


def test_scores_that_are_undefined_are_worth_nothing_and_shown_as_such(tmp_path):
    def perform(job):
        Performer(tmp_path)(job)
        if job.method == "bad":
            path = tmp_path / job.folder / "metrics.json"
            found = json.loads(path.read_text())
            found["models"]["unlearned"]["scores"]["knowledge_preservation"]["value"] = None
            path.write_text(json.dumps(found))

    one = session(tmp_path, perform)
    one.complete()
    assert one.choice("bad") is None and one.choice("good") is not None
    found = one.results(compose("benchmark", ["+forget=surgery"]), one.answered())
    assert pareto(found) is not None and benchmark_table(found).rows[1][-2] == "no try is worth anything"


def test_a_run_of_other_settings_is_not_taken_for_this_one(tmp_path):
    session(tmp_path, Performer(tmp_path)).complete()
    changed = {"good": [{}, {"method.beta": 0.7}], "bad": TRIES["bad"]}
    one = session(tmp_path, Performer(tmp_path), tries=changed)
    assert one.status(one.trials("good")[1]) == "other settings" and one.choice("good") is None


def test_a_job_that_does_not_end_is_no_endless_loop(tmp_path):
    def nothing(job):
        leave_run(tmp_path / job.folder, 0, 0, status="created")

    with pytest.raises(RunError, match="trials/good/0: this run has not ended, it is created"):
        session(tmp_path, nothing).complete()
