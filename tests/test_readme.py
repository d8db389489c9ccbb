"""The commands of README and docs/commands.md are real: each composes. CI calls README's test command."""

import re
import shlex
from pathlib import Path

import pytest

from duolearn_cli.__main__ import ALIASES, COMMANDS
from duolearn_cli.cli.answers import answer
from duolearn_cli.cli.jobs import check_jobs
from duolearn_cli.cli.positional import action_overrides, audit_overrides, normalised, taken_text, word_overrides
from duolearn_cli.config.words import CACHE_ACTIONS, DATA_ACTIONS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS_PAGE = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")


def commands():
    for block in re.findall(r"```bash\n(.*?)```", README + COMMANDS_PAGE, re.S):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line.replace(".venv/bin/", ""), comments=True)
            if words[:1] == ["duolearn"]:
                yield words[1:]


@pytest.mark.parametrize("words", list(commands()), ids=" ".join)
def test_command_composes(words):
    if words[0] in ("--help", "help", "list"):
        command, named = (None, []) if words[0] == "--help" else (words[0], words[1:])
        assert answer(command, named, words if command is None else [], COMMANDS, ALIASES)
        return
    command, *arguments = [ALIASES.get(words[0], words[0]), *words[1:]]
    assert command in COMMANDS
    if "--help" in arguments or any("DATE" in argument for argument in arguments):
        return
    words, text = taken_text([command, *arguments])
    as_overrides = {
        "hierarchy": action_overrides,
        "audit": audit_overrides,
        "data": lambda free: word_overrides(free, "data", DATA_ACTIONS, None),
        "cache": lambda free: word_overrides(free, "cache", CACHE_ACTIONS, "cache.action"),
    }.get(command, list)
    arguments = [*as_overrides(words[1:]), *text]
    overrides = [normalised(argument) for argument in arguments if argument != "-m"]
    check_jobs(command, overrides, "-m" in arguments, None)


def test_there_are_commands_to_test():
    assert len(list(commands())) >= 30


def test_ci_calls_the_test_command():
    assert "make test" in README
    assert re.search(r"^make test$", (ROOT / ".ci" / "run").read_text(), re.M)
