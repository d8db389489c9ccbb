"""Sentences of metrics.json are told from figures."""

import json
from pathlib import Path

from duolearn_cli.config.verdict import VerdictConfig
from duolearn_cli.evaluation.own_model import without_gold
from duolearn_cli.evaluation.prose import SENTENCES, reworded, texts, without_prose
from duolearn_cli.evaluation.verdict import verdict

OLD = Path(__file__).parents[1] / "fixtures" / "before_the_packages" / "finished" / "metrics.json"
METRICS = {
    "flags": ["One.", "Two."],
    "flagged": ["mia_auc"],
    "advice": {"One.": "Do this."},
    "verdict": {
        "sentence": "All is well.",
        "lights": [
            {"key": "kept", "name": "Kept", "state": "green", "said": "a", "reason": "b", "bar": {"label": "c"}}
        ],
    },
    "models": {"unlearned": {"scores": {"mia_tpr_1": {"value": None, "reason": "needs more"}}}},
}


def test_only_sentences_are_left_out():
    assert without_prose(METRICS) == {
        "flags": ["", ""],
        "flagged": ["mia_auc"],
        "verdict": {
            "sentence": "",
            "lights": [{"key": "kept", "name": "", "state": "green", "said": "", "reason": "", "bar": {"label": ""}}],
        },
        "models": {"unlearned": {"scores": {"mia_tpr_1": {"value": None, "reason": ""}}}},
    }


def test_a_number_in_the_place_of_a_sentence_is_no_sentence():
    assert without_prose({"flags": [1, None]}) == {"flags": [1, None]}
    assert without_prose({"verdict": {"sentence": None}}) != without_prose({"verdict": {"sentence": ""}})


def test_what_is_worded_differently_is_named():
    changed = json.loads(json.dumps(METRICS))
    assert reworded(METRICS, changed) == []
    changed["flags"][1] = "2."
    changed["models"]["unlearned"]["scores"]["mia_tpr_1"]["reason"] = "too few"
    changed["flagged"] = ["x"]
    assert reworded(METRICS, changed) == ["flags[1]", "models.unlearned.scores.mia_tpr_1.reason"]


def test_each_declared_place_is_one_that_a_run_writes():
    written = json.loads(OLD.read_text(encoding="utf-8"))
    written["verdict"] = verdict(written, VerdictConfig())
    written["models"]["unlearned"] = without_gold(written["models"]["unlearned"])
    written = json.loads(json.dumps({**written, "flags": ["One."]}))
    assert {one for one, _ in texts(written) if SENTENCES.fullmatch(one)} >= {
        "flags[0]",
        "verdict.sentence",
        "verdict.lights[0].name",
        "verdict.lights[0].said",
        "verdict.lights[0].reason",
        "verdict.lights[0].bar.label",
        "models.unlearned.gold.reason",
    }
