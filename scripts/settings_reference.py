"""Print the reference of all settings as Markdown, from the schema, the components' classes and the presets.

python scripts/settings_reference.py > docs/settings.md
"""

from __future__ import annotations

from duolearn_cli.cli.reference import reference

if __name__ == "__main__":
    print(reference(), end="")
