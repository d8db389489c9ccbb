"""Embedded facts: tables in YAML that are filled into templates to make multiple-choice items."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from duolearn_cli.data.items import Item
from duolearn_cli.errors import DataError

NUM_OPTIONS = 4


@dataclass(frozen=True, slots=True)
class Fact:
    """One row of a table: `y` is the right answer for `x`, and `wrong` are answers of the same kind that are wrong.

    `train` and `heldout` are questions in different words; `statement` says the fact in one sentence.
    """

    id: str
    subject: str
    topic: str
    x: str
    y: str
    concept: str
    wrong: tuple[str, ...]
    train: tuple[str, ...]
    heldout: tuple[str, ...]
    statement: str


def read_tables(folder: Path) -> Iterator[Fact]:
    """Yield all facts of the tables in a folder, in file order. Raises DataError if a table is malformed."""
    for path in sorted(folder.glob("*.yaml")):
        yield from _read(path)


def _read(path: Path) -> Iterator[Fact]:
    import yaml

    document = yaml.load(path.read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    for table in document["tables"]:
        try:
            yield from _facts_of(table, document["subject"])
        except (KeyError, TypeError) as error:
            raise DataError(f"{path.name}, table {table.get('id')}: missing or malformed field {error}.") from error


def _facts_of(table: dict[str, Any], subject: str) -> Iterator[Fact]:
    # Wrong options are the answers of other rows, so that they are of the same kind; `also` lists further right answers
    # of a row, which must not be among them.
    answers = dict.fromkeys([row["y"] for row in table["rows"]] + list(table.get("distractors") or ()))
    for row in table["rows"]:
        right = {row["y"], *row.get("also", ())}
        yield Fact(
            id=f"{table['id']}/{re.sub(r'[^a-z0-9]+', '-', row['x'].lower()).strip('-')}",
            subject=subject,
            topic=row.get("topic", table["topic"]),
            x=row["x"],
            y=row["y"],
            concept=row["concept"] if "concept" in row else table["concept"],
            wrong=tuple(answer for answer in answers if answer not in right),
            train=tuple(_fill(template, row) for template in table["train"]),
            heldout=tuple(_fill(template, row) for template in table["heldout"]),
            statement=_fill(table["statement"], row),
        )


def _fill(template: str, row: dict[str, str]) -> str:
    text = template.replace("{x}", row["x"]).replace("{y}", row["y"])
    return text[0].upper() + text[1:]


def phrasings(fact: Fact, name: str) -> Iterator[Item]:
    """Yield one item for each phrasing. Over four phrasings the right answer has each letter once.

    `name` is that of the data set. It seeds the choice of options, which is the same in every run.
    """
    generator = random.Random(f"{name}:{fact.id}")
    places = generator.sample(range(NUM_OPTIONS), NUM_OPTIONS)
    for number, question in enumerate((*fact.train, *fact.heldout)):
        options = generator.sample(fact.wrong, NUM_OPTIONS - 1)
        place = places[number % NUM_OPTIONS]
        options.insert(place, fact.y)
        yield Item(
            id=f"{fact.id}#{number}",
            question=question,
            options=tuple(options),
            answer=place,
            subject=fact.subject,
            topic=fact.topic,
            explanation=fact.statement,
            concepts=(fact.concept,),
            fact=fact.id,
            heldout=number >= len(fact.train),
        )
