"""Kinds 6, 9 and 10: who may run code, whether a run is under way, and what of the data reaches screen and disk."""

from __future__ import annotations

import io
import os
import platform
import subprocess
import sys

import pytest

from duolearn_cli.errors import RunError, printable, visible
from duolearn_cli.files import write_jsonl
from duolearn_cli.pipeline.run_lock import LOCK, held, is_running
from duolearn_cli.report.tables import Table
from duolearn_cli.report.terminal import Display
from tests.hardening import own_groups
from tests.hardening.row import Row, check
from tests.hardening.test_inputs import marked


@pytest.mark.parametrize("row", marked(own_groups.rows()))
def test_a_folder_of_groups_runs_nothing(row: Row, tmp_path):
    check(row, tmp_path)


ESCAPES = {
    "colour": "\x1b[31mred\x1b[0m",
    "title": "\x1b]0;owned\x07",
    "title_st": "\x1b]0;owned\x1b\\",
    "link": "\x1b]8;;http://evil\x07text\x1b]8;;\x07",
    "clipboard": "\x1b]52;c;ZXZpbA==\x07",
    "clear": "\x1b[2J\x1b[H",
    "cursor": "\x1b[1A\x1b[2K",
    "reset": "\x1bc",
    "c1": "\x9b31m",
    "bell": "\x07",
    "backspace": "a\x08b",
    "carriage_return": "good\rbad!",
    "direction": "abc\u202etxt.exe",
    "nul": "a\0b",
    "cut_escape": "\x1b[",
}
BAD = set(map(chr, (*range(9), *range(11, 32), *range(127, 160), 0x202E)))


@pytest.mark.parametrize("text", ESCAPES.values(), ids=ESCAPES)
@pytest.mark.parametrize("terminal", [False, True])
def test_no_escape_sequence_of_the_data_reaches_the_terminal(text, terminal, monkeypatch):
    from duolearn_cli.report.clean_console import CleanConsole

    file = io.StringIO()
    display = Display(CleanConsole(file=file, force_terminal=terminal, color_system=None, width=200, highlight=False))
    display.stage(text)
    display.note(text)
    display.show(Table(text, [text], [[text]]) if not terminal else text)
    assert not BAD & set(file.getvalue()), repr(file.getvalue())
    assert not BAD & set(visible(text)) and not BAD & set(printable(text))


def test_a_table_on_a_terminal_keeps_its_own_colours_and_none_of_the_data():
    from rich.table import Table as Rich

    from duolearn_cli.report.clean_console import CleanConsole

    file = io.StringIO()
    table = Rich("[bold]head[/]")
    table.add_row(ESCAPES["title"] + ESCAPES["colour"])
    CleanConsole(file=file, force_terminal=True, color_system="standard", width=80).print(table)
    said = file.getvalue()
    assert "\x1b]" not in said and "\x07" not in said and "\x1b[31m" not in said and "\x1b[1m" in said


def test_a_long_line_is_shortened_and_its_ends_are_kept():
    said = printable("a" * 5000 + "z")
    assert len(said) < 1300 and said.startswith("aaa") and said.endswith("z") and "more" in said


def test_files_with_texts_of_the_user_are_the_owners(tmp_path):
    write_jsonl(tmp_path / "written.jsonl", [{"text": "a"}])
    assert (tmp_path / "written.jsonl").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("name", ["link", "pipe", "device"])
def test_only_a_regular_file_is_replaced(name, tmp_path):
    from duolearn_cli.files import appended, write_text

    path, other = tmp_path / name, tmp_path / "other"
    other.write_text("kept")
    if name == "link":
        path.symlink_to(other)
        with pytest.raises(RunError, match="link"):
            appended(path)
        write_text(path, "new")  # the link is replaced, its target is not
    else:
        os.mkfifo(path) if name == "pipe" else path.symlink_to("/dev/null")
        with pytest.raises(RunError, match="no regular file"):
            write_text(path, "new")
    assert other.read_text() == "kept"


INFO = {"status": "running", "pid": os.getppid(), "host": platform.node(), "started": "2026-01-01T00:00:00+00:00"}
HOLD = """
import sys, time
from pathlib import Path
from duolearn_cli.pipeline.run_lock import held
with held(Path(sys.argv[1]), {}):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.mark.slow
def test_a_folder_is_held_by_one_process_until_it_is_killed(tmp_path):
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout and holder.stdout.readline() == "held\n"
        assert is_running(tmp_path, INFO)
        said = rf"process {INFO['pid']} on .* is running in .* since 2026"
        with pytest.raises(RunError, match=said), held(tmp_path, INFO):
            pass
        holder.kill()
    assert not is_running(tmp_path, INFO)
    with held(tmp_path, INFO):  # a process id that another process has now blocks nobody
        pass


PIDS = {"pid_1": 1, "reused": os.getppid(), "gone": 2**22 - 1, "negative": -1, "zero": 0, "text": "x", "true": True}


@pytest.mark.parametrize("pid", PIDS.values(), ids=PIDS)
def test_a_process_id_says_nothing_where_there_is_a_lock(pid, tmp_path):
    (tmp_path / LOCK).touch()
    assert not is_running(tmp_path, INFO | {"pid": pid})


# Two test processes must name their rows alike, so a row's name holds no process id.
OLDER = {
    "pid_1": (1, True),
    "own": (os.getpid(), False),
    "negative": (-1, False),
    "huge": (2**40, False),
    "text": ("x", False),
}


@pytest.mark.parametrize(("pid", "runs"), OLDER.values(), ids=OLDER)
def test_of_a_run_of_an_older_version_the_process_id_is_all_that_is_known(pid, runs, tmp_path):
    assert is_running(tmp_path, INFO | {"pid": pid}) == runs
