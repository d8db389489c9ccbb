"""Help texts, read from the configuration folder. They need no import of Hydra, so they appear at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from duolearn_cli.cli.listing import columns
from duolearn_cli.config.version import __version__
from duolearn_cli.config.words import ADDED_GROUPS
from duolearn_cli.files import conf_dir, docs_dir, first_comment, groups

EXAMPLES = {
    "learn": (
        "duolearn learn +forget=surgery",
        "duolearn learn +forget=anxiety learn.epochs=20",
        "duolearn learn +forget=surgery --dry-run",
    ),
    "retrain": (
        "duolearn retrain +forget=surgery",
        "duolearn retrain +forget=depression learn.seed=1",
        "duolearn retrain +forget=surgery --cfg job",
    ),
    "unlearn": (
        "duolearn unlearn +forget=surgery",
        "duolearn unlearn +forget=surgery model=smollm2_135m dataset=medmcqa dataset.path=dev.jsonl",
        "duolearn unlearn -m +forget=surgery method=duolearn,npo seed=1,2",
        "duolearn unlearn +forget=anxiety adapter=outputs/DATE/TIME-NAME/adapter forgotten=[surgery]",
        "duolearn unlearn +forget=surgery hydra.run.dir=FOLDER",
    ),
    "evaluate": (
        "duolearn evaluate run=outputs/DATE/TIME-NAME",
        "duolearn evaluate +forget=surgery adapter=my_adapter",
        "duolearn evaluate +forget=surgery",
    ),
    "verify": (
        "duolearn verify run=outputs/DATE/TIME-NAME",
        "duolearn verify run=outputs/DATE/TIME-NAME deep=true public_key=public.pem",
        "duolearn verify run=outputs/DATE/TIME-NAME sign=private.pem page=erasure.html",
    ),
    "audit": (
        "duolearn audit privacy +forget=surgery privacy=eps1",
        "duolearn audit privacy +forget=surgery privacy=eps4 privacy.protect=retain audit.canaries=500",
        "duolearn audit privacy -m +forget=surgery privacy=eps1,eps4,eps8",
        "duolearn audit robustness run=outputs/DATE/TIME-NAME",
        "duolearn audit robustness run=outputs/DATE/TIME-NAME audit.robustness.attacks=[relearn,probe]",
    ),
    "inspect": (
        "duolearn inspect +forget=surgery",
        "duolearn inspect surgery_general_site/gastrinoma#0 +forget=surgery scores=true",
        "duolearn inspect +forget=surgery dataset=medmcqa dataset.path=dev.jsonl",
    ),
    "doctor": (
        "duolearn doctor",
        "duolearn doctor model=smollm2_135m",
        "duolearn doctor dataset=medmcqa dataset.path=dev.jsonl",
    ),
    "report": (
        "duolearn report run=outputs/DATE/TIME-NAME",
        "duolearn report run=outputs/DATE/TIME-sweep/0",
        "duolearn report run=outputs/DATE/TIME-NAME/runs/npo-0",
    ),
    "compare": (
        "duolearn compare outputs/DATE/TIME-NAME outputs/DATE/TIME-OTHER",
        "duolearn compare outputs/DATE/TIME-sweep",
        "duolearn compare outputs/DATE/TIME-NAME outputs/DATE/TIME-sweep run_dir=FOLDER",
    ),
    "runs": (
        "duolearn runs",
        "duolearn runs runs.target=surgery runs.tag=paper",
        "duolearn runs outputs/DATE runs.json=true",
    ),
    "ask": (
        'duolearn ask run=outputs/DATE/TIME-NAME "Which nerve is at risk in thyroidectomy?"',
        'duolearn ask run=outputs/DATE/TIME-NAME "Which nerve?" "ask.options=[vagus,recurrent laryngeal]"',
        'duolearn ask run=outputs/DATE/TIME-NAME "Which nerve is at risk?" "ask.models=[base,unlearned]"',
    ),
    "export": (
        "duolearn export run=outputs/DATE/TIME-NAME",
        "duolearn export run=outputs/DATE/TIME-NAME format=merged export_path=FOLDER",
        "duolearn export run=outputs/DATE/TIME-NAME format=merged export.precision=bf16 export.max_shard_gb=2",
        "duolearn export run=outputs/DATE/TIME-NAME format=record export_path=FOLDER",
    ),
    "purge": (
        "duolearn purge run=outputs/DATE/TIME-NAME --dry-run",
        "duolearn purge run=outputs/DATE/TIME-NAME yes=true",
        "duolearn purge +forget=surgery",
    ),
    "withdraw": (
        "duolearn withdraw run=outputs/DATE/TIME-NAME request=surgery",
        "duolearn withdraw run=outputs/DATE/TIME-NAME request=surgery yes=true",
        "duolearn withdraw run=outputs/DATE/TIME-NAME request=2 chain=[RUN,RUN]",
    ),
    "cache": (
        "duolearn cache",
        "duolearn cache prune cache.unused=30",
        "duolearn cache prune 'cache.names=[gold-*]' cache.older_than=7 yes=true",
    ),
    "data": (
        "duolearn data export",
        "duolearn data export export_path=minimed.jsonl",
        "duolearn data export dataset=mhqa dataset.path=gold.csv export_path=mhqa.jsonl",
    ),
    "hierarchy": (
        "duolearn hierarchy show trauma +forget=trauma",
        "duolearn hierarchy check hierarchy=mesh hierarchy.path=desc2026.xml",
        'duolearn hierarchy find "sertraline for panic disorder" +forget=anxiety',
        "duolearn hierarchy import hierarchy=mesh hierarchy.path=desc2026.xml export_path=mine.tsv",
    ),
    "bench": (
        "duolearn bench +forget=surgery",
        "duolearn bench +forget=surgery bench.only=[method,private] bench.repeats=15 bench.memory=true",
        "duolearn bench +forget=surgery bench.vocabulary=32000 bench.compare=outputs/DATE/TIME-NAME/bench.json",
    ),
    "benchmark": (
        "duolearn benchmark +forget=surgery",
        "duolearn benchmark +forget=surgery benchmark.methods=[duolearn,npo] benchmark.trials=12 benchmark.seeds=[0,1]",
        "duolearn benchmark resume=outputs/DATE/TIME-NAME",
    ),
    "fetch": (
        "duolearn fetch model=smollm2_135m",
        "duolearn fetch model=smollm2_135m cache_dir=models",
        "duolearn fetch --cfg job",
    ),
}
USAGE = {
    "cache": """\
  list                  what the cache holds: size, age, last use (the default)
  prune                 delete by cache.older_than=DAYS, cache.unused=DAYS, cache.names=[NAME,...]
