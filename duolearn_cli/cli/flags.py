"""The flags of the command line: which there are, which take a value, and what is wrong with others."""

from __future__ import annotations

from collections.abc import Sequence

from duolearn_cli.errors import UserError, nearest

HELP_FLAGS = ("--help", "-h", "--help-all")
# Flags with a value, and the values that each takes; nothing for any.
WITH_VALUE: dict[str, tuple[str, ...]] = {
    "--cfg": ("job", "hydra", "all"),
    "--config-dir": (),
    "--package": (),
}
SHORT = {
    "-c": "--cfg",
    "-cd": "--config-dir",
    "-p": "--package",
    "-m": "--multirun",
    "-r": "--run",
    "-h": "--help",
}
PLAIN = ("--multirun", "--dry-run", "--resolve", "--run", "--version", *HELP_FLAGS)
# Those that a user needs; Hydra's others show how a configuration is composed.
SHOWN = ("-m", "--dry-run", "--cfg", "--config-dir", "--help", "--help-all", "--version")
# Hydra's flags that have no use here, and what to give instead.
_INSTEAD = {
    "--hydra-help": "duolearn has a help of its own: duolearn --help",
    "--config-path": "files of your own go into a folder: --config-dir FOLDER",
    "-cp": "files of your own go into a folder: --config-dir FOLDER",
    "--config-name": "the command names the configuration; files of your own: --config-dir FOLDER",
    "-cn": "the command names the configuration; files of your own: --config-dir FOLDER",
    "--info": "the configuration is shown by --cfg job, and what sets a value by duolearn help KEY",
    "-i": "the configuration is shown by --cfg job, and what sets a value by duolearn help KEY",
    "--experimental-rerun": "continue a run with resume=FOLDER, or score it again with duolearn evaluate run=FOLDER",
}


def takes_value(flag: str) -> bool:
    """Whether the next word is the flag's value."""
    # `--cfg=job` brings its value, so the next word is another flag or an override.
    return _long(flag) in WITH_VALUE and "=" not in flag


def one_of(flag: str) -> str:
    """The values that a flag takes, for a message; empty where it takes any."""
    accepted = WITH_VALUE[_long(flag)]
    return f": {', '.join(accepted)}" if accepted else ""


def check_flags(flags: Sequence[str]) -> None:
    """Check flags, each followed by its value.

    Raises:
        UserError: a flag that there is not, or a value that it does not take.
    """
    words = list(flags)
    while words:
        name, equals, value = words.pop(0).partition("=")
        if name in _INSTEAD:
            raise UserError(f"{name}: duolearn does not have this flag; {_INSTEAD[name]}.")
        if _long(name) not in (*WITH_VALUE, *PLAIN):
            raise UserError(f"{name}: there is no such flag; allowed: {', '.join(SHOWN)}{_meant(name)}.")
        if _long(name) in WITH_VALUE:
            _check_value(name, value if equals else words.pop(0))
        elif equals:
            raise UserError(f"{name}={value}: {name} takes no value; give {name} alone, or leave it out.")


def _check_value(name: str, value: str) -> None:
    accepted = WITH_VALUE[_long(name)]
    if accepted and value not in accepted:
        raise UserError(f"{name} {value}: allowed: {', '.join(accepted)}{nearest(value, accepted)}.")


def _long(flag: str) -> str:
    return SHORT.get(flag, flag)


def _meant(flag: str) -> str:
    """The flag that is spelled nearest, without regard to dashes: --dryrun is nearly --dry-run."""
    # Dashes alone make most of the likeness between flags: they would be the nearest to anything.
    bare = {known.replace("-", ""): known for known in (*WITH_VALUE, *PLAIN)}
    found = nearest(flag.replace("-", ""), bare)
    return next((f" (did you mean {known!r}?)" for name, known in bare.items() if f"'{name}'" in found), "")
