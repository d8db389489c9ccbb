"""Write docs/api.md from the docstrings of the Python API: `python scripts/api_reference.py`. A test compares both."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duolearn_cli
from duolearn_cli.cli.api import FinishedRun

PAGE = Path(__file__).parents[1] / "docs" / "api.md"
HEAD = """# Python API

Everything that the command line does is a function with the same words. This page is made from docstrings by
`python scripts/api_reference.py`.

```python
from duolearn_cli import configure, evaluate, unlearn

run = unlearn("+forget=surgery", "split.max_forget=50")  # the words of the command line
print(run.folder, run.adapter, run.report)

config = configure("unlearn", "+forget=anxiety", "method=npo")  # or a typed configuration
config.unlearn.epochs = 5
run = unlearn(config=config)
again = evaluate(f"run={run.folder}", "evaluation.part=test")
```
"""


def page() -> str:
    """The page as it should be."""
    functions = [getattr(duolearn_cli, name) for name in sorted(duolearn_cli.__all__)]
    parts = [_entry(one) for one in functions if inspect.isfunction(one)]
    parts.append(_entry(FinishedRun))
    parts.append(_entry(FinishedRun.read, "FinishedRun.read"))
    return HEAD + "".join(parts)


def _entry(one: Callable[..., Any], name: str | None = None) -> str:
    text = inspect.getdoc(one) or ""
    signature = "" if inspect.isclass(one) else str(inspect.signature(one))
    shown = signature.replace("'", "").replace("duolearn_cli.cli.api.", "").replace("duolearn_cli.config.schema.", "")
    return f"\n## {name or one.__name__}\n\n```python\n{name or one.__name__}{shown}\n```\n\n{_as_markdown(text)}\n"


def _as_markdown(text: str) -> str:
    """A docstring with its sections as lists."""
    lines, inside = [], False
    for line in text.splitlines():
        if line.rstrip(":") in ("Args", "Raises", "Attributes", "Returns") and line.endswith(":"):
            lines.append(f"**{line.rstrip(':')}**\n")
            inside = True
        elif inside and line.startswith("    ") and not line.startswith("     "):
            name, _, says = line.strip().partition(": ")
            lines.append(f"- `{name}`: {says}" if says else f"- {name}")
        else:
            lines.append(f"  {line.strip()}" if inside and line.strip() else line)
    return "\n".join(lines).rstrip()


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