""",
    "data": """\
  export                write the items of a data set as a file; export_path=FILE
""",
    "audit": """\
  privacy               compare a measured lower bound on epsilon with the epsilon that private unlearning claims
  robustness run=FOLDER attack a run's model to recover forgotten knowledge
""",
    "compare": """\
  RUN RUN...            the runs, each a folder; a sweep or a benchmark stands for its runs. The first is the reference
""",
    "runs": """\
  [FOLDER...]           where to look for runs; without one, output_dir
""",
    "ask": """\
  "QUESTION"            what the models are asked
""",
    "hierarchy": """\
  show [NODE]           show the tree, or the concepts below NODE; depth=2 is the default
  check                 list problems and warnings of a hierarchy, and count its levels
  find "TEXT"           list the concepts in a text
  target +forget=NAME   show what a forget target covers and what lies on its boundary
  coverage dataset=NAME show how well the hierarchy covers a data set and recovers its subjects; rejected rows
  import                write any hierarchy as a file for hierarchy.path=FILE; export_path=FILE names the file
""",
}
# Where a user finds the rest.
MORE = (
    ("duolearn COMMAND --help", "how a command is used, and its settings; --help-all: every setting"),
    ("duolearn help KEY...", "what a setting or a group does, such as: duolearn help unlearn.epochs split"),
    ("duolearn list KIND", "what you can choose: methods, models, datasets, forget targets and so on"),
    ('eval "$(duolearn -sc install=bash)"', "completion of commands, settings and values in this shell"),
)
FLAGS = """\
  -m, --multirun        run every combination of comma-separated values
  --dry-run             print the plan (data, steps, memory, time, folder) and stop
  --cfg job             print the composed configuration and stop
  --config-dir FOLDER   add your own configuration groups
  -h, --help            show this text
  --help-all            show every setting too, with its type and range
"""


def overview(commands: Sequence[str], aliases: Mapping[str, str], width: int) -> str:
    """Return the text of ``duolearn --help``. `aliases` are other names of commands."""
    rows = [(name, first_comment(conf_dir() / f"{name}.yaml")) for name in commands]
    rows += [(name, f"The same as {command}.") for name, command in aliases.items()]
    return (
        f"duolearn {__version__}: remove specialised medical knowledge from a language model, keep the rest, "
        "and measure both.\n\n"
        f"usage: duolearn COMMAND [GROUP=OPTION] [KEY=VALUE] [FLAGS]\n\ncommands\n{columns(rows, width)}\n"
        f"start here\n  duolearn unlearn +forget=surgery\n\nfind out more\n{columns(MORE, width)}"
        f"\ndocumentation (docs/)\n  {docs_dir() / 'index.md'}\n"
    )


def command_help(command: str, config_dir: str | None, width: int, every: bool = False) -> str:
    """Return the text of ``duolearn COMMAND --help``: purpose, groups, settings, flags, examples.

    Args:
        width: the characters of a line.
        every: show every setting, not only those that the command's users need most.

    Raises:
        ConfigError: the user's folder of groups cannot be composed.
    """
    # The overview must not wait for the schema.
    from duolearn_cli.cli import settings_help

    actions = f"words after the command\n{USAGE[command]}\n" if command in USAGE else ""
    settings = settings_help.Settings.of(command, (), config_dir)
    shown = settings_help.every(settings, width) if every else settings_help.common(command, settings, width)
    some = "" if every else f"; all: duolearn {command} --help-all"
    return (
        f"duolearn {command}: {first_comment(conf_dir() / f'{command}.yaml')}\n\n"
        f"usage: duolearn {command} [GROUP=OPTION] [KEY=VALUE] [FLAGS]\n\n{actions}"
        f"groups (GROUP=OPTION; duolearn list GROUP describes the options)\n{_groups(config_dir, width)}\n"
        f"settings (KEY=VALUE; duolearn help KEY explains one{some})\n{shown}\n"
        f"flags\n{FLAGS}\nexamples\n" + "".join(f"  {line}\n" for line in EXAMPLES[command])
    )


def _groups(config_dir: str | None, width: int) -> str:
    """The groups and the names of their options. Those with a plus have no default."""
    known = groups(Path(config_dir) if config_dir else None)
    return columns(((f"{'+' * (name in ADDED_GROUPS)}{name}", ", ".join(known[name])) for name in known), width)
