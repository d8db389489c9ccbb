"""duolearn verify: is a finished run what its record says, and do its figures follow from its answers?"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from duolearn_cli.cli.commands.common import Invocation, refuse_changes, untrusted
from duolearn_cli.errors import RunError
from duolearn_cli.pipeline import record, signing
from duolearn_cli.pipeline.run_folder import Run
from duolearn_cli.pipeline.verification.finding import Finding
from duolearn_cli.pipeline.verification.integrity import of_files, of_record, of_settings, read_record
from duolearn_cli.report.terminal import Display

# What the command line may set; all else is the run's own.
CHANGEABLE = ("run", "verify", "runtime", "cache_dir")
Check = tuple[str, Iterator[Finding]]


def run(config: DictConfig, invocation: Invocation) -> str:
    """Check everything, cheapest first; raise RunError naming the first thing that does not match."""
    refuse_changes(invocation.overrides, CHANGEABLE, "a run that is verified")
    if not config.run:
        raise RunError("run is not set: which run is verified? Give run=FOLDER, of a finished run.")
    folder, asked, display = Path(config.run), config.verify, Display()
    page = _page(asked.page, folder)
    key = signing.private_key(Path(asked.sign), "sign") if asked.sign else None
    found = read_record(folder)
    left_out: list[Finding] = []
    for title, findings in checks(folder, found, config, invocation, display):
        display.stage(title)
        for finding in findings:
            if finding.is_wrong:
                raise RunError(f"{folder} does not match: {finding}.")
            left_out.append(finding)
            display.note(str(finding))
    display.note(_sentence(found, folder, asked.deep))
    if key:
        signing.sign((folder / record.FILE).read_bytes(), key, folder / signing.FILE)
        display.note(f"signed with the key {signing.fingerprint(key.public_key())[:16]}...: {folder / signing.FILE}")
    if page:
        _write_page(page, folder, found, asked.deep, left_out, display)
    return str(folder)


def checks(
    folder: Path, found: dict[str, Any], config: DictConfig, invocation: Invocation, display: Display
) -> Iterator[Check]:
    """The checks by title. A later one may rely on what the earlier ones found to be right."""
    public_key = config.verify.public_key
    yield "Record and signature", of_record(folder, found, Path(public_key) if public_key else None)
    yield f"Files ({len(found['files'])})", of_files(folder, found)
    opened, saved = Run.open(folder)
    yield "Settings", of_settings(opened, saved, found)
    if problems := untrusted(saved, invocation.overrides):
        raise RunError("\n".join(f"{folder / 'config.yaml'}: {problem}" for problem in problems))
    _here(saved, config, opened.info)
    # Whoever finds that a file was changed need not wait for PyTorch.
    from duolearn_cli.pipeline.verification.figures import of_answers, of_metrics
    from duolearn_cli.pipeline.verification.inputs import of_inputs

    yield "Code, data and models", of_inputs(saved, opened.info, found)
    yield "Answers", of_answers(folder, saved)
    yield "Figures", of_metrics(opened, saved, found)
    if config.verify.deep:
        from duolearn_cli.pipeline.verification.rescoring import of_models

        yield "Models", of_models(opened, saved, display)


def _here(saved: DictConfig, config: DictConfig, info: dict[str, Any]) -> None:
    """Let a run's settings be those of this machine where they change no answer."""
    saved.cache_dir, saved.runtime = config.cache_dir, config.runtime
    saved.runtime.num_processes, saved.runtime.sharding = 1, "none"
    if saved.runtime.precision == "auto":
        saved.runtime.precision = info.get("precision") or "auto"


def _sentence(found: dict[str, Any], folder: Path, deep: bool) -> str:
    checked = "files, settings, answers, figures and models" if deep else "files, settings, answers and figures"
    what = f"{found.get('command')} of {found.get('forget')}, {found.get('model')}, {found.get('method')}"
    ended = (found.get("times") or {}).get("ended")
    return f"verified: {folder} ({what}, ended {ended}, digest {found['digest'][:16]}...): {checked} match its record"


def _page(configured: str | None, folder: Path) -> Path | None:
    """The file for the erasure record. Raises RunError where it cannot be one."""
    if not configured:
        return None
    path = Path(configured).expanduser()
    if path.suffix != ".html" or not path.parent.is_dir():
        raise RunError(f"page={configured}: give a file NAME.html in a folder that exists.")
    if folder.resolve() in path.resolve().parents:
        raise RunError(f"page={configured}: the run folder holds what its record lists; give a file outside of it.")
    return path


def _write_page(
    page: Path, folder: Path, found: dict[str, Any], deep: bool, left_out: list[Finding], display: Display
) -> None:
    from duolearn_cli.pipeline.verification.figures import read_metrics
    from duolearn_cli.report.erasure import Verification, erasure_record, write_erasure_record

    path = folder / signing.FILE
    key = signing.Signature.read(path).key if path.is_file() else None
    now = datetime.now(UTC).isoformat(timespec="seconds")
    verified = Verification(now, deep, [str(finding) for finding in left_out], key)
    written = write_erasure_record(page, erasure_record(found, read_metrics(folder), verified))
    display.note(f"erasure record: {', '.join(map(str, written))}")
