"""What a report says was asked."""

from duolearn_cli.report.asked import request
from duolearn_cli.report.inputs import Inputs


def test_a_report_says_how_many_facts_each_side_had(metrics):
    scores = metrics["models"]["unlearned"]["scores"]
    assert "Facts asked about" not in dict(request(Inputs(metrics, [], {}, {})))
    scores["forget_accuracy"]["facts"], scores["retain_accuracy"]["facts"] = 25, 50
    shown = dict(request(Inputs(metrics, [], {}, {})))
    assert shown["Facts asked about"] == "25 to forget (100 questions), 50 to keep (100 questions)"


def test_a_run_without_scored_models_says_nothing_of_facts(metrics):
    assert "Facts asked about" not in dict(request(Inputs(metrics | {"models": {}}, [], {}, {})))
