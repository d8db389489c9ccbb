"""One run of the speed benchmark: open the models, time the variants in turn, measure memory in fresh processes."""

from __future__ import annotations

import platform
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf

from duolearn_cli.benchmarks.speed.enlarged import enlarge
from duolearn_cli.benchmarks.speed.memory import peak
from duolearn_cli.benchmarks.speed.results import SCHEMA, check_same, compared, judged
from duolearn_cli.benchmarks.speed.timing import Step, interleaved, num_runs
from duolearn_cli.benchmarks.speed.variants import Variant, ratios_of
from duolearn_cli.benchmarks.speed.workbench import Workbench
from duolearn_cli.config.version import __version__
from duolearn_cli.pipeline.run_folder import LIBRARIES
from duolearn_cli.pipeline.study import Study
from duolearn_cli.report.terminal import Display


def measure(
    study: Study,
    chosen: Mapping[str, Variant],
    display: Display,
    overrides: Sequence[str],
    earlier: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Measure the variants.

    Args:
        study: the prepared data; only the items of one step are used.
        chosen: the variants by name.
        display: shows progress.
        overrides: the command's overrides, for the record.
        earlier: an earlier result that this one will be compared with.

    Returns:
        The content of bench.json (docs/speed.md).

    Raises:
        ConfigError, ModelError: a variant does not fit the data or the model.
        RunError: `earlier` is not comparable, or a process that measures memory failed.
    """
    settings = study.config.bench
    # The enlarged model and the accounts of private steps are needed only while measuring.
    with tempfile.TemporaryDirectory() as scratch:
        study = with_vocabulary(study, Path(scratch) / "model")
        workbench = Workbench(study, Path(scratch))
        display.stage(f"Prepare {len(chosen)} variants of {study.config.model.name}")
        with display.progress("prepare", len(chosen)) as advance:
            steps: dict[str, Step] = {}
            for name, variant in chosen.items():
                steps[name] = workbench.step(variant)
                advance()
        head = header(workbench, overrides)
        # Checked before anything is timed: the vocabulary is known only once the model is open.
        if earlier:
            check_same(str(settings.compare), earlier, head)
        display.stage(f"Time them, {settings.repeats} repeats")
        with display.progress("time", num_runs(steps, settings.repeats)) as advance:
            seconds = interleaved(steps, settings.repeats, workbench.device, lambda n: advance(n=n))
        memory = _memory(study, chosen, display) if settings.memory else {}
    ratios = compared(ratios_of(chosen), seconds, memory)
    measurements = {
        name: {"about": variant.about, "seconds": seconds[name]} | memory.get(name, {})
        for name, variant in chosen.items()
    }
    return head | {"variants": measurements, "ratios": ratios, "goals": judged(ratios, head["vocabulary"])}


def with_vocabulary(study: Study, folder: Path) -> Study:
    """The study with its model enlarged to ``bench.vocabulary`` tokens, if that is set."""
    config: Any = study.config
    if config.bench.vocabulary is None:
        return study
    changed = OmegaConf.merge(config, {})
    for key, value in enlarge(config, config.bench.vocabulary, folder).items():
        OmegaConf.update(changed, key, value)
    return replace(study, config=changed)


def header(workbench: Workbench, overrides: Sequence[str]) -> dict[str, Any]:
    """The part of bench.json that describes the machine, the model, the texts and the settings."""
    config, model, device = workbench.study.config, workbench.lab.model, workbench.device
    texts = [text for side in workbench.texts for text in side]
    forget, retain = map(len, workbench.texts)
    base: Any = model.network.get_base_model()
    return {
        "schema": SCHEMA,
        "versions": {"duolearn": __version__, "python": platform.python_version()}
        | {name: version(name) for name in LIBRARIES},
        "device": device.type,
        "device_name": torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine(),
        "threads": torch.get_num_threads(),
        "precision": model.precision,
        "overrides": list(overrides),
        "repeats": config.bench.repeats,
        "model": config.model.name,
        "vocabulary": base.get_output_embeddings().weight.shape[0],
        "base_parameters": model.num_base_parameters,
        "adapter_parameters": model.num_adapter_parameters,
        "items": {"forget": forget, "retain": retain},
        "tokens": {
            "all": sum(len(text.ids) for text in texts),
            "longest": max(len(text.ids) for text in texts),
            "answers": sum(len(text.labels("answer")) for text in texts),
        },
    }


def _memory(study: Study, chosen: Mapping[str, Variant], display: Display) -> dict[str, dict[str, int]]:
    """The memory of each variant, by name; see `peak`."""
    by_variant: dict[str, dict[str, int]] = {}
    display.stage("Measure memory, each variant in a process of its own")
    with display.progress("memory", len(chosen)) as advance:
        for name in chosen:
            by_variant[name] = peak(study.config, name)  # type: ignore[arg-type]
            advance()
    return by_variant
