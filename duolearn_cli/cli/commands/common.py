"""What several commands share: their invocation, checks without a model, the dry run, opening a run folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from omegaconf import DictConfig, OmegaConf

from duolearn_cli.config.check import check
from duolearn_cli.config.components import dataset_name
from duolearn_cli.config.explain import key_of
from duolearn_cli.config.layers import ALL, chosen_layers
from duolearn_cli.config.schema import RunConfig
from duolearn_cli.config.tracking import check_packages
from duolearn_cli.errors import DataError, RunError
from duolearn_cli.evaluation.lm_eval import read_results
from duolearn_cli.files import cache_dir, make_folder
from duolearn_cli.model.adapter_files import ADAPTER_FILE
from duolearn_cli.model.folder_check import check_folder
from duolearn_cli.model.quantization import check_device, check_libraries
from duolearn_cli.model.weights import find_weights
from duolearn_cli.pipeline.planning.plan import checkpoint_bytes, read_shape
from duolearn_cli.pipeline.prepare import prepare
from duolearn_cli.pipeline.record import recorded
from duolearn_cli.pipeline.run_folder import Run, check_space
from duolearn_cli.pipeline.study import Study
from duolearn_cli.pipeline.tracking import tracked

if TYPE_CHECKING:
    from duolearn_cli.privacy.account import Account
    from duolearn_cli.report.terminal import Display

# Disk space for adapters, per-item results and reports, apart from checkpoints.
NEEDED_BYTES = 500_000_000
# Settings that only refuse a run and change no result. An older run may be given other values for them.
LIMITS = ("prompt.max_cut",)
# Each command line must give trust again, see `reopen`.
TRUST = ("plugins=", "model.trust_remote_code=")


@dataclass(frozen=True, slots=True)
class Invocation:
    """How a command was called.

    Attributes:
        overrides: the overrides of the command line.
        sweep_folder: the folder that a sweep has made for this job; None outside of sweeps.
        config_dir: the folder of ``--config-dir``, with the user's own configuration groups.
    """

    overrides: Sequence[str] = ()
    sweep_folder: Path | None = None
    config_dir: str | None = None


def prepared(config: DictConfig, display: Display | None = None) -> Study:
    """Prepare the data, and check hierarchy, forget target, weights and disk space: everything that needs no model."""
    if display:
        data = dataset_name(config.dataset)
        display.stage(f"Read the data ({data}) and the hierarchy ({config.hierarchy.name})")
    check_packages(config.track)
    study = prepare(cast(RunConfig, config))
    weights = find_weights(study.config.model, study.config.cache_dir)
    check_folder(weights, study.config.model.name)
    check_libraries(study.config.model, weights.gguf_file)
    if not config.dry_run:
        check_device(study.config.model)
    layers, unlearns = study.config.model.adapter.layers, study.config.command == "unlearn"
    shape = read_shape(weights) if unlearns or layers != ALL else None
    if shape:
        chosen_layers(layers, shape.layers)  # raises ConfigError for layers that the model does not have
    # Two are kept, and the older of them is deleted only when a new one is complete.
    checkpoints = 3 * checkpoint_bytes(study.config, shape) if shape and unlearns else 0
    if config.evaluation.lm_eval:
        read_results(Path(config.evaluation.lm_eval))
    check_space(Path(config.run_dir or config.output_dir), NEEDED_BYTES + checkpoints)
    if not config.dry_run:
        _make_cache(config.cache_dir)
    return study


def _make_cache(configured: str | None) -> None:
    """Create the cache folder. This is the first write of a run, so a read-only cache leaves nothing behind."""
    folder = cache_dir(configured) / "models"
    make_folder(folder, f"cache_dir={folder.parent}")


def readable(study: Study, display: Display) -> Study:
    """Return the study as the model's tokenizer reads it, without the items that it cannot encode.

    Raises:
        ConfigError, DataError, ModelError: see `Study.readable`.
    """
    config = study.config
    display.stage("Start PyTorch")
    from duolearn_cli.model.loading import load_encoder, read_context

    display.stage(f"Read all texts with the tokenizer of {config.model.name}")
    weights = find_weights(config.model, config.cache_dir)
    return study.readable(load_encoder(weights, config), read_context(weights))


def perform(study: Study, opened: Run, display: Display, stages: Callable[[], dict[str, Any]]) -> str:
    """Run the `stages` of a run, which return its metrics, and show the results. Return the run folder."""
    with recorded(opened, study.config), tracked(opened, study.config, display):
        for note in study.hierarchy.notes:
            display.note(f"hierarchy: {note}")
        display.note(study.coverage().sentence())
        for note in study.notes:
            display.note(f"data: {note}")
        display.note(study.tally.sentence())
        for warning in study.warnings():
            display.note(f"warning: {warning}")
        if sentence := study.forgotten.sentence():
            display.note(sentence)
        metrics = stages()
    # Here: the results need SciPy, which a dry run must not wait for.
    from duolearn_cli.report.results import show_path, show_results

    show_results(opened.folder, metrics, opened.info, display)
    if study.config.command == "evaluate":
        display.note(f"general ability by lm-evaluation-harness: {metrics['harness']['command']}")
    show_path(opened.folder, study.config.evaluation.report, display)
    return str(opened.folder)


def check_adapter(folder: Path) -> None:
    """Raise RunError if a folder holds no adapter."""
    if not (folder / ADAPTER_FILE).is_file():
        raise RunError(f"{folder} holds no adapter; if its run did not finish, use duolearn unlearn resume=RUN.")


def refuse_changes(overrides: Sequence[str], changeable: Sequence[str], what: str) -> None:
    """Check that the command line changes no fixed setting of an existing run.

    Args:
        changeable: the settings, or groups of settings, that the command line may change.
        what: the name of the run in the message.

    Raises:
        RunError: some overrides are not allowed; the message names them and what may change.
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
    """Return a run's `saved` configuration for another command.

    Settings in `changeable`, and those `LIMITS` that the command line overrides, come from `config`.
    """
    changes = {key: config[key] for key in changeable}
    merged = cast(DictConfig, OmegaConf.merge(saved, {"command": command}, changes))
    for key in LIMITS:
        if any(key_of(text) == key for text in overrides):
            OmegaConf.update(merged, key, OmegaConf.select(config, key))
    return merged


