"""Words that stand right after a command and are no overrides. Help needs them at once: this file imports nothing."""

ACTIONS = ("show", "check", "find", "target", "coverage", "import")
AUDITS = ("privacy", "robustness")
