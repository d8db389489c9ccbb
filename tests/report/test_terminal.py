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
