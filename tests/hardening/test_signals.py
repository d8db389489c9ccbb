"""Kinds 5 and 8: signals, processes that die, and output that nobody reads."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time

import pytest

from duolearn_cli import __main__ as command
from duolearn_cli.errors import Interrupted, UserError
from duolearn_cli.pipeline import processes

STOPS = {"INT": (signal.SIGINT, 130), "TERM": (signal.SIGTERM, 143), "HUP": (signal.SIGHUP, 129)}


@pytest.fixture(autouse=True)
def heard():
    """The usual handler of Ctrl-C: a shell that starts the tests in the background has it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def failing(error):
    def act(args):
        raise error

    return act


@pytest.mark.parametrize(("number", "status"), STOPS.values(), ids=STOPS)
def test_a_signal_to_stop_ends_a_command_as_ctrl_c_does(number, status, monkeypatch, capsys):
    def act(args):
        os.kill(os.getpid(), number)
        time.sleep(5)

    before = {one: signal.getsignal(one) for one, _ in STOPS.values()}
    monkeypatch.setattr(command, "_dispatch", act)
    assert command.main([]) == status
    assert capsys.readouterr().err == "interrupted\n"
    assert {one: signal.getsignal(one) for one, _ in STOPS.values()} == before


def test_nohup_keeps_its_meaning(monkeypatch):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        monkeypatch.setattr(command, "_dispatch", lambda args: os.kill(os.getpid(), signal.SIGHUP) or 0)
        assert command.main([]) == 0
        with processes.deferred_interrupt() as interrupted:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not interrupted()
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize(("number", "status"), STOPS.values(), ids=STOPS)
def test_the_step_under_way_is_finished_first(number, status):
    steps = []
    with pytest.raises(Interrupted) as stopped, processes.deferred_interrupt() as interrupted:
        os.kill(os.getpid(), number)
        steps.append("finished")
        assert interrupted()
        raise KeyboardInterrupt
    assert steps and stopped.value.status == status
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


@pytest.mark.parametrize(("number", "status"), STOPS.values(), ids=STOPS)
def test_a_second_signal_ends_at_once(number, status):
    with pytest.raises(Interrupted), processes.deferred_interrupt():
        os.kill(os.getpid(), number)
        os.kill(os.getpid(), number)
        pytest.fail("the second signal was deferred too")


WAITS = "import os; os.read(int(os.environ['DUOLEARN_LIFELINE']), 1)"
# By rank: what a worker does.
FAILURES = {
    "status": ("import sys; sys.exit(3)", 3),
    "killed": ("import os; os.kill(os.getpid(), 9)", 137),
    "terminated": ("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", 143),
    "exception": ("raise SystemExit(1)", 1),
}


@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize(("code", "status"), FAILURES.values(), ids=FAILURES)
def test_a_dead_worker_ends_the_others(code, status, rank, monkeypatch):
    monkeypatch.setattr(processes, "GRACE", 0.2)
    script = f"import os\nif os.environ['RANK'] == '{rank}':\n    {code}\nelse:\n    {WAITS}"
    with processes.started(2, [sys.executable, "-c", script]) as workers:
        assert processes.first_failure(workers) == (rank, status)
        assert all(worker.poll() is not None for worker in workers)


def test_workers_that_succeed_fail_nowhere():
    with processes.started(2, [sys.executable, "-c", "pass"]) as workers:
        assert processes.first_failure(workers) is None


def test_an_interrupted_parent_passes_the_signal_on_once():
    script = "import signal, sys, time\nsignal.signal(15, lambda *_: sys.exit(130))\nprint(flush=True)\ntime.sleep(60)"
    with pytest.raises(KeyboardInterrupt), processes.started(2, [sys.executable, "-c", script]) as workers:
        time.sleep(1.5)
        raise KeyboardInterrupt
    assert all(worker.returncode in (130, -15) for worker in workers)


PARENT = """
import sys, time
from duolearn_cli.pipeline.processes import started
with started(2, [sys.executable, "-c", sys.argv[1]]) as workers:
    print(*(worker.pid for worker in workers), flush=True)
    time.sleep(60)
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_no_worker_outlives_its_parent(number):
    words = [sys.executable, "-c", PARENT, WAITS]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as one:
        assert one.stdout
        workers = [int(pid) for pid in one.stdout.readline().split()]
        one.send_signal(number)
    assert len(workers) == 2
    until = time.monotonic() + 10
    while any(_is_there(pid) for pid in workers) and time.monotonic() < until:
        time.sleep(0.1)
    assert not any(_is_there(pid) for pid in workers)


def _is_there(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:  # noqa: PTH123
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


class Full(io.StringIO):
    """An output whose disk is full."""

    def flush(self) -> None:
        raise OSError(28, "No space left on device")


def test_a_full_disk_below_the_output_is_an_error_of_the_command(monkeypatch, capsys):
    monkeypatch.setattr(command, "_dispatch", lambda args: 0)
    monkeypatch.setattr(command, "_silenced", lambda: None)
    monkeypatch.setattr(sys, "stdout", Full())
    assert command.main([]) == 2
    assert "No space left" in capsys.readouterr().err


def test_a_command_without_output_works(monkeypatch):
    monkeypatch.setattr(command, "_dispatch", lambda args: print("lost") or 0)
    monkeypatch.setattr(sys, "stdout", None)
    assert command.main([]) == 0
    sys.stdout.close()


def test_a_reader_that_has_gone_is_no_success(monkeypatch):
    monkeypatch.setattr(command, "_dispatch", failing(BrokenPipeError()))
    monkeypatch.setattr(command, "_silenced", lambda: None)
    assert command.main([]) == 141


LAST = {
    "permission": (PermissionError(13, "Permission denied", "/data/x.csv"), 2, ("/data/x.csv", "permission denied")),
    "full": (OSError(28, "No space left on device", "/out/x"), 2, ("/out/x", "disk is full")),
    "read_only": (OSError(30, "Read-only file system", "/out"), 2, ("/out", "read-only")),
    "no_name": (OSError(28, "No space left on device"), 2, ("disk is full",)),
    "memory": (MemoryError(), 2, ("memory is used up",)),
    "fault": (KeyError("secret\x1b[31m"), 1, ("KeyError", "fault of duolearn", "report")),
    "panic": (type("PanicException", (BaseException,), {})("unwrap"), 1, ("PanicException", "unwrap", "report")),
    "recursion": (RecursionError("maximum depth"), 1, ("RecursionError",)),
    "user": (UserError("plain \x1b[31mred"), 2, ("plain",)),
}


@pytest.mark.parametrize(("error", "status", "names"), LAST.values(), ids=LAST)
def test_what_nobody_foresaw_ends_in_one_line_and_a_file(error, status, names, monkeypatch, capsys, tmp_path):
    monkeypatch.delenv("DUOLEARN_TRACEBACK", raising=False)
    monkeypatch.setenv("DUOLEARN_CACHE", str(tmp_path))
    monkeypatch.setattr(command, "_dispatch", failing(error))
    assert command.main(["unlearn", "run=/data"]) == status
    said = capsys.readouterr().err
    assert said.startswith("error: ") and said.count("\n") == 1 and "\x1b" not in said
    assert all(name in said for name in names), said
    logs = list(tmp_path.glob("errors/*.txt"))
    assert len(logs) == (status == 1) and all(one.stat().st_mode & 0o777 == 0o600 for one in logs)
    assert all(type(error).__name__ in one.read_text() and str(one) in said for one in logs)
