"""The pages of sweeps and benchmarks."""

from __future__ import annotations

from dataclasses import replace

from duolearn_cli.config.verdict import VerdictConfig
from duolearn_cli.evaluation.verdict import verdict
from duolearn_cli.report.job_lights import count_lights, lights_table
from duolearn_cli.report.summary_page import Summary, write_summary
from duolearn_cli.report.tables import DASH, Table
from tests.evaluation.test_verdict import estimate, run
from tests.report.test_page import Page
from tests.report.test_sweep import job


def judged(name, metrics, **settings):
    return replace(job(name, **settings), verdict=verdict(metrics, VerdictConfig()))


def test_a_sweep_counts_its_lights():
    good = run(estimate(0.95, 0.91, 0.99), estimate(0.97, 0.93, 1.01), estimate(0.5, 0.45, 0.55))
    bad = run(estimate(0.5, 0.4, 0.6), estimate(0.97, 0.93, 1.01))
    jobs = [judged("0", good, seed=0), judged("1", bad, seed=1), replace(job("2", seed=2), scores=None)]
    assert count_lights(jobs) == (
        "3 runs, 1 failed: forgotten in 1; other knowledge kept in 2; not found by attacks in 1."
    )
    table = lights_table(jobs)
    assert table.header == ("seed", "Forgotten", "Kept", "Attacks", "Privacy", "job")
    assert table.rows == (
        ("0", "✓ 95 %", "✓ 97 %", "✓ 0.5", "-", "0"),
        ("1", "✗ 50 %", "✓ 97 %", "?", "-", "1"),
        ("2", DASH, DASH, DASH, DASH, "2, failed"),
    )
    assert max(len("  ".join(row)) for row in (table.header, *table.rows)) <= 60


def test_older_runs_have_no_lights():
    assert count_lights([job("0")]) == "1 runs."
    assert lights_table([job("0")]).rows == ((DASH, DASH, DASH, DASH, "0"),)


def test_the_page_is_whole_escaped_and_needs_nothing_else(tmp_path):
    table = Table("Sweep <x>", ("seed", "FR (%)"), (("<0>", "75.0 [70.0, 80.0]"),))
    summary = Summary("Sweep", "Two & three.", ["<img>"], ["Read it."], [table], links=[("0", "0/report.html")])
    write_summary(tmp_path / "sweep.html", summary)
    html = (tmp_path / "sweep.html").read_text()
    page = Page(html)
    assert "img" not in page.tags and "script" not in page.tags and "Two & three." in page.text
    assert [link for link in page.links if not link.startswith("#")] == ["0/report.html"]
    assert all(link[1:] in page.ids for link in page.links if link.startswith("#"))
