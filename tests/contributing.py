"""The examples of CONTRIBUTING.md as files and a command."""

import re
import shlex
from pathlib import Path

PAGE = (Path(__file__).parents[1] / "CONTRIBUTING.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## Add a (\w[\w ]*)\n(.*?)(?=^## )", PAGE, re.M | re.S))


def leave_example(name: str, folder: Path) -> list[str]:
    """Write the files of a section below `folder`; return the words of its command, without ``duolearn``."""
    for path, text in re.findall(r"^`([^`\n]+)`\n\n```\w+\n(.*?)^```", SECTIONS[name], re.M | re.S):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    (command,) = re.findall(r"^```bash\nduolearn (.*?)\n```", SECTIONS[name], re.M | re.S)
    return shlex.split(command)
