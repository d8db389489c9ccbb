"""The part of the schema that describes how items become text, which ones are trained on, and how labels are read."""

from __future__ import annotations

from dataclasses import dataclass

from duolearn_cli.config.settings import setting


@dataclass
class PromptConfig:
    """How an item becomes text."""

    # Letters as labels teach letters: with their options in another order, at most 2 % of the trained questions were
    # answered right, where chance is 25 % (docs/history/lab-notes.md, "Letters or answers").
    form: str = setting(
        "cloze",
        "cloze: the question alone, each option's text is scored; letter: options are listed, the letter is scored",
        choices=["cloze", "letter"],
    )
    chat: str = setting(
        "never", "use the tokenizer's chat template", choices=["never", "auto", "always"], common=("unlearn", "learn")
    )
    max_tokens: int = setting(
        512,
        "longer texts lose words in the middle of their question, or at the beginning of a text that is continued",
        minimum=16,
    )
    max_cut: float = setting(
        0.05,
        "largest share of the items that may be cut to max_tokens; beyond it, the run is refused",
        minimum=0,
        maximum=1,
    )


@dataclass
class SplitConfig:
    """Which items are trained on, asked in other words, or never seen."""

    seed: int = setting(0, "seed of the split", minimum=0, common=("unlearn", "learn", "retrain"))
    unseen_fraction: float = setting(0.25, "share of facts that no model trains on", minimum=0.05, maximum=0.9)
    max_forget: int | None = setting(
        None, "trained forget facts at most", minimum=2, common=("unlearn", "learn", "retrain")
    )
    max_retain: int | None = setting(
        None, "trained retain facts at most", minimum=2, common=("unlearn", "learn", "retrain")
    )
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
    """Faults in the unlearning request, for experiments. Target, gold and every metric use the true items."""

    seed: int = setting(0, "seed of the faults", minimum=0)
    missing_subjects: float = setting(0.0, "share of facts that lose subject and topic", minimum=0, maximum=1)
    wrong_subjects: float = setting(0.0, "share of facts that get another subject of the data", minimum=0, maximum=1)
    wrong_answers: float = setting(0.0, "share of items with a wrong option marked as right", minimum=0, maximum=1)
    imbalance: float = setting(1.0, "how many times fewer items the rarest subject keeps", minimum=1, maximum=1000)


@dataclass
class LabelsConfig:
    """How missing, doubtful and unevenly spread labels are treated."""

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
