"""The part of the schema that describes how items become text, which ones are trained on, and how labels are read."""

from __future__ import annotations

from dataclasses import dataclass

from duolearn_cli.config.settings import MAX_SEED, setting


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
        "the longest text in tokens. Longer ones lose words in the middle of their question, or at the beginning of a "
        "text that is continued",
        minimum=16,
    )
    overlap: int = setting(
        32, "tokens of a document that each window repeats from the one before it, as context", minimum=0
    )
    max_cut: float = setting(
        0.05,
        "largest share of items that may be cut to max_tokens. Above it, the run is refused",
        minimum=0,
        maximum=1,
    )


@dataclass
class SplitConfig:
    """Which items are trained on, asked in other words, or never seen."""

    seed: int = setting(0, "seed of the split", minimum=0, maximum=MAX_SEED, common=("unlearn", "learn", "retrain"))
    unseen_fraction: float = setting(0.25, "share of facts that no model trains on", minimum=0.05, maximum=0.9)
    max_forget: int | None = setting(
        None, "the largest number of forget facts to train on", minimum=2, common=("unlearn", "learn", "retrain")
    )
    max_retain: int | None = setting(
        None, "the largest number of retain facts to train on", minimum=2, common=("unlearn", "learn", "retrain")
    )
    shuffled_copies: bool = setting(
        True, "letter prompts: give items with a single phrasing a held-out copy with the options in another order"
    )
    near_duplicates: str = setting(
        "remove", "near duplicates across splits: remove, report or ignore", choices=["remove", "report", "ignore"]
    )
    validation_fraction: float = setting(
        0.25,
        "share of facts in each split that choices such as stopping use; see evaluation.part",
        minimum=0.05,
        maximum=0.9,
    )
    similarity: float = setting(
        0.8, "share of words that two items must have in common to count as near duplicates", minimum=0.3, maximum=1
    )


@dataclass
class ImperfectConfig:
    """Faults in the unlearning request, for experiments. Target, gold and every metric use the true items."""

    seed: int = setting(0, "seed of the faults", minimum=0, maximum=MAX_SEED)
    missing_subjects: float = setting(0.0, "share of facts that lose subject and topic", minimum=0, maximum=1)
    wrong_subjects: float = setting(0.0, "share of facts that get another subject of the data", minimum=0, maximum=1)
    wrong_answers: float = setting(0.0, "share of items with a wrong option marked as right", minimum=0, maximum=1)
    imbalance: float = setting(
        1.0, "the rarest subject keeps one in this many of its items; 1: all", minimum=1, maximum=1000
    )


@dataclass
class LabelsConfig:
    """How missing, doubtful and unevenly spread labels are treated."""

    fill: bool = setting(True, "give unlabelled items the subject that their concepts point to")
    threshold: float = setting(
        0.5,
        "least confidence to fill in a subject. Below it the item is left out, as is one that would be kept and "
        "mentions the target",
        minimum=0,
        maximum=1,
    )
    max_guessed: float = setting(
        0.5,
        "largest share of forget items whose label is a guess. Above it, the run is refused before a model is loaded",
        minimum=0,
        maximum=1,
    )
    conflicts: str = setting(
        "report",
        "what to do with items whose concepts contradict their subject: ignore (fastest on large data), report, or "
        "leave_out those that would change sides",
        choices=["ignore", "report", "leave_out"],
    )
    conflict_threshold: float = setting(0.8, "least confidence for a contradiction to count", minimum=0, maximum=1)
    answers: str = setting(
        "all",
        "items to unlearn with: all, or trusted: only those whose marked answer the target model gives too",
        choices=["all", "trusted"],
    )
    balance: float = setting(
        0.0,
        "how far to even out subjects of different size. 0: every item weighs the same; 1: every subject does "
        "(weight: size ** -balance)",
        minimum=0,
        maximum=1,
    )
