import math

import pytest
from rich.console import Console

from duolearn_cli.evaluation.measures import of_table
from duolearn_cli.report.evaluation import attack_table
from duolearn_cli.report.measures import heading_of
from duolearn_cli.report.tables import (
    DASH,
    TOO_FEW,
    Table,
    cell,
    level_table,
    markdown_text,
    measures_table,
    number,
    subject_table,
)


def rows_by_name(table):
    """Without the number of items, which the first column ends with."""
    return {row[0].partition(", n ")[0]: row[1:] for row in table.rows}


def test_measures_stand_in_rows_and_models_in_columns(metrics):
    table = measures_table(metrics)
    rows = rows_by_name(table)
    assert table.header == ("Measure", "unlearned", "target", "gold", "base")
    assert rows["Forget accuracy, trained phrasings (%) ↓"][1] == "95.0 [90.0, 100.0]"
    assert rows["Retain accuracy, held-out phrasings (%) ↑"][0] == "89.0 [84.0, 94.0]"
    assert rows["FR (%)"] == ("73.1 [68.1, 78.1]", DASH, DASH, DASH)
    assert rows["KPR (%) ↑"][0] == "96.8 [94.8, 98.8]"
    assert rows["MIA AUC"][0] == "0.555 [0.505, 0.605]"
    assert set(rows) == {
        heading_of(measure)
        for measure in of_table("results").values()
        if any(map(measure.find, metrics["models"].values()))
    }


@pytest.mark.parametrize(
    ("kind", "label"),
    [
        ("orders", "Forget accuracy, options in another order"),
        ("phrasings", "Forget accuracy, held-out phrasings"),
        ("both", "Forget accuracy, held-out phrasings or option orders"),
        (None, "Forget accuracy, held-out phrasings"),
    ],
)
def test_shuffled_copies_are_not_called_phrasings(metrics, kind, label):
    metrics["data"]["heldout"] = kind
    names = [row[0] for row in measures_table(metrics).rows]
    assert sum(name.startswith(f"{label} (%)") for name in names) == 1
    assert any("phrasing" in name for name in names) is (kind != "orders")


def test_every_row_tells_how_many_items_and_where_they_are_too_few(metrics):
    scores = metrics["models"]["unlearned"]["scores"]
    scores["forgetting_rate"]["n"] = 29
    names = [row[0] for row in measures_table(metrics).rows]
    assert "FR (%), n 29 (too few for a claim)" in names and "MIA AUC, n 100" in names
    for key, count in (("knowledge_preservation", 40), ("mia_auc", 50), ("forgetting_rate", 12)):
        scores[key]["facts"] = count
    names = [row[0] for row in measures_table(metrics).rows]
    assert "MIA AUC, n 100 (50 pairs)" in names and any(name.endswith(", n 100 (40 facts)") for name in names)
    assert "FR (%), n 29 (12 facts, too few for a claim)" in names


def test_a_value_that_a_warning_is_about_is_marked(metrics):
    metrics["flagged"] = ["forgetting_rate"]
    table = measures_table(metrics)
    assert rows_by_name(table)["FR (%)"][0] == "73.1 [68.1, 78.1] (!)" and "(!): see the warnings" in table.title
    assert "(!)" not in str(measures_table(metrics | {"flagged": []}))


def test_nan_is_a_dash(metrics):
    assert rows_by_name(measures_table(metrics))["Chance-corrected forgetting (%) → 100"] == (DASH,) * 4


def test_missing_models_have_no_column_and_missing_measures_no_row(metrics):
    metrics["models"] = {name: metrics["models"][name] for name in ("base", "target")}
    table = measures_table(metrics)
    assert table.header == ("Measure", "target", "base")
    assert not any(name.startswith(("FR", "KPR")) for name in rows_by_name(table))


def test_missing_splits_are_dashes(metrics):
    del metrics["models"]["base"]["splits"]
    assert rows_by_name(measures_table(metrics))["Forget accuracy, trained phrasings (%) ↓"][-1] == DASH


def test_the_arrow_follows_the_data(metrics):
    metrics["models"]["unlearned"]["scores"]["knowledge_preservation"]["higher_is_better"] = False
    assert "KPR (%) ↓" in rows_by_name(measures_table(metrics))


@pytest.mark.parametrize("value", [None, math.nan, math.inf, "0.5"])
def test_what_is_no_finite_number_cannot_be_shown(value):
    assert number(value) is None
    assert cell({"value": value, "low": 0.1, "high": 0.2}, scale=1, digits=2) == DASH


def test_what_rounds_to_zero_has_no_sign():
    assert cell({"value": -0.0004, "low": -0.0, "high": -0.0001}, scale=100, digits=1) == "0.0 [0.0, 0.0]"
    assert cell({"value": -0.001, "low": None, "high": None}, scale=100, digits=1) == "-0.1"


def test_a_value_without_interval_has_no_brackets():
    assert cell({"value": 0.5, "low": None, "high": None}, scale=100, digits=1) == "50.0"


def test_subjects_forgotten_ones_first_small_groups_marked(metrics):
    table = subject_table(metrics, {"Surgery"})
    assert [row[0] for row in table.rows] == ["Surgery (forget)", "Anatomy", f"Skin|ENT ({TOO_FEW})"]
    surgery, anatomy, small = table.rows
    assert surgery[1:] == ("96", "95.0 [90.0, 100.0]", "29.0 [24.0, 34.0]", "31.0 [26.0, 36.0]", "-66.0")
    assert anatomy[-1] == "-3.0"
    assert small[1] == "12"


