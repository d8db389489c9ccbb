"""How a model predicts the words of documents, against a naive loop over tokens."""

from __future__ import annotations

import json
import math

import pytest
import torch

from duolearn_cli.evaluation.document_score import WindowScore, WindowTask, score_windows
from duolearn_cli.evaluation.document_summary import extraction, fact_groups, words
from duolearn_cli.model.encoding import Encoded


def task(name: str, ids: list[int], parts: list[str | None], values: list[int]) -> WindowTask:
    text = Encoded("x" * len(ids), tuple(ids), tuple((i, i + 1) for i in range(len(ids))), (True,) * len(ids))
    return WindowTask(name, "p1", 0, text, parts, values)


def naive(model, one: WindowTask) -> dict[str, tuple[float, int, int]]:
    """Sum by part, one token at a time, from logits of a forward of this text alone."""
    found: dict[str, tuple[float, int, int]] = {}
    with torch.no_grad():
        logits = model.network(torch.tensor([one.text.ids])).logits[0].double()
    for i in range(1, len(one.text.ids)):
        if (part := one.parts[i]) is None:
            continue
        log_p = logits[i - 1].log_softmax(-1)
        nll, hits, count = found.get(part, (0.0, 0, 0))
        token = one.text.ids[i]
        found[part] = (nll - float(log_p[token]), hits + int(log_p.argmax() == token), count + 1)
    return found


def test_parts_are_summed_as_a_naive_loop_does(fresh):
    tasks = [
        task("a", [1, 5, 9, 12, 7, 30], [None, "rest", "forgotten", "forgotten", None, "rest"], [-1, -1, 0, 0, -1, 1]),
        task("b", [1, 8, 8], [None, "kin", "kin"], [-1, 0, 1]),
    ]
    for one, score in zip(tasks, score_windows(fresh, tasks, 64), strict=True):
        expected = naive(fresh, one)
        assert score.tokens.keys() == expected.keys()
        for part, (nll, hits, count) in expected.items():
            assert score.tokens[part] == (pytest.approx(nll, rel=1e-4), hits, count)
    assert score.values == {"kin": (score.tokens["kin"][1], 2)}


def test_a_score_survives_json():
    score = WindowScore("a", "p1", 0, {"rest": (1.5, 1, 2)}, {"rest": (0, 1)}, 0.5)
    assert WindowScore.of(json.loads(json.dumps(score.as_dict()))) == score


def test_shares_are_over_all_tokens_of_a_part():
    scores = [
        WindowScore("a", None, 0, {"rest": (2.0, 1, 2), "forgotten": (9.0, 0, 3)}, {"forgotten": (1, 2)}, 0.25),
        WindowScore("b", None, 0, {"rest": (1.0, 3, 4)}, {}, math.nan),
    ]
    found = words(scores)
    assert found["rest"]["predicted"]["value"] == pytest.approx(4 / 6)
    assert found["rest"]["nll"]["value"] == pytest.approx(3 / 6) and "values" not in found["rest"]
    assert found["forgotten"]["values"]["value"] == 0.5 and "kin" not in found
    assert extraction(scores)["strength"]["value"] == 0.25 and extraction(scores[1:]) == {}


class Row:
    def __init__(self, name: str, fact: str, correct: bool) -> None:
        self.id, self.fact, self.correct = name, fact, correct


def test_answers_are_grouped_by_asking_and_nearness():
    answers = {
        "forget_heldout": [Row("q1", "f1", False), Row("c1", "f1", True)],
        "retain_heldout": [Row("q2", "f2", True), Row("q3", "f3", False), Row("c3", "f3", True)],
    }
    found = fact_groups(answers, {"f2": "neighbour", "f3": "rest"}, {"c1", "c3"})  # type: ignore[arg-type]
    shares = {kind: {name: one["value"] for name, one in own.items()} for kind, own in found.items()}
    assert shares == {
        "question": {"forgotten": 0.0, "neighbour": 1.0, "rest": 0.0},
        "continuation": {"forgotten": 1.0, "rest": 1.0},
    }
