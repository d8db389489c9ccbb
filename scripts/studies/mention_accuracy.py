"""How often the vocabulary is right: python scripts/studies/mention_accuracy.py [--part dev|held-out|all] [--show].

The sentences of tests/concepts/mentions.txt mark spans, ``[PPV|positive_predictive_value]``, with the concept that they
name (an id of the embedded vocabulary) or with ``-`` where they name none; ``[SPAN|CONCEPT?]`` marks a mention that
stands there by the way, whose concept a reader judged right, and ``[SPAN|-?]`` one that was judged wrong. Recall: the
share of the marks with a concept, those by the way left out, that the matcher finds, exactly. Precision: the share of
the mentions found that have a mark with the same span and concept. Intervals are 95 %, by a bootstrap over sentences.
A third of the sentences, chosen by their hash, is held out: the vocabulary was not changed after a look at them.
"""

from __future__ import annotations

import argparse
import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from duolearn_cli.concepts.hierarchy import read_hierarchy
from duolearn_cli.concepts.matcher import Matcher, Mention
from duolearn_cli.concepts.sources.embedded import FOLDER
from duolearn_cli.evaluation.metrics.intervals import Estimate, proportion

SENTENCES = Path(__file__).parents[2] / "tests" / "concepts" / "mentions.txt"
_MARK = re.compile(r"\[(?P<span>[^]|]+)\|(?P<concept>[^]?]+)(?P<by_the_way>\??)\]")


@dataclass(frozen=True, slots=True)
class Mark:
    """``text[start:end]`` names `concept`, None: no concept; `wanted`: the matcher must find it."""

    start: int
    end: int
    concept: str | None
    wanted: bool


@dataclass(frozen=True, slots=True)
class Sentence:
    """A text without its marks, and these."""

    text: str
    marks: tuple[Mark, ...]

    @property
    def part(self) -> str:
        """Which part it belongs to, by the hash of its text: two thirds ``dev``, one third ``held-out``."""
        return "held-out" if hashlib.sha256(self.text.encode()).digest()[0] % 3 == 0 else "dev"


@dataclass(frozen=True, slots=True)
class Accuracy:
    """`faults` names each mention that is missed or wrong."""

    precision: Estimate
    recall: Estimate
    faults: tuple[str, ...]


def parse(line: str) -> Sentence:
    """Take the marks out of `line`."""
    text, end, marks = "", 0, list[Mark]()
    for match in _MARK.finditer(line):
        text += line[end : match.start()]
        concept = None if match["concept"] == "-" else match["concept"]
        start, text, end = len(text), text + match["span"], match.end()
        marks.append(Mark(start, len(text), concept, concept is not None and not match["by_the_way"]))
    return Sentence(text + line[end:], tuple(marks))


def read_sentences(path: Path, part: str = "all") -> list[Sentence]:
    """The sentences of `part`: ``dev``, ``held-out`` or ``all``."""
    lines = (line for line in path.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#"))
    return [sentence for sentence in map(parse, lines) if part in ("all", sentence.part)]


def accuracy(sentences: Iterable[Sentence], matcher: Matcher) -> Accuracy:
    """Compare what `matcher` finds with the marks."""
    right: list[tuple[str, float]] = []
    found: list[tuple[str, float]] = []
    faults: list[str] = []
    for sentence in sentences:
        mentions = set(matcher.find(sentence.text))
        wanted = {Mention(m.start, m.end, m.concept) for m in sentence.marks if m.concept and m.wanted}
        marked = {Mention(m.start, m.end, m.concept) for m in sentence.marks if m.concept}
        right += [(sentence.text, float(mention in marked)) for mention in mentions]
        found += [(sentence.text, float(mention in mentions)) for mention in wanted]
        faults += _faults(sentence.text, mentions - marked, wanted - mentions)
    return Accuracy(_share(right), _share(found), tuple(faults))


def _faults(text: str, wrong: set[Mention], missed: set[Mention]) -> Iterator[str]:
    for kind, mentions in (("wrong", wrong), ("missed", missed)):
        for mention in sorted(mentions, key=lambda m: m.start):
            yield f"{kind}\t{text[mention.start : mention.end]}\t{mention.concept}\t{text}"


def _share(hits: list[tuple[str, float]]) -> Estimate:
    return proportion([hit for _, hit in hits], [text for text, _ in hits], higher_is_better=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=["dev", "held-out", "all"], default="all", help="which sentences")
    parser.add_argument("--show", action="store_true", help="list what is missed or wrong")
    parser.add_argument("--vocabulary", type=Path, default=FOLDER / "medical4.tsv")
    arguments = parser.parse_args()
    sentences = read_sentences(SENTENCES, arguments.part)
    result = accuracy(sentences, Matcher(read_hierarchy(arguments.vocabulary)))
    if arguments.show:
        print("\n".join(result.faults))
    print(f"{len(sentences)} sentences, {sum(len(sentence.marks) for sentence in sentences)} marks")
    for name, value in (("precision", result.precision), ("recall", result.recall)):
        low, high = (float("nan") if bound is None else 100 * bound for bound in (value.low, value.high))
        print(f"{name} {100 * value.value:.1f} % [{low:.1f}, {high:.1f}], n = {value.n}")


if __name__ == "__main__":
    main()
