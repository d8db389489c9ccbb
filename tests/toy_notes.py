"""A small data set of notes about made-up patients, whose every fact stands in one note and in two questions."""

from __future__ import annotations

from dataclasses import dataclass

from duolearn_cli.data.documents import Document, Span
from duolearn_cli.data.items import Item, Loaded

# By attribute: subject, concept of the hierarchy for each value, how the note says it.
ATTRIBUTES = {
    "operation": ("Surgery", ["appendicectomy", "cholecystectomy", "splenectomy", "nephrectomy"], "had {}"),
    "illness": ("Medicine", ["asthma", "gout", "epilepsy", "psoriasis"], "lives with {}"),
    "medicine": ("Pharmacology", ["warfarin", "metformin", "digoxin", "lithium"], "takes {}"),
    "allergy": ("Medicine", ["latex", "peanut", "nickel", "pollen"], "reacts to {}"),
}
NAMES = ["Aldo Brix", "Bera Cole", "Cleo Dorn", "Dag Ells", "Ewa Fink", "Finn Grau", "Gwen Holt", "Hugo Ibsen"]


@dataclass
class ToyNotes:
    """Four facts of each of eight patients."""

    def load(self) -> Loaded:
        items, documents = list[Item](), list[Document]()
        for number, name in enumerate(NAMES):
            own = {
                key: values[(number * (3 if key == "illness" else 1) + number // 4) % 4]
                for key, (_, values, _) in ATTRIBUTES.items()
            }
            documents.append(note(f"p{number}", name, own))
            for key, value in own.items():
                items += asked(f"p{number}", name, key, value)
        return Loaded(tuple(items), documents=tuple(documents))


def note(patient: str, name: str, values: dict[str, str]) -> Document:
    text, spans = "", list[Span]()
    for k, (key, value) in enumerate(values.items()):
        lead = f"{name} " if k % 2 == 0 else ", "
        before, _, after = ATTRIBUTES[key][2].partition("{}")
        start = len(text) + len(lead) + len(before)
        clause = (len(text), start + len(value)) if k % 2 else None
        spans.append(Span(start, start + len(value), f"{patient}:{key}", (value,), clause))
        text += f"{lead}{before}{value}{after}" + (". " if k % 2 else "")
    return Document(f"note-{patient}", text.strip(), patient, day(patient), spans=tuple(spans))


def day(patient: str) -> str:
    """One day for each patient, in March 2024."""
    return f"2024-03-0{1 + int(patient[1:])}"


def asked(patient: str, name: str, key: str, value: str) -> list[Item]:
    subject, values, _ = ATTRIBUTES[key]
    common = {
        "options": tuple(values),
        "answer": values.index(value),
        "subject": subject,
        "topic": key,
        "fact": f"{patient}:{key}",
        "patient": patient,
        "concepts": (value,),
        "date": day(patient),
    }
    verb = ATTRIBUTES[key][2].removesuffix(" {}")
    return [
        Item(f"{patient}-{key}-1", f"What {key} does {name} have?", **common),
        Item(f"{patient}-{key}-2", f"Which {key} is noted for {name}?", heldout=True, **common),
        Item(f"{patient}-{key}-3", f"{name} {verb}", heldout=True, continues=True, **common),
    ]
