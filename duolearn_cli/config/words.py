"""Words that commands and settings share. Help needs them at once: this file imports nothing."""

# Right after a command, and no overrides.
ACTIONS = ("show", "check", "find", "target", "coverage", "import")
AUDITS = ("privacy", "robustness")
# Which facts are scored.
PARTS = ("all", "validation", "test")
