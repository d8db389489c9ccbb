"""duolearn verify: check that a finished run is what its record says, and that its figures follow from its answers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from duolearn_cli.cli.commands.common import Invocation, refuse_changes, untrusted
from duolearn_cli.errors import RunError
from duolearn_cli.pipeline import purged, record, signing
from duolearn_cli.pipeline.requests import read_chain
from duolearn_cli.pipeline.run_folder import Run
from duolearn_cli.pipeline.verification.chain import of_chain
from duolearn_cli.pipeline.verification.finding import Finding, not_checked
from duolearn_cli.pipeline.verification.inputs import of_inputs
from duolearn_cli.pipeline.verification.integrity import (
    of_files,
    of_purges,
    of_record,
    of_settings,
    read_metrics,
    read_record,
)
from duolearn_cli.report.erasure import Verification, erasure_record, write_erasure_record
from duolearn_cli.report.terminal import Display

# Settings that the command line may give. All others are those of the run.
CHANGEABLE = ("run", "verify", "runtime", "cache_dir")
Check = tuple[str, Iterator[Finding]]


def run(config: DictConfig, invocation: Invocation) -> str:
    """Check everything, cheapest first; raise RunError naming the first thing that does not match."""
    if config.dry_run:
        raise RunError(
            "verify has no dry run, because it changes nothing: it writes only the files that sign= and page= name. "
            "Leave out --dry-run."
        )
    refuse_changes(invocation.overrides, CHANGEABLE, "a run that is verified")
    if not config.run:
        raise RunError("run is not set: which run is verified? Give run=FOLDER, of a finished run.")
    folder, asked, display = Path(config.run), config.verify, Display()
    page = _page(asked.page, folder)
    key = signing.private_key(Path(asked.sign), "sign") if asked.sign else None
    verified = verify(config, invocation, display)
    if key:
        signing.sign((folder / record.FILE).read_bytes(), key, folder / signing.FILE)
        display.note(f"signed with the key {signing.fingerprint(key.public_key())[:16]}...: {folder / signing.FILE}")
    if page:
        written = write_erasure_record(page, content_of_page(folder, verified))
        display.note(f"erasure record: {', '.join(map(str, written))}")
    return str(folder)


def verify(config: DictConfig, invocation: Invocation, display: Display) -> Verification:
    """Go through the checks of `config.run`, say what was not checked, and return what was.

    Raises:
        RunError: something does not match; the message names the first such thing.
    """
    folder = Path(config.run)
    found = read_record(folder)
    checked, left_out = list[str](), list[str]()
    for title, findings in checks(folder, found, config, invocation, display):
        display.stage(title)
        checked.append(title)
        for finding in findings:
            if finding.is_wrong:
                raise RunError(f"{folder} does not match: {finding}.")
            left_out.append(str(finding))
            display.note(str(finding))
    display.note(_sentence(found, folder, config.verify.deep))
    now = datetime.now(UTC).isoformat(timespec="seconds")
    is_deep = bool(config.verify.deep) and not purged.gone(found)
    return Verification(now, is_deep, checked, left_out)


def content_of_page(folder: Path, verified: Verification) -> dict[str, Any]:
    """The erasure record of a run that was verified, with the key of the signature as it is now.

    Its warnings are computed again where that is possible: what a run of other code says was not compared.
    """
    chain, path = read_chain(folder / "adapter"), folder / signing.FILE
    key = signing.Signature.read(path).key if path.is_file() else None
    requests = chain.entries if chain else ()
    found, metrics = read_record(folder), read_metrics(folder)
    if not purged.gone(found):
        from duolearn_cli.pipeline.verification.figures import flags_again

        metrics |= {"flags": flags_again(*Run.open(folder))}
    return erasure_record(found, metrics, replace(verified, key=key), requests)


def checks(
    folder: Path, found: dict[str, Any], config: DictConfig, invocation: Invocation, display: Display
) -> Iterator[Check]:
    """The checks by title. A later one may rely on what the earlier ones found to be right."""
    public_key = Path(config.verify.public_key) if config.verify.public_key else None
    yield "Record and signature", of_record(folder, found, public_key)
    yield f"Files ({len(found['files'])})", of_files(folder, found)
    if found.get("purges"):
        yield f"Purges ({len(found['purges'])})", of_purges(folder, found)
    opened, saved = Run.open(folder)
    yield "Settings", of_settings(opened, saved, found)
    if problems := untrusted(saved, invocation.overrides):
        raise RunError("\n".join(f"{folder / 'config.yaml'}: {problem}" for problem in problems))
    yield "Chain of requests", of_chain(opened, saved, config.verify.chain, public_key)
    _here(saved, config, opened.info)
    yield "Code, data and models", of_inputs(saved, opened.info, found)
    if gone := purged.gone(found):
        why = f"{', '.join(sorted(gone))} were purged, so nothing can be computed or scored again"
        yield "Answers and figures", iter([not_checked("answers and figures", why)])
        return
    # Whoever finds that a file was changed need not wait for PyTorch.
    from duolearn_cli.pipeline.verification.figures import of_answers, of_metrics

    yield "Answers", of_answers(folder, saved)
    yield "Figures", of_metrics(opened, saved, found)
    if config.verify.deep:
        from duolearn_cli.pipeline.verification.rescoring import of_models

        yield "Models", of_models(opened, saved, display)


def _here(saved: DictConfig, config: DictConfig, info: dict[str, Any]) -> None:
    """Replace settings of the run by those of this machine where they change no answer."""
    saved.cache_dir, saved.runtime = config.cache_dir, config.runtime
    saved.runtime.num_processes, saved.runtime.sharding = 1, "none"
    if saved.runtime.precision == "auto":
        saved.runtime.precision = info.get("precision") or "auto"


def _sentence(found: dict[str, Any], folder: Path, deep: bool) -> str:
    parts = ["files", "settings", "requests"]
    if not purged.gone(found):
        parts += ["answers", "figures", *(["models"] if deep else [])]
    checked = f"{', '.join(parts[:-1])} and {parts[-1]}"
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
