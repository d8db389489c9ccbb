"""The table shows what was measured and marks what carries no claim; the curve shows lessons and their controls."""

import pytest

from duolearn_cli.audits.robustness.attack import Skipped
from duolearn_cli.audits.robustness.results import summarise
from duolearn_cli.report.figures import to_svg
from duolearn_cli.report.robustness import HEADER, relearning_curve, remarks, robustness_table, write_page
from tests.audits.robustness.stand_in import row
from tests.audits.robustness.test_results import attack

LESSONS = {("forget", 4): 0.5, ("forget", 8): 0.75, ("retain", 4): 0.25, ("retain", 8): 0.25}


def results(facts=40):
    """The target knows everything. Gold and unlearned know a quarter, and more after lessons on forget items."""

    def rows(share, **named):
        return [
            row(
                model,
                f"{side}{k}",
                f"{side}{k}",
                float(model == "target" or side == "retain" or k < share * facts),
                **named,
            )
            | {"side": side}
            for model in ("target", "gold", "unlearned")
            for side in ("forget", "retain")
            for k in range(facts)
        ]

    plain = rows(0.25)
    tried, attacks = [], []
    for (material, count), share in LESSONS.items():
        variant = f"{count} {material} items"
        attacks.append(attack("relearn", variant, details={"material": material, "examples": count}))
        tried += [one for one in rows(share, attack="relearn", variant=variant) if one["model"] != "target"]
    blind = rows(0.25, attack="quantise", variant="2 bit")
    tried += [one | {"correct": float(one["id"].endswith("0"))} for one in blind]
    attacks.append(attack("quantise", "2 bit"))
    summary = summarise(plain + tried, attacks, [Skipped("prompts", "digits", "why")])
    return {"schema": 1, "forget": "surgery"} | summary


def test_the_table():
    table = robustness_table(results())
    rows = {one[0]: dict(zip(HEADER, one, strict=True)) for one in table.rows}
    assert next(iter(rows)) == "no attack" and len(rows) == 6
    plain, taught = rows["no attack"], rows["relearn: 8 forget items"]
    assert plain["Forget items"] == "40" and plain["Forget, unlearned (%)"].startswith("25.0 [")
    assert plain["Recovered (%)"] == plain["Gain above gold's (points)"] == "—"
    assert taught["Forget, unlearned (%)"].startswith("75.0 [") and taught["Recovered (%)"].startswith("66.7 [")
    assert taught["Gain above gold's (points)"] == "0.0 [-7.0, 7.0]" and taught["Forget, target (%)"] == "—"
    assert rows["quantise: 2 bit"]["Retain, unlearned (%)"].endswith("(blind)")
    assert "surgery" in table.title and table.markdown()


def test_the_page_has_the_table_the_remarks_and_the_curve(tmp_path):
    write_page(tmp_path, results())
    page = (tmp_path / "robustness.md").read_text()
    assert "| relearn: 8 forget items | 40 |" in page and "proves nothing" in page and "(relearning.svg)" in page
    assert "<svg" in (tmp_path / "relearning.svg").read_text()
    bare = results()
    bare["attacks"] = []
    (tmp_path / "bare").mkdir()
    write_page(tmp_path / "bare", bare)
    assert not (tmp_path / "bare" / "relearning.svg").exists()


def test_few_items_are_marked_and_have_no_interval():
    for one in robustness_table(results(facts=20)).rows:
        assert one[1] == "20 (too few for a claim)" and "[" not in "".join(one)


def test_remarks():
    said = remarks(results())
    assert said[0] == "prompts, digits: left out, why."
    assert any("not a quantised kernel" in one for one in said) and "proves nothing" in said[-1]
    assert any(one.startswith("blind: ") and one.endswith(": quantise, 2 bit.") for one in said)


def test_the_curve_begins_without_a_lesson():
    figure = relearning_curve(results())
    (axes,) = figure.axes
    lines = {line.get_label(): (list(line.get_xdata()), list(line.get_ydata())) for line in axes.lines}
    assert lines["unlearned, taught forget items"] == ([0, 4, 8], pytest.approx([25, 50, 75]))
    assert lines["gold, taught retain items"] == ([0, 4, 8], pytest.approx([25, 25, 25]))
    assert len(lines) == 4 and to_svg(figure).startswith("<svg")


def test_no_lesson_no_curve():
    assert relearning_curve(results() | {"attacks": []}) is None
