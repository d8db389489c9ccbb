"""Synonyms that need a decision: python scripts/synonym_review.py [VOCABULARY] [--reviewed FILE].

A synonym needs one if it shares no word stem with its concept's name and is no initialism of it, or if both differ by
a number or by words that exclude each other ("HbA2" for "HbA", "false negative" for "false positive"). Either it is a
true synonym: then it stands, with its concept's id, in the reviewed file. Or it is not: then take it out of the
vocabulary, or make it a concept of its own with the right parents. The script lists the undecided ones and ends with
status 1 if there are any, or if the reviewed file holds a line that the vocabulary no longer does.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterable, Iterator
from itertools import product
from pathlib import Path

from duolearn_cli.concepts.concept import Concept
from duolearn_cli.concepts.folding import fold
from duolearn_cli.concepts.rows import read_concepts
from duolearn_cli.concepts.sources.embedded import FOLDER

REVIEWED = Path(__file__).with_name("reviewed_synonyms.tsv")

# Words that say nothing of what a term means: two diseases are not one for sharing "disease".
_EMPTY = {"of", "the", "and", "in", "a", "an", "to", "by", "with", "for", "on", "from", "at", "or", "as"}
_GENERIC = {"disease", "syndrome", "disorder", "test", "sign", "acute", "chronic", "acid", "type", "method"}
_GENERIC |= {"technique", "factor", "system", "theory", "law"}
_MIN_STEM = 4
# Two words share a stem if they begin alike for this share of the shorter one: "hyper-" alone is no stem.
_MIN_SHARE = 0.6
# Words of one group exclude each other: "grey ramus" is not "white ramus".
_GROUPS = """
true false | positive negative | upper lower middle | superior inferior | anterior posterior | medial lateral |
left right | acute chronic | internal external | inner outer | direct indirect | male female |
increased decreased | high low | open closed | superficial deep | maxillary mandibular | ascending descending |
live killed | active passive | major minor | oral parenteral | proximal distal | buccal lingual |
mesial distal | benign malignant | total partial | systolic diastolic | afferent efferent | dominant recessive |
greater lesser | short long | central peripheral | intrinsic extrinsic | prospective retrospective |
arterial venous | early late | slow fast | hard soft | thick thin | first second third fourth fifth sixth |
primary secondary tertiary | agonist antagonist | microcytic macrocytic | monosynaptic polysynaptic |
hyper hypo | grey gray white red | sympathetic parasympathetic | light dark | excitatory inhibitory |
isometric isotonic | conditioned unconditioned | extracellular intracellular | aerobic anaerobic |
southern northern western | absolute relative attributable | voltage ligand | squamous columnar cuboidal |
complete partial | fixed removable | fat water | extrafusal intrafusal | subarachnoid subdural epidural |
reabsorption secretion | cervical thoracic lumbar sacral | alpha beta gamma delta | parietal visceral |
motor sensory | oncotic hydrostatic | cranial caudal | maternal paternal fetal | cohort trial |
incidence prevalence | mean median mode | ordinal nominal | type1 type2 |
myeloid lymphoid lymphoblastic lymphocytic
"""
_EXCLUSIVE = [set(group.split()) for group in _GROUPS.split("|")]


def words(term: str) -> list[str]:
    """The words of `term`, folded, without those that mean nothing."""
    return [word for word in re.findall(r"[^\W_]+", fold(term)) if word not in _EMPTY]


def shares_stem(term: str, name: str) -> bool:
    """Tell whether a word of `term` begins as one of `name` does, or is the same."""
    ours, theirs = ([word for word in words(text) if word not in _GENERIC] or words(text) for text in (term, name))
    return any(_same_stem(*pair) for pair in product(ours, theirs))


def _same_stem(first: str, second: str) -> bool:
    shorter = min(len(first), len(second))
    common = next((k for k in range(shorter) if first[k] != second[k]), shorter)
    return first == second or (common >= _MIN_STEM and common >= _MIN_SHARE * shorter)


def is_initialism(term: str, name: str) -> bool:
    """Tell whether `term` is made of the first letters of the words of `name`, the empty words counted or not."""
    letters = "".join(re.findall(r"[^\W_]", fold(term)))
    every = re.findall(r"[^\W_]+", fold(name))
    initials = {"".join(word[0] for word in kept) for kept in (every, words(name))}
    return not initials.isdisjoint({letters, letters.removesuffix("s")})


def differs(term: str, name: str) -> bool:
    """Tell whether both hold numbers but none in common, or one holds a word that excludes a word of the other."""
    ours, theirs = (set(re.findall(r"[^\W\d_]+|\d+", fold(text))) for text in (term, name))
    numbers = [{word for word in side if word.isdigit()} for side in (ours, theirs)]
    if all(numbers) and numbers[0].isdisjoint(numbers[1]):
        return True
    return any(group & (ours - theirs) and group & (theirs - ours) for group in _EXCLUSIVE)


def needs_decision(term: str, name: str) -> bool:
    """Tell whether someone must say that `term` is a true synonym of `name`."""
    return differs(term, name) or not (shares_stem(term, name) or is_initialism(term, name))


def undecided(concepts: Iterable[Concept], reviewed: set[tuple[str, str]]) -> list[tuple[str, Concept]]:
    """The synonyms that need a decision and have none, with their concepts."""
    return [
        (term, concept)
        for concept in concepts
        for term in concept.synonyms
        if (term, concept.id) not in reviewed and needs_decision(term, concept.name)
    ]


def stale(concepts: Iterable[Concept], reviewed: set[tuple[str, str]]) -> list[tuple[str, str]]:
    """The decisions about synonyms that the vocabulary does not hold, or that need none."""
    needed = {(term, c.id) for c in concepts for term in c.synonyms if needs_decision(term, c.name)}
    return sorted(reviewed - needed)


def read_reviewed(path: Path) -> set[tuple[str, str]]:
    """The pairs of synonym and concept id that `path` declares true, one a line, with a tab between."""
    lines = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()[1:]]
    return {(term, concept) for term, concept in lines}


def _faults(concepts: list[Concept], reviewed: set[tuple[str, str]]) -> Iterator[str]:
    for term, concept in undecided(concepts, reviewed):
        yield f"undecided\t{term}\t{concept.id}\t{concept.name}"
    for term, concept_id in stale(concepts, reviewed):
        yield f"stale\t{term}\t{concept_id}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("vocabulary", nargs="?", type=Path, default=FOLDER / "medical4.tsv")
    parser.add_argument("--reviewed", type=Path, default=REVIEWED, help="true synonyms: SYNONYM <tab> CONCEPT a line")
    arguments = parser.parse_args()
    concepts = read_concepts(arguments.vocabulary)
    faults = list(_faults(concepts, read_reviewed(arguments.reviewed)))
    sys.stdout.writelines(f"{fault}\n" for fault in faults)
    print(f"{len(faults)} synonyms need a decision" if faults else "every synonym is decided", file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
