"""The part of the schema for commands that look at finished runs (`duolearn runs`, `compare`, `ask`), and labels."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from duolearn_cli.config.settings import setting

# The models of a run that can be asked, in the order of the answers.
ASKED = ("base", "target", "gold", "unlearned")
MOST_OPTIONS = 26
# In tables a label is one line.
LABEL = re.compile(r"(?!\s)[^\x00-\x1f\x7f]{1,60}(?<!\s)")


@dataclass
class RunsConfig:
    """What `duolearn runs` lists."""

    folders: list[str] = setting(
        [], "folders to look for runs in, also the words after the command; empty: output_dir", common=("runs",)
    )
    target: str | None = setting(None, "list only runs that forget this target", common=("runs",))
    tag: str | None = setting(None, "list only runs with this tag", common=("runs",))
    json: bool = setting(False, "print JSON, one object for each run, instead of a table", common=("runs",))


@dataclass
class CompareConfig:
    """What `duolearn compare` compares."""

    runs: list[str] = setting(
        [],
        "run folders, sweeps or benchmarks, also the words after the command; the first run is what others are "
        "compared with",
        common=("compare",),
    )


@dataclass
class AskConfig:
    """A question of the user's own to the models of a run."""

    question: str | None = setting(None, "the question, also the word after the command", common=("ask",))
    options: list[str] = setting([], "options to choose from; empty: the models answer freely", common=("ask",))
    models: list[str] = setting(
        ["target", "gold", "unlearned"], f"the models to ask, out of {', '.join(ASKED)}", common=("ask",)
    )
    new_tokens: int = setting(48, "tokens of a free answer at most", minimum=1, maximum=4096, common=("ask",))


def label_problems(name: str | None, tags: Sequence[str]) -> Iterator[str]:
    """Yield a name or a tag that does not fit a table."""
    for key, value in (("name", name), *(("tags", tag) for tag in tags)):
        if value is not None and not LABEL.fullmatch(value):
            yield f"{key}={value!r}: allowed: 1 to 60 characters in one line, without spaces at the ends."


def ask_problems(ask: AskConfig) -> Iterator[str]:
    """Yield what makes a question that no model can be asked."""
    if ask.question is not None and not ask.question.strip():
        yield "question: it is empty; give it in quotes after the command."
    texts = [text.strip() for text in ask.options]
    if len(texts) == 1 or len(texts) > MOST_OPTIONS:
        yield f"options: {len(texts)} given; allowed: none for a free answer, or 2 to {MOST_OPTIONS}."
    if not all(texts) or len(set(texts)) < len(texts):
        yield "options: one is empty or given twice; each needs a text of its own."
    if not ask.models or not set(ask.models) <= set(ASKED):
        yield f"models=[{','.join(ask.models)}]: allowed: one or more of {', '.join(ASKED)}."
