import io

import pytest
from rich.console import Console
from rich.panel import Panel

from duolearn_cli.report.tables import measures_table
from duolearn_cli.report.terminal import Display, PlainProgress, clock_time


def plain_display():
    file = io.StringIO()
    return Display(Console(file=file, force_terminal=False, width=40)), file


def terminal_display(**environment):
    file = io.StringIO()
    environment = {"TERM": "xterm-256color"} | environment
    return Display(Console(file=file, force_terminal=True, width=100, _environ=environment)), file


def use_everything(display, metrics):
    display.stage("unlearn [surgery]")
    display.note("target: from the cache, " + "long " * 20)
    with display.progress("steps", 3) as advance:
        advance({"target": 1.25, "general_medical": float("nan")})
        advance(n=2)
    display.show(Panel("a panel"))
    display.table(measures_table(metrics))
    display.table("| a | b |")


def test_plain_output_has_no_control_codes_and_whole_lines(metrics):
    display, file = plain_display()
    use_everything(display, metrics)
    text = file.getvalue()
    assert display.plain
    assert not any(ord(c) < 32 and c != "\n" for c in text)
    assert "unlearn [surgery]\n" in text
    assert "target: from the cache, " + "long " * 20 in text
    assert "steps: 1/3, 0:00 elapsed, 0:00 left, target 1.25, general medical —" in text
    assert "| FR (%), n 100 |" in text and "| a | b |\n" in text and "a panel" in text


def test_a_dumb_terminal_is_plain(metrics):
    display, file = terminal_display(TERM="dumb")
    use_everything(display, metrics)
    assert display.plain and "\x1b" not in file.getvalue()


def test_a_terminal_shows_bar_values_and_literal_brackets(metrics):
    display, file = terminal_display()
    use_everything(display, metrics)
    text = file.getvalue()
    assert not display.plain and "\x1b[" in text
    assert "unlearn [surgery]" in text and "3/3" in text and "target 1.25" in text


def test_no_color_leaves_no_colours(metrics):
    display, file = terminal_display(NO_COLOR="1")
    use_everything(display, metrics)
    assert "\x1b[3" not in file.getvalue() and "38;5;" not in file.getvalue()


def test_stdout_that_is_no_terminal_is_plain(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    Display().stage("here")
    assert capsys.readouterr().out == "here\n"


def test_an_encoding_without_arrows_gets_question_marks():
    raw = io.BytesIO()
    display = Display(Console(file=io.TextIOWrapper(raw, encoding="ascii"), force_terminal=False))
    display.note("FR ↑")
    assert raw.getvalue() == b"  FR ?\n"


def test_progress_writes_a_line_every_tenth_of_the_way():
    lines = []
    progress = PlainProgress(lines.append, "steps", 1000, clock=lambda: 0.0)
    for _ in range(1000):
        progress.advance()
    assert len(lines) == 10 and "1000/1000" in lines[-1]


def test_slow_progress_writes_a_line_every_ten_seconds():
    lines, now = [], [0.0]
    progress = PlainProgress(lines.append, "steps", 1000, clock=lambda: now[0])
    for _ in range(20):
        now[0] += 4
        progress.advance({"loss": 2.0})
    assert len(lines) == 6
    assert lines[0] == "  steps: 3/1000, 0:12 elapsed, 1:06:28 left, loss 2"


def test_progress_without_anything_to_do():
    lines = []
    PlainProgress(lines.append, "steps", 0).advance(n=0)
    assert "0/0" in lines[0]


@pytest.mark.parametrize(("make", "name"), [(plain_display, "plain"), (terminal_display, "terminal")])
def test_an_error_inside_progress_passes_through(make, name):
    display, _ = make()
    with pytest.raises(KeyboardInterrupt), display.progress(name, 2):
        raise KeyboardInterrupt


def test_clock_time():
    assert [clock_time(s) for s in (0, 59.6, 3600)] == ["0:00", "1:00", "1:00:00"]


def test_notes_break_between_words_and_paths_stay_whole(tmp_path):
    from duolearn_cli.report.terminal import wrapped

    path = "/a/very/long/path/that/is/wider/than/the/terminal/report-of-today.html"
    lines = wrapped(f"The loss attack sees nothing on held-out facts; see {path} for more.", 40).splitlines()
    assert path in [line.strip() for line in lines]
    assert all(len(line) <= 40 for line in lines if path not in line)
    assert " ".join(line.strip() for line in lines).startswith("The loss attack sees nothing on held-out facts; see /a")


def test_a_pipe_cuts_no_cell_of_a_wide_table():
    from rich.table import Table as RichTable

    display, file = plain_display()
    table = RichTable("a", "b")
    table.add_row("word " * 50, "x" * 90)
    display.show(table)
    assert ("word " * 50).strip() in file.getvalue() and "x" * 90 in file.getvalue() and "…" not in file.getvalue()


def test_the_last_line_is_the_full_path_of_the_report(tmp_path, monkeypatch):
    from pathlib import Path

    from duolearn_cli.report.results import show_path

    monkeypatch.chdir(tmp_path)
    for make in (plain_display, terminal_display):
        display, file = make()
        show_path(Path("runs") / ("x" * 120), True, display)
        assert file.getvalue() == f"{tmp_path}/runs/{'x' * 120}/report.html\n"


def test_a_narrow_terminal_gets_a_table_of_few_columns(metrics):
    from duolearn_cli.report.tables import short_table

    display, file = terminal_display()
    display._console.width = 60
    metrics["flagged"] = ["knowledge_preservation"]
    display.show(short_table(metrics))
    text = "\n".join(line.rstrip() for line in file.getvalue().splitlines())
    assert "96.8 [94.8, 98.8] (!)" in text and "base" not in text and "|" not in text
    assert text.split("\n\n")[0].count("unlearned") == 1


def test_a_table_that_fits_nowhere_becomes_records(metrics):
    display, file = terminal_display()
    display._console.width = 30
    display.show(measures_table(metrics))
    assert "unlearned: 96.8 [94.8, 98.8]" in file.getvalue() and "| " not in file.getvalue()
