"""duolearn audit privacy: measure whether private unlearning leaks more than it claims."""

from __future__ import annotations

from typing import TYPE_CHECKING

from omegaconf import DictConfig

from duolearn_cli.cli.commands.beginning import check_beginning, check_words
from duolearn_cli.cli.commands.common import Invocation, dry_run, prepared, readable
from duolearn_cli.errors import LeakError, present
from duolearn_cli.files import write_json
from duolearn_cli.pipeline.privacy_plan import plan_unlearning
from duolearn_cli.pipeline.run_folder import Run
from duolearn_cli.report.tables import Table
from duolearn_cli.report.terminal import Display

if TYPE_CHECKING:
    from collections.abc import Sequence

    from duolearn_cli.audits.privacy.canaries import Finding


def run(config: DictConfig, invocation: Invocation) -> str:
    """Unlearn with canaries as configured, and write audit.json. Return the run folder.

    Raises:
        LeakError: a measured lower bound exceeds the claimed epsilon.
    """
    forgotten = check_beginning(config, invocation.config_dir) if config.adapter else []
    display = Display()
    study = prepared(config, display)
    check_words(study, forgotten)
    account = plan_unlearning(study)
    if config.dry_run:
        dry_run(study, display, account)
        return ""
    study = readable(study, display)
    account = present(plan_unlearning(study), "the promise that is audited")  # privacy_rules.py requires privacy
    from duolearn_cli.audits.privacy.audit import audit_stage
    from duolearn_cli.pipeline.laboratory import Laboratory

    opened = Run.create(study.config, invocation.overrides, invocation.sweep_folder)
    account.write(opened.folder, account.planned().spent())
    with opened.active():
        findings = audit_stage(Laboratory.open(study, display, opened))
        write_json(
            opened.folder / "audit.json",
            {"schema": 1, "privacy": config.privacy.name, "seed": config.seed}
            | {"findings": [finding.as_dict() for finding in findings]},
        )
        display.show(findings_table(findings))
        display.note(f"written to {opened.folder}: audit.json")
        if broken := [finding for finding in findings if not finding.holds]:
            raise LeakError("; ".join(map(_leak, broken)))
        for finding in findings:
            if not finding.can_fail:
                display.note(_no_power(finding))
    return str(opened.folder)


def findings_table(findings: Sequence[Finding]) -> Table:
    """Return the table of findings, one row per protected set."""
    header = ("Set", "Claimed epsilon", "Lower bound", "Largest possible", "Confidence", "Right guesses", "Canaries")
    header = (*header, "Steps", "Verdict")
    rows = [
        (
            finding.set_name,
            f"{finding.claim:.3g} at delta {finding.delta:.2g}",
            f"{finding.bound:.3g}",
            f"{finding.reach:.3g}",
            f"{100 * finding.confidence:g} %",
            f"{finding.correct} of {finding.guesses}",
            str(finding.canaries),
            str(finding.steps),
            _verdict(finding),
        )
        for finding in findings
    ]
    return Table("Audit of the privacy claim", header, tuple(rows))


def _verdict(finding: Finding) -> str:
    if not finding.holds:
        return "LEAKS MORE THAN CLAIMED"
    return "the claim stands" if finding.can_fail else "could not be contradicted"


def _no_power(finding: Finding) -> str:
    return (
        f"{finding.set_name}: no outcome could have contradicted the claim of {finding.claim:.3g}: even if every guess "
        f"were right, the bound would be {finding.reach:.3g}. Audit with a smaller privacy.epsilon or privacy.delta, "
        "or more audit.guesses."
    )


def _leak(finding: Finding) -> str:
    return (
        f"the {finding.set_name} set leaks more than claimed: epsilon is at least {finding.bound:.3g} with "
        f"{100 * finding.confidence:g} % confidence, and the claim is {finding.claim:.3g}. Do not release models of "
        f"this configuration. (At most one in {1 / (1 - finding.confidence):.0f} audits of a correct claim reports a "
        "leak: audit again with another seed.)"
    )
