"""The typed schema of a run. Components (methods, data sets, hierarchies) bring their own dataclass as schema."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from omegaconf import MISSING

from duolearn_cli.config.comparison import BenchmarkConfig
from duolearn_cli.config.deploy import CacheConfig, ExportConfig
from duolearn_cli.config.following import AskConfig, CompareConfig, RunsConfig
from duolearn_cli.config.forget import ForgetTarget
from duolearn_cli.config.items import ImperfectConfig, LabelsConfig, PromptConfig, SplitConfig
from duolearn_cli.config.learning import LearnConfig
from duolearn_cli.config.model import ModelConfig, RuntimeConfig
from duolearn_cli.config.privacy import PrivacyConfig
from duolearn_cli.config.record import RecordConfig, VerifyConfig
from duolearn_cli.config.robustness import AuditsConfig
from duolearn_cli.config.settings import MAX_SEED, NAME, setting
from duolearn_cli.config.speed import BenchConfig
from duolearn_cli.config.tracking import TRACKED, TRACKERS
from duolearn_cli.config.unlearning import UnlearnConfig
from duolearn_cli.config.verdict import ReportConfig, VerdictConfig
from duolearn_cli.config.views import HierarchyViewConfig, InspectConfig
from duolearn_cli.config.words import FORMATS, PARTS


@dataclass
class EvaluationConfig:
    """Scoring of base, target, gold and unlearned on the same items."""

    batch_tokens: int = setting(
        8192, "the largest number of tokens in one forward pass", minimum=64, common=("evaluate",)
    )
    part: str = setting(
        "all",
        "facts to score: all; validation: the facts that choices such as stopping use; test: all other facts",
        choices=list(PARTS),
        common=("evaluate",),
    )
    max_items: int | None = setting(
        None, "the largest number of items to score in each split", minimum=1, common=("evaluate", "unlearn")
    )
    hmta_weights: list[float] = setting(
        [1.0, 1.0, 1.0, 1.0],
        "weights of levels 1 to 4 in HMTA. They are not the weights of the losses, which a method may change",
    )
    quick_items: int = setting(64, "number of items in each quick evaluation during unlearning", minimum=1)
    generate_items: int = setting(
        64, "number of forget items, and of retain items, that the model answers in its own words; 0: none", minimum=0
    )
    new_tokens: int = setting(24, "the longest answer in the model's own words, in tokens", minimum=1)
    report: bool = setting(True, "write report.html, report.md and figures", common=("unlearn", "evaluate"))
    lm_eval: str | None = setting(None, "result file (JSON) of lm-evaluation-harness to show in the report")


def _unnamed_target() -> ForgetTarget:
    """A target that the command line has to name."""
    return ForgetTarget(name=MISSING)


@dataclass
class RunConfig:
    """Everything that determines a run."""

    command: str = setting(MISSING, "the command that runs; each has a file of its name in conf/")
    name: str | None = setting(
        None, "a name of your own for the run, shown in lists and reports", common=("unlearn", "evaluate")
    )
    tags: list[str] = setting(
        [], "labels of the run, by which `duolearn runs` finds it", common=("unlearn", "evaluate")
    )
    track: list[str] = setting(
        [],
        f"experiment trackers that log the run into its folder, offline; any of: {', '.join(TRACKERS)}",
        common=TRACKED,
    )
    ablation: str | None = setting(
        None, "name of the ablation, the part of the method that is switched off; set by +ablation=", pattern=NAME
    )
    seed: int = setting(
        0, "seed of the unlearning run: data order, sampling, noise", minimum=0, maximum=MAX_SEED, common=("unlearn",)
    )
    model: ModelConfig = setting(ModelConfig)
    dataset: Any = setting(MISSING, "a data set component: _target_ and its settings")
    retain_from: Any = setting(
        None, "a second data set. Its items are kept, except those about the forget target: +retain_from=minimed"
    )
    forget: ForgetTarget = setting(_unnamed_target)
    hierarchy: Any = setting(MISSING, "a hierarchy component: _target_ and its settings")
    privacy: PrivacyConfig = setting(PrivacyConfig)
    audit: AuditsConfig = setting(AuditsConfig)
    bench: BenchConfig = setting(BenchConfig)
    benchmark: BenchmarkConfig = setting(BenchmarkConfig)
    inspect: InspectConfig = setting(InspectConfig)
    hierarchy_view: HierarchyViewConfig = setting(HierarchyViewConfig)
    record: RecordConfig = setting(RecordConfig)
    verify: VerifyConfig = setting(VerifyConfig)
    method: Any = setting(MISSING, "a method component: _target_ and its settings")
    measures: dict[str, Any] = setting(
        dict, "measures in addition to duolearn's own, by name: +measure=OPTION adds one"
    )
    prompt: PromptConfig = setting(PromptConfig)
    split: SplitConfig = setting(SplitConfig)
    imperfect: ImperfectConfig = setting(ImperfectConfig)
    labels: LabelsConfig = setting(LabelsConfig)
    learn: LearnConfig = setting(LearnConfig)
    unlearn: UnlearnConfig = setting(UnlearnConfig)
    evaluation: EvaluationConfig = setting(EvaluationConfig)
    report: ReportConfig = setting(ReportConfig)
    verdict: VerdictConfig = setting(VerdictConfig)
    runtime: RuntimeConfig = setting(RuntimeConfig)
    plugins: list[str] = setting(
        [], "your own Python modules that duolearn may load components from (_target_)", common=("unlearn",)
    )
    output_dir: str = setting(
        "outputs",
        "run folders go to OUTPUT_DIR/DATE/TIME-NAME",
        common=("unlearn", "learn", "retrain", "evaluate", "benchmark", "bench", "audit", "compare", "runs"),
    )
    run_dir: str | None = setting(
        None,
        "the run folder itself, new or empty, instead of a new folder in output_dir; hydra.run.dir= does the same",
        common=("compare",),
    )
    cache_dir: str | None = setting(
        None,
        "folder for target and gold models and downloaded weights; empty: your user's cache folder",
        common=("unlearn", "learn", "retrain", "fetch", "doctor", "cache"),
    )
    dry_run: bool = setting(False, "print the plan and stop")
    resume: str | None = setting(None, "a run folder to continue", common=("unlearn", "learn", "retrain", "benchmark"))
    run: str | None = setting(
        None,
        "a finished run folder. evaluate scores it again, audit robustness attacks it, export hands it on, purge "
        "deletes its traces, verify checks it, report writes its report again, and ask asks its models. withdraw: "
        "the last run of the chain",
        common=("evaluate", "audit", "export", "purge", "verify", "withdraw", "report", "ask"),
    )
    adapter: str | None = setting(
        None,
        "an adapter folder. evaluate scores it; unlearn and audit start from it",
        common=("unlearn", "evaluate", "audit"),
    )
    forgotten: list[str] | None = setting(
        None,
        "with adapter: what that model has forgotten already, as names of forget presets, concepts or data labels; "
        "[] for nothing. It is neither kept nor learned again",
        common=("unlearn",),
    )
    after: str | None = setting(
        None,
        "unlearn: an earlier run, its adapter or a merged model. The new request continues its chain, and what it "
        "forgot stays forgotten",
        common=("unlearn",),
    )
    requests: list[ForgetTarget] = setting([], "the earlier requests of the chain, as `after` reads them")
    request: str | None = setting(
        None, "withdraw: name or number of the request to take out of the chain", common=("withdraw",)
    )
    merged: bool = setting(False, "the base is a merged model that has forgotten earlier requests, set by after=")
    origin: list[ModelConfig] = setting([], "the base that such a chain began with, if it is on this machine")
    patient_key: str | None = setting(
        None, "file with your secret key. With it, requests.json stores keyed hashes of the patients of forget items"
    )
    export: ExportConfig = setting(ExportConfig)
    format: str = setting(
        "adapter",
        "export. adapter: the adapter alone, to load on its base model; merged: both as one model; record: the "
        "erasure record, one page to print and sign",
        choices=FORMATS,
        common=("export",),
    )
    export_path: str | None = setting(
        "items.jsonl",
        "data export and hierarchy import: the file to write. export: the folder to write; empty: a folder beside "
        "the run",
        common=("export", "data", "hierarchy"),
    )
    cache: CacheConfig = setting(CacheConfig)
    runs: RunsConfig = setting(RunsConfig)
    compare: CompareConfig = setting(CompareConfig)
    ask: AskConfig = setting(AskConfig)
    yes: bool = setting(
        False,
        "purge, cache prune: delete without asking; withdraw: run the commands",
        common=("purge", "cache", "withdraw"),
    )
