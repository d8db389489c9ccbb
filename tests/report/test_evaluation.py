"""The tables of an evaluation, from metrics as `summarise` makes them."""

from __future__ import annotations

import pytest

from duolearn_cli.evaluation.members import membership_check
from duolearn_cli.evaluation.members import roc_curves as curves_of
from duolearn_cli.evaluation.summary import summarise
from duolearn_cli.report.evaluation import (
    attack_table,
    attack_tables,
    chance_table,
    check_table,
    roc_curves,
    tables,
    worst_table,
)
from duolearn_cli.report.figures import to_svg
from tests.evaluation.test_summary import NO_LEVELS, model

# Of eight pairs, by Wilson's interval: of 8 trials all right or none; of ties alone half of 36.
TIED, ALL, NONE = ("0.500", "[0.345, 0.655]"), ("1.000", "[0.676, 1.000]"), ("0.000", "[0.000, 0.324]")
AREAS = (NONE, ALL, TIED, TIED)


@pytest.fixture(scope="module")
def metrics():
    answers = {
        "base": model([1] * 8, [1] * 4, nll=2.0),
        "target": model([1] * 8, [1] * 4, nll=0.1),
        "gold": model([1, 0] * 4, [1] * 4, nll=2.0),
        "unlearned": model([0] * 8, [1] * 4, nll=3.0),
    }
    text = {"value": 1.5, "low": 1.4, "high": 1.6, "n": 61}
    models = summarise(answers, set(), NO_LEVELS)
    models["unlearned"] |= {
        "written": {"retain": {"rouge_l_recall": text, "rouge_l_f1": text, "degenerate": text}},
        "general": {"bits_per_byte": text, "perplexity": 12345.6, "tokens": 100},
    }
    rows = [{"task": "arc_easy", "metric": "acc", "value": 0.25, "stderr": None}]
    return {
        "models": models,
        "membership_check": membership_check(answers),
        "roc": curves_of(answers),
        "harness": {"results": rows},
    }


def test_each_table_has_every_model_and_its_items(metrics):
    found = {table.title: table for table in (*attack_tables(metrics), *tables(metrics))}
    assert len(found) == 8
    for table in found.values():
        assert table.rows and all(len(row) == len(table.header) for row in table.rows)
    attacks = attack_table(metrics)
    assert attacks.header == ("Attack", "facts", "unlearned", "target", "gold", "base")
    by_name = {row[0]: row[1:] for row in attacks.rows}
    assert by_name["loss, AUC"] == ("16", *(f"{value} {ends}" for value, ends in AREAS))
    assert by_name["reference, AUC"][-1] == "—"
    assert by_name["zlib, TPR at 1 % FPR (needs 100 non-members, there are 8)"][1:] == ("—",) * 4
    assert any("8 pairs with such scores cannot show any difference" in title for title in found)
    worst = {row[0]: row[1:] for row in worst_table(metrics).rows}
    assert worst["target"][0] == "16" and worst["target"][1].startswith("0.000 [0.000, ")
    assert worst["gold"][-1] == "1" and worst["unlearned"][3] == "loss"
    text = "\n".join(table.markdown() for table in found.values())
    assert "| unlearned, forget | 8 |" in text and "12,345.6" in text and "| arc_easy | acc | 0.25 | — |" in text


def test_a_run_of_before_has_none_of_them():
    old = {"models": {"target": {"scores": {}, "splits": {}}}}
    assert attack_tables(old) == tables(old) == [] and roc_curves(old) is None


def test_the_curves_have_a_line_a_model(metrics):
    svg = to_svg(roc_curves(metrics))
    assert all(name in svg for name in ("unlearned", "target", "gold", "base", "false positives, loss attack"))


def test_what_needs_no_knowledge_stands_beside_chance(metrics):
    share = {"value": 0.34, "low": 0.3, "high": 0.38, "n": 80}
    told = {
        "chance": 0.25,
        "floor": {"source": "gold", "rate": 0.15, "cut": 0.5},
        "majority": {"forget": share | {"answer": '"yes"'}},
        "by_options": {"forget": share},
        "by_place": {},
    }
    table = chance_table(metrics | told)
    assert "measured from gold's answers" in table.title
    assert [row[0].split(",")[0] for row in table.rows] == [
        "1 / number of options",
        'always "yes"',
        "a classifier of the options",
        "gold",
    ]
    assert table.rows[0][1] == "25.0" and table.rows[2][1] == "34.0 [30.0, 38.0]"
    # Older runs did not measure it.
    assert chance_table(metrics).rows == ()


def test_the_self_check_and_worst_attack_of_an_older_run_have_dashes():
    """Older runs told of each attack whether it was blind, and no p."""
    area = {"value": 0.5, "low": 0.2, "high": 0.8, "n": 30}
    check = {"model": "gold", "pairs": 15, "usable": True, "attacks": {"loss": {"auc": area, "blind": True}}}
    (row,) = check_table({"membership_check": check}).rows
    assert row == ("loss", "0.500 [0.200, 0.800]", "—", "—")
    score = {"value": 0.9, "low": None, "high": None, "n": 30}
    worst = {"attack": "zlib", "score": score, "expected": score}
    (row,) = worst_table({"models": {"gold": {"scores": {}, "worst_attack": worst}}}).rows
    assert row[-1] == "—"
