"""What a target covers, as a reader sees it, from a program's values and from target.json alike."""

import json

from duolearn_cli.report.page import write_report
from duolearn_cli.report.target import boundary_table, item_counts, level_counts


def test_tables_are_the_same_from_the_file(study):
    covered = study.coverage().as_dict()
    saved = json.loads(json.dumps(covered))
    for make in (level_counts, item_counts, boundary_table):
        assert make(covered) == make(saved)
    assert sum(int(row[1]) for row in level_counts(saved).rows) == len(study.target.forget)
    assert boundary_table(saved, 3).title.startswith("Boundary: 3 of ")


def test_the_report_shows_what_the_target_covers(tmp_path, write_run, study):
    folder = write_run(tmp_path)
    assert "Boundary" not in write_report(folder)[0].read_text()
    (folder / "target.json").write_text(json.dumps(study.coverage().as_dict()))
    for path in write_report(folder)[:2]:
        assert study.coverage().boundary[0].name in path.read_text()
