"""Kind 2: what a run wrote is checked before it is used again, whoever has changed it."""

from __future__ import annotations

import pytest

from tests.hardening import saved_files
from tests.hardening.row import LAST_RESORT, Row, carried_out, check, lay
from tests.hardening.test_inputs import marked


@pytest.mark.parametrize("row", marked(saved_files.rows()))
def test_a_damaged_file_of_a_run_is_named(row: Row, tmp_path):
    check(row, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("row", [pytest.param(row, id=row.id) for row in saved_files.metrics()])
def test_a_report_of_changed_metrics_is_written_or_refused(row: Row, tmp_path):
    lay(row.files, tmp_path)
    status, said = carried_out(row.act, tmp_path)
    assert status in (0, 2) and LAST_RESORT not in said
    # Refused: the file is named, and nothing of the report was written.
    assert (tmp_path / "run" / "report.md").exists() == (status == 0)
    assert not status or "metrics.json" in said
