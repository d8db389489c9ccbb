"""How fast questions are labelled: python scripts/studies/label_speed.py [MEDMCQA_FILE] [--items N].

Each question with its four options is tokenised, searched for concepts and its tokens are classed, as a run does it, in
one process. Without a file the questions are made from the embedded facts. No two questions are the same.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import count, cycle, islice

from transformers import AutoTokenizer

from duolearn_cli.concepts.hierarchy import ForgetTarget, Hierarchy, Target, read_hierarchy, resolve_target
from duolearn_cli.concepts.matcher import Matcher
from duolearn_cli.concepts.sources.embedded import FOLDER
from duolearn_cli.concepts.token_classes import classify, level_weights
from duolearn_cli.config.schema import PromptConfig
from duolearn_cli.data.items import Item
from duolearn_cli.data.readers.medmcqa import MedMCQA
from duolearn_cli.data.readers.minimed import Minimed
from duolearn_cli.files import ASSETS
from duolearn_cli.model.encoding import Encoder

ITEMS_AT_ONCE = 1_000  # items; a run of any size needs the memory of these alone


@dataclass
class Stopwatch:
    """Seconds by stage."""

    seconds: dict[str, float] = field(default_factory=dict)
    last: float = field(default_factory=time.perf_counter)

    def lap(self, stage: str) -> None:
        """Count the time since the last lap as `stage`'s."""
        now = time.perf_counter()
        self.seconds[stage] = self.seconds.get(stage, 0.0) + now - self.last
        self.last = now


def questions(path: str | None) -> Iterator[Item]:
    """An endless stream of items, each with a number of its own."""
    if path:
        items = MedMCQA(path=path).load().items
    else:
        # A fact's statement before the question makes it as long as a question of MedMCQA is on average.
        items = [replace(item, question=f"{item.explanation} {item.question}") for item in Minimed().load().items]
    return (replace(item, question=f"{item.question} ({number})") for number, item in zip(count(), cycle(items)))


def label(items: list[Item], encoder: Encoder, matcher: Matcher, hierarchy: Hierarchy, target: Target) -> Stopwatch:
    """Label `items`; return the time that each stage took."""
    watch = Stopwatch()
    texts = [encoder.encode(item) for item in items]
    watch.lap("tokenise")
    mentions = [matcher.find(text.text) for text in texts]
    watch.lap("find mentions")
    for text, found in zip(texts, mentions, strict=True):
        _, concepts = classify(text.text, text.offsets, text.is_answer, True, found, target)
        level_weights(concepts, hierarchy, [1.0] * 4)
    watch.lap("class tokens")
    return watch


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", nargs="?", help="MedMCQA in JSON lines; it is repeated with small changes")
    parser.add_argument("--items", type=int, default=100_000, help="questions to label (default 100,000)")
    arguments = parser.parse_args()
    watch = Stopwatch()
    hierarchy = read_hierarchy(FOLDER / "medical4.tsv")
    target = resolve_target(ForgetTarget("surgery", concepts=["surgery"]), hierarchy)
    watch.lap("read the hierarchy")
    matcher = Matcher(hierarchy)
    matcher.find("")  # it learns its terms at the first text
    watch.lap("build the matcher")
    encoder = Encoder(AutoTokenizer.from_pretrained(ASSETS / "tiny"), PromptConfig(form="letter"))
    stream = questions(arguments.path)
    for start in range(0, arguments.items, ITEMS_AT_ONCE):
        items = list(islice(stream, min(ITEMS_AT_ONCE, arguments.items - start)))
        for stage, seconds in label(items, encoder, matcher, hierarchy, target).seconds.items():
            watch.seconds[stage] = watch.seconds.get(stage, 0.0) + seconds
    total = sum(watch.seconds.values())
    for stage, seconds in watch.seconds.items():
        print(f"{stage:20} {seconds:8.2f} s")
    print(f"{'total':20} {total:8.2f} s\n{arguments.items / total:.0f} questions/s")


if __name__ == "__main__":
    main()
