"""What several commands share: how they were called, the cheap checks, the dry run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from omegaconf import DictConfig, OmegaConf

from duolearn_cli.config.check import check
from duolearn_cli.config.components import dataset_name
from duolearn_cli.config.explain import key_of
from duolearn_cli.config.layers import ALL, chosen_layers
from duolearn_cli.config.schema import RunConfig
from duolearn_cli.errors import DataError, RunError
from duolearn_cli.evaluation.lm_eval import read_results
from duolearn_cli.files import cache_dir
from duolearn_cli.model.adapter_files import ADAPTER_FILE
from duolearn_cli.model.quantization import check_device, check_libraries
from duolearn_cli.model.weights import find_weights
from duolearn_cli.pipeline.planning.plan import checkpoint_bytes, read_shape
from duolearn_cli.pipeline.run_folder import Run, check_space
from duolearn_cli.pipeline.study import Study, prepare

if TYPE_CHECKING:
    from duolearn_cli.privacy.account import Account
    from duolearn_cli.report.terminal import Display

# Adapters, per-item results and reports, beside checkpoints.
NEEDED_BYTES = 500_000_000
# Limits that refuse and change nothing: a run that was made before they were may be let pass.
LIMITS = ("prompt.max_cut",)
# Trust must be given anew on each command line: see `reopen`.
TRUST = ("plugins=", "model.trust_remote_code=")


@dataclass(frozen=True, slots=True)
class Invocation:
    """How a command was called: its overrides, the folder that a sweep made for this job, the user's own groups."""

    overrides: Sequence[str] = ()
    sweep_folder: Path | None = None
    config_dir: str | None = None


def prepared(config: DictConfig, display: Display | None = None) -> Study:
    """Check data, hierarchy, forget target, weights and disk space: all that costs no model. Says so on `display`."""
    if display:
        data = dataset_name(config.dataset)
        display.stage(f"Read the data ({data}) and the hierarchy ({config.hierarchy.name})")
    study = prepare(cast(RunConfig, config))
    weights = find_weights(study.config.model, study.config.cache_dir)
    check_libraries(study.config.model, weights.gguf_file)
    if not config.dry_run:
        check_device(study.config.model)
    layers, unlearns = study.config.model.adapter.layers, study.config.command == "unlearn"
    shape = read_shape(weights) if unlearns or layers != ALL else None
    if shape:
        chosen_layers(layers, shape.layers)  # refuses those that the model has not
    # A new checkpoint is whole before the last one goes.
    checkpoints = 2 * checkpoint_bytes(study.config, shape) if shape and unlearns else 0
    if config.evaluation.lm_eval:
        read_results(Path(config.evaluation.lm_eval))
    check_space(Path(config.run_dir or config.output_dir), NEEDED_BYTES + checkpoints)
    if not config.dry_run:
        _make_cache(config.cache_dir)
    return study


def _make_cache(configured: str | None) -> None:
    """The first write of a run: a cache that cannot be written is known before anything else is there."""
    folder = cache_dir(configured) / "models"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"cache_dir={folder.parent}: cannot be written ({error.strerror}); choose another.") from error


def readable(study: Study, display: Display) -> Study:
    """The study as the model's tokenizer reads it, without the items that it cannot read.

    Raises:
        ConfigError, DataError, ModelError: see `Study.readable`; the tokenizer's ids are beyond the model's.
    """
    config = study.config
    display.stage("Start PyTorch")
    from duolearn_cli.model.encoding import Encoder
    from duolearn_cli.model.loading import load_tokenizer, read_context

    display.stage(f"Read all texts with the tokenizer of {config.model.name}")
    weights = find_weights(config.model, config.cache_dir)
    return study.readable(Encoder(load_tokenizer(weights, config.model), config.prompt), read_context(weights))


def perform(study: Study, opened: Run, display: Display, stages: Callable[[], dict[str, Any]]) -> str:
    """Go through the `stages` of a run, which return its metrics, and show the results. Return the run folder."""
    with opened.active():
        for note in study.hierarchy.notes:
            display.note(f"hierarchy: {note}")
        display.note(study.coverage().sentence())
        for note in study.notes:
            display.note(f"data: {note}")
        display.note(study.tally.sentence())
        for warning in study.warnings():
            display.note(f"warning: {warning}")
        if said := study.forgotten.sentence():
            display.note(said)
        metrics = stages()
    show_results(opened.folder, metrics, opened.info, display)
    if study.config.command == "evaluate":
        display.note(f"general ability by lm-evaluation-harness: {metrics['harness']['command']}")
    report = "report.html, " * study.config.evaluation.report
    display.note(f"written to {opened.folder}: {report}metrics.json")
    return str(opened.folder)


