"""The verdict and the warnings, in the terminal as in the report."""

import io
import json

import pytest
from rich.console import Console

from duolearn_cli.report.page import write_report
from duolearn_cli.report.results import show_results
from duolearn_cli.report.terminal import Display
from duolearn_cli.report.verdict import verdict, warnings


@pytest.fixture
def doubtful(metrics):
    """A run that ranks retain answers and does not say them."""
    for name, value in (("target", 0.78), ("gold", 0.77), ("unlearned", 0.03)):
        scores = metrics["models"][name]["scores"]
        scores["retain_recall"] = scores["mia_auc"] | {"value": value, "low": value - 0.02, "high": value + 0.02}
    share = scores["mia_auc"] | {"value": 0.038, "low": 0.01, "high": 0.07}
    scores["retain_recall_share"] = share
    return metrics | {"flags": ["Ranking and saying disagree."], "flagged": ["knowledge_preservation"]}


def printed(folder, metrics, **terminal):
    file = io.StringIO()
    show_results(folder, metrics, {"status": "finished"}, Display(Console(file=file, width=200, **terminal)))
    return file.getvalue()


@pytest.mark.parametrize("is_terminal", [True, False])
def test_a_terminal_shows_the_warnings_that_it_marks(tmp_path, doubtful, is_terminal):
    text = printed(tmp_path, doubtful, force_terminal=is_terminal, _environ={"TERM": "xterm"})
    assert "(!): see the warnings" in text and "96.8 [94.8, 98.8] (!)" in text
    assert (
        "warnings (1); rows of the table that they concern are marked (!)" in text
        and "- Ranking and saying disagree." in text
    )
    assert "Accuracy on surgery items went from 93.0 % to 27.0 %" in text
    assert text.index("KPR (%)") < text.index("Accuracy on surgery") < text.index("- Ranking")


def test_a_run_without_a_warning_speaks_of_none(tmp_path, metrics):
    assert "warning" not in printed(tmp_path, metrics | {"flags": []}, force_terminal=False)


def test_the_verdict_tells_what_the_model_says_of_itself(doubtful):
    said = verdict(doubtful)
    assert "\n" not in said and said.endswith("3.8 [1.0, 7.0] % of what the target gives (target 78.0 %, gold 77.0 %).")
    assert "gives 3.0 [1.0, 5.0] % of the retain answers" in said


def test_the_verdict_says_which_intervals_are_at_90_per_cent(doubtful):
    """Those of the test of equivalence stand among others at 95 %."""
    way = {"value": 1.44, "low": 1.14, "high": 1.7}
    of_gold = {"forget": {"likeness": {"nll": way, "chance": way, "margin": 0.1, "shown": False}}}
    doubtful["models"]["unlearned"]["gold"] = of_gold
    said = verdict(doubtful)
    assert "is not shown (90 % intervals). The losses moved 144 % [114, 170] of the way" in said
    assert "from target to gold: past gold. The right answer's probability moved 144 % [114, 170]: past gold." in said


@pytest.mark.parametrize(("low", "high", "side"), [(0.8, 0.97, ": short of gold."), (0.8, 1.2, "."), (None, None, ".")])
def test_the_verdict_says_on_which_side_of_gold_the_losses_are(doubtful, low, high, side):
    way = {"value": 0.9, "low": low, "high": high}
    of_gold = {"forget": {"likeness": {"nll": way, "chance": way, "margin": 0.1, "shown": True}}}
    doubtful["models"]["unlearned"]["gold"] = of_gold
    shown = "90 %" if low is None else f"90 % [{100 * low:.0f}, {100 * high:.0f}]"
    assert f"changed (90 % intervals). The losses moved {shown} of the way from target to gold{side}" in verdict(
        doubtful
    )


def test_a_target_that_says_no_answer_has_no_share(doubtful):
    scores = doubtful["models"]["unlearned"]["scores"]
    scores["retain_recall_share"] = None
    said = verdict(doubtful)
    assert said.endswith("of the retain answers (target 78.0 %, gold 77.0 %).") and "—" not in said


def test_a_rate_without_a_value_is_said_to_have_none(doubtful):
    """A target that answers no retain item right has no accuracy to keep."""
    scores = doubtful["models"]["unlearned"]["scores"]
    scores["knowledge_preservation"] = {"value": None, "low": None, "high": None, "n": 60, "higher_is_better": True}
    said = verdict(doubtful)
    assert "that was kept, has no value; a model that never" in said and "—" not in said
    scores["forgetting_rate"] = None
    assert "(FR has no value)" in verdict(doubtful)


def test_older_runs_have_a_verdict_and_a_table(tmp_path, metrics, write_run):
    """metrics.json of before recall and sides: what it has is shown, what it lacks is left out."""
    assert "Of itself" not in verdict(metrics)
    write_report(write_run(tmp_path, metrics))
    text = (tmp_path / "report.md").read_text()
    assert "Invalid answers (%) ↓" in text and "Recall" not in text and "held-out phrasings" in text


def test_reports_show_them_too(tmp_path, doubtful, write_run):
    common = doubtful["models"]["target"]["scores"]["mia_auc"] | {"value": 0.55, "answer": "option 1"}
    told = {"data": doubtful["data"] | {"heldout": "orders"}, "majority": {"forget": common}}
    write_report(write_run(tmp_path, doubtful | told))
    for name in ("report.md", "report.html"):
        text = (tmp_path / name).read_text()
        assert "Ranking and saying disagree." in text and "of what the target gives" in text
        assert "No model was trained on options in another order." in text
        assert "commonest answer, forget items" in text and "option 1, right for 55.0" in text


def test_an_interrupted_run_and_its_noise_are_warned_of(metrics):
    found = warnings(metrics, [], {"status": "interrupted"})
    assert found == ["AUC is below 0.5 for gold.", "The run interrupted: its numbers may be incomplete."]
    assert warnings({**metrics, "flags": None}, [], {}) == [] and json.dumps(found)