def test_subjects_without_unlearned_have_no_change(metrics):
    del metrics["models"]["unlearned"]
    assert {row[-1] for row in subject_table(metrics).rows} == {DASH}
    assert subject_table(metrics | {"models": {}}).rows == ()


def test_markdown_escapes_pipes_and_markup(metrics):
    lines = subject_table(metrics).markdown().splitlines()
    assert lines[1] == "| --- | ---: | ---: | ---: | ---: | ---: |"
    assert any(line.startswith("| Skin\\|ENT (") for line in lines)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\nb <i>*x*</i>", "a b &lt;i&gt;\\*x\\*&lt;/i&gt;"),
        ("learning_rate _x_ __y", "learning_rate \\_x\\_ \\_\\_y"),
        ("[0.1, 0.2] [a](http://x)", "[0.1, 0.2] [a]\\(http://x)"),
        ("|`\\", "\\|\\`\\\\"),
    ],
)
def test_markdown_text(text, expected):
    assert markdown_text(text) == expected


@pytest.mark.parametrize("width", [60, 80, 160])
def test_rich_shows_every_value_at_any_width(metrics, width):
    console = Console(width=width)
    with console.capture() as captured:
        console.print(measures_table(metrics))
    shown = captured.get()
    assert max(map(len, shown.splitlines())) <= width
    if width == 80:
        assert "73.1 " in shown and "[68.1, 78.1] " in shown
    else:
        assert "73.1 [68.1, 78.1]" in " ".join(shown.split())


def test_rich_takes_brackets_literally():
    console = Console(width=60)
    with console.capture() as captured:
        console.print(Table("t", ("[bold]a", "b"), (("[red]x", "1"),)))
    assert "[red]x" in captured.get() and "[bold]a" in captured.get()


def test_levels_by_number_with_a_dash_for_what_has_too_few_items(metrics):
    table = level_table(metrics, {1: "foundation", 4: "focused"})
    assert table.header == (
        "Level",
        "items",
        "Forgetting, unlearned (%)",
        "Preservation, unlearned (%)",
        "Score, unlearned (%)",
    )
    assert [row[0] for row in table.rows] == ["1 foundation", "4 focused"]
    assert table.rows[0][1:3] == ("60", DASH) and table.rows[1][2] == "90.0 [85.0, 95.0]"
    del metrics["models"]["unlearned"]["levels"]
    assert level_table(metrics, {}).rows == ()


def test_what_is_pooled_is_shown_of_older_runs_only(metrics):
    names = [name for name in rows_by_name(measures_table(metrics)) if name.startswith("Invalid")]
    assert names == ["Invalid answers (%) ↓"]
    scores = metrics["models"]["unlearned"]["scores"]
    scores |= {f"{side}_invalid_rate": scores["invalid_rate"] | {"n": 50} for side in ("forget", "retain")}
    names = [name for name in rows_by_name(measures_table(metrics)) if name.startswith("Invalid")]
    assert [name.partition(" (%)")[0] for name in names] == [
        "Invalid answers, forget items",
        "Invalid answers, retain items",
    ]


def test_a_warning_brings_the_row_that_it_is_about(metrics):
    seen = {"auc": {"value": 0.2, "low": 0.1, "high": 0.3, "n": 60, "higher_is_better": None}}
    for name in ("gold", "unlearned"):
        metrics["models"][name]["membership"] = {"min_k": seen, "loss": seen}
    assert "MIA AUC, min-k attack" not in rows_by_name(measures_table(metrics))
    rows = rows_by_name(measures_table(metrics | {"flagged": ["mia_min_k"]}))
    assert rows["MIA AUC, min-k attack"] == ("0.200 [0.100, 0.300] (!)", DASH, "0.200 [0.100, 0.300]", DASH)
    assert "(!)" not in rows["MIA AUC"][0]
    attacks = {row[0]: row[2] for row in attack_table(metrics | {"flagged": ["mia_min_k"]}).rows}
    assert attacks["min-k, AUC"].endswith("(!)") and not attacks["loss, AUC"].endswith("(!)")


def test_option_orders_are_not_called_phrasings(metrics):
    names = " ".join(rows_by_name(measures_table(metrics | {"data": {"heldout": "orders"}})))
    assert "phrasing" not in names and "Retain accuracy, options in another order (%) ↑" in names
    assert "Forget accuracy, options in the trained order (%) ↓" in names


def test_an_unbounded_interval_is_said_and_few_facts_are_marked():
    unbounded = {"value": 0.5, "low": None, "high": None, "n": 80, "facts": 20, "unbounded": True}
    assert cell(unbounded, 100, 1) == "50.0 [unbounded]"
    metrics = {"models": {"unlearned": {"scores": {"chance_corrected_forgetting": unbounded}}}}
    (row,) = measures_table(metrics).rows
    assert "n 80 (20 facts, too few for a claim)" in row[0] and row[1] == "50.0 [unbounded]"
    # Older runs do not tell facts.
    del unbounded["facts"]
    assert "too few" not in measures_table(metrics).rows[0][0]