def dry_run(study: Study, display: Display, account: Account | None = None) -> None:
    """Print the plan of a run, with the spending of a private run."""
    from duolearn_cli.pipeline.planning.plan import plan, remarks

    display.show(plan(study, account))
    for remark in remarks(study):
        display.note(remark)


def export_file(configured: str | None, source: str | None = None) -> Path:
    """Return the path of a file to write for the user.

    Raises:
        DataError: it is not set, is a folder, its folder is missing, or it is the `source` that the command reads.
    """
    if configured is None:
        raise DataError("export_path is not set: give the path of the file to write.")
    path = Path(configured)
    try:
        path = path.expanduser()
        is_folder = path.is_dir()
        is_source = source is not None and path.resolve() == Path(source).expanduser().resolve()
    except (OSError, RuntimeError) as error:
        raise DataError(f"export_path={path}: {getattr(error, 'strerror', None) or error}.") from error
    if is_source:
        raise DataError(f"export_path={path}: this is the input file; give another one to write.")
    if is_folder:
        raise DataError(f"export_path={path}: this is a folder; give the path of a file.")
    if not path.parent.is_dir():
        raise DataError(f"export_path={path}: there is no folder {path.parent}.")
    return path


def reopen(
    folder: Path,
    overrides: Sequence[str] = (),
    command: str | None = None,
    config_dir: str | None = None,
    *,
    purged: bool = False,
) -> tuple[Run, DictConfig]:
    """Open a run folder, of `command` if not None, and check its configuration as strictly as a new one.

    The file may come from someone else, who must not be able to run code here. So `plugins` and
    ``model.trust_remote_code=true`` are refused unless `overrides`, the command line, repeats them.

    Args:
        purged: accept a run whose data was purged.

    Raises:
        RunError: it is not a run folder, was purged, or its config.yaml has problems; one line each.
    """
    opened, config = Run.open(folder)
    if not purged:
        check_not_purged(opened)
    if command and config.command != command:
        raise RunError(f"{folder} is a run of `duolearn {config.command}`, not of `duolearn {command}`.")
    problems = untrusted(config, overrides) or list(check(config, Path(config_dir) if config_dir else None))
    if problems:
        raise RunError("\n".join(f"{folder / 'config.yaml'}: {problem}" for problem in problems))
    return opened, config


def untrusted(config: DictConfig, overrides: Sequence[str]) -> list[str]:
    """Return what a saved configuration would let run here that the command line does not repeat."""
    granted = _values(overrides)
    refused = [name for name in config.plugins if name not in (granted.get("plugins") or [])]
    problems = []
    if refused:
        problems.append(f"it would run code of these modules; if you trust them, add plugins=[{','.join(refused)}]")
    if config.model.trust_remote_code and granted.get("model.trust_remote_code") is not True:
        problems.append("it would run code of the model's folder; if you trust it, add model.trust_remote_code=true")
    return problems


def check_not_purged(opened: Run) -> None:
    """Refuse a run whose data was purged: to continue it, the model would have to learn the forgotten data again.

    Raises:
        RunError: the run was purged; the message says what is gone.
    """
    if purged := opened.info.get("purged"):
        raise RunError(
            f"{opened.folder} was purged on {purged['date']}: {', '.join(purged['gone'])} are gone (purged.json lists "
            "the files). To score or to continue it, a model would have to learn the forgotten data again. "
            "metrics.json, the report and the adapter remain. If you need more, start a new run of `duolearn unlearn`."
        )


def _values(overrides: Sequence[str]) -> dict[str, Any]:
    """Return the values of overrides that Hydra has accepted, by key."""
    from hydra.core.override_parser.overrides_parser import OverridesParser

    return {parsed.key_or_group: parsed.value() for parsed in OverridesParser.create().parse_overrides(list(overrides))}
