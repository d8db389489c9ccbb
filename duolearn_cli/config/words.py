"""Words that commands and settings share. Help needs them at once: this file imports nothing."""

# Right after a command, and no overrides.
ACTIONS = ("show", "check", "find", "target", "coverage", "import")
AUDITS = ("privacy", "robustness")
DATA_ACTIONS = ("export",)
CACHE_ACTIONS = ("list", "prune")
# What `duolearn export` writes of a run.
FORMATS = ("adapter", "merged", "record")
# Which facts are scored.
PARTS = ("all", "validation", "test")
# A component that may be left out.
OPTIONAL_COMPONENTS = ("retain_from",)
# A command line may give several options of this group; each has a node of its own in `measures`.
MEASURE = "measure"
# Groups without a default: an option is added with a plus.
ADDED_GROUPS = ("forget", "ablation", *OPTIONAL_COMPONENTS, MEASURE)