def show_results(folder: Path, metrics: Mapping[str, Any], info: Mapping[str, Any], display: Display) -> None:
    """Print the table, then the verdict in a paragraph and every warning: who reads no report has seen them."""
    from duolearn_cli.report.inputs import read_history
    from duolearn_cli.report.tables import FLAGGED, measures_table
    from duolearn_cli.report.verdict import verdict, warnings

    display.show(measures_table(metrics))
    display.note(verdict(metrics))
    said = warnings(metrics, read_history(folder / "history.jsonl"), info)
    if said:
        display.note(f"warnings ({len(said)}), marked{FLAGGED} in the table where a row is theirs:")
    for sentence in said:
        display.note(f"- {sentence}")


def check_adapter(folder: Path) -> None:
    """Raise RunError for a folder without an adapter."""
    if not (folder / ADAPTER_FILE).is_file():
        raise RunError(f"{folder} holds no adapter; if its run did not finish, use duolearn unlearn resume=RUN.")


def refuse_changes(overrides: Sequence[str], changeable: Sequence[str], what: str) -> None:
    """Refuse what would change the configuration of a run that has one already.

    Args:
        changeable: settings, or groups of them, that the command line may give.
        what: the run, as the message names it.

    Raises:
        RunError: naming each override that has to go, and what may change.
    """
    allowed = (*(f"{key}{end}" for key in changeable for end in "=."), *TRUST)
    changes = [text for text in overrides if not text.startswith(allowed)]
    if changes:
        raise RunError(
            f"{what} keeps its own configuration; leave out: {' '.join(changes)}. "
            f"What may change: {', '.join(changeable)}."
        )


def with_changes(
    saved: DictConfig, command: str, config: DictConfig, changeable: Sequence[str], overrides: Sequence[str]
) -> DictConfig:
    """The configuration of a run for another command: its `changeable` settings, and the limits that are given."""
    changes = {key: config[key] for key in changeable}
    found = cast(DictConfig, OmegaConf.merge(saved, {"command": command}, changes))
    for key in LIMITS:
        if any(key_of(text) == key for text in overrides):
            OmegaConf.update(found, key, OmegaConf.select(config, key))
    return found


def dry_run(study: Study, display: Display, account: Account | None = None) -> None:
    """Print what the run would do, and what it would spend."""
    from duolearn_cli.pipeline.planning.plan import plan, remarks

    display.show(plan(study, account))
    for remark in remarks(study):
        display.note(remark)


def export_file(configured: str, source: str | None = None) -> Path:
    """The file to write for a user. Raises DataError where it cannot be one, or is the `source` that is read."""
    path = Path(configured)
    try:
        path = path.expanduser()
        is_folder = path.is_dir()
        is_source = source is not None and path.resolve() == Path(source).expanduser().resolve()
    except (OSError, RuntimeError) as error:
        raise DataError(f"export_path={path}: {getattr(error, 'strerror', None) or error}.") from error
    if is_source:
        raise DataError(f"export_path={path}: this is the file that is read; give another one to write.")
    if is_folder:
        raise DataError(f"export_path={path}: this is a folder; give the path of a file.")
    if not path.parent.is_dir():
        raise DataError(f"export_path={path}: there is no folder {path.parent}.")
    return path


def reopen(
    folder: Path, overrides: Sequence[str] = (), command: str | None = None, config_dir: str | None = None
) -> tuple[Run, DictConfig]:
    """Open a run folder, of `command` if that is given, and check its saved configuration as strictly as a fresh one.

    Whoever wrote the file must not run code here: `plugins` and ``model.trust_remote_code=true`` count only where
    `overrides`, the command line, repeats them.

    Raises:
        RunError: the folder is none, or everything that its config.yaml is refused for.
    """
    opened, config = Run.open(folder)
    if command and config.command != command:
        raise RunError(f"{folder} is of `duolearn {config.command}`, not of `duolearn {command}`.")
    granted = _given(overrides)
    refused = [name for name in config.plugins if name not in (granted.get("plugins") or [])]
    problems = []
    if refused:
        problems.append(f"it names modules of code to run; if you trust them, add plugins=[{','.join(refused)}]")
    if config.model.trust_remote_code and granted.get("model.trust_remote_code") is not True:
        problems.append("it lets the model's own code run; if you trust it, add model.trust_remote_code=true")
    problems = problems or list(check(config, Path(config_dir) if config_dir else None))
    if problems:
        raise RunError("\n".join(f"{folder / 'config.yaml'}: {problem}" for problem in problems))
    return opened, config


def _given(overrides: Sequence[str]) -> dict[str, Any]:
    """Values by key of a command line that Hydra has accepted."""
    from hydra.core.override_parser.overrides_parser import OverridesParser

    return {parsed.key_or_group: parsed.value() for parsed in OverridesParser.create().parse_overrides(list(overrides))}
