"""The same small ontology in OBO, OWL and OBO graph JSON."""

import builtins
import gzip
import json

import pytest

from duolearn_cli.concepts.sources.obo import Obo
from duolearn_cli.errors import DataError

OBO = """format-version: 1.2
ontology: small

[Term]
id: X:1
name: disease

[Term]
id: X:2
name: mental disorder
synonym: "psychiatric disease" EXACT []
synonym: "disease" EXACT []
synonym: "madness" RELATED []
is_a: X:1

[Term]
id: X:3
name: phobia
is_a: X:2

[Term]
id: X:4
name: agoraphobia
is_a: X:3
is_a: X:1

[Term]
id: X:5
name: old term
is_obsolete: true

[Typedef]
id: part_of
name: part of
"""

OWL = """<?xml version="1.0"?>
<rdf:RDF xmlns="http://purl.obolibrary.org/obo/small.owl#" xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"
 xmlns:owl="http://www.w3.org/2002/07/owl#" xmlns:rdfs="http://www.w3.org/2000/01/rdf-schema#"
 xmlns:oboInOwl="http://www.geneontology.org/formats/oboInOwl#">
<owl:Ontology rdf:about="http://purl.obolibrary.org/obo/small.owl">
<owl:imports rdf:resource="http://localhost:9/nowhere.owl"/></owl:Ontology>
<owl:Class rdf:about="http://purl.obolibrary.org/obo/X_1"><rdfs:label>disease</rdfs:label></owl:Class>
<owl:Class rdf:about="http://purl.obolibrary.org/obo/X_2"><rdfs:label>mental disorder</rdfs:label>
<oboInOwl:hasExactSynonym>psychiatric disease</oboInOwl:hasExactSynonym>
<rdfs:subClassOf rdf:resource="http://purl.obolibrary.org/obo/X_1"/></owl:Class>
</rdf:RDF>
"""

GRAPH = json.dumps(
    {
        "graphs": [
            {
                "id": "http://purl.obolibrary.org/obo/small.owl",
                "nodes": [
                    {"id": "http://purl.obolibrary.org/obo/X_1", "type": "CLASS", "lbl": "disease"},
                    {
                        "id": "http://purl.obolibrary.org/obo/X_2",
                        "type": "CLASS",
                        "lbl": "mental disorder",
                        "meta": {"synonyms": [{"pred": "hasExactSynonym", "val": "psychiatric disease", "xrefs": []}]},
                    },
                ],
                "edges": [
                    {
                        "sub": "http://purl.obolibrary.org/obo/X_2",
                        "pred": "is_a",
                        "obj": "http://purl.obolibrary.org/obo/X_1",
                    }
                ],
            }
        ]
    }
)


@pytest.fixture
def obo(tmp_path):
    def make(text, name="small.obo", **settings):
        data = text if isinstance(text, bytes) else text.encode()
        (tmp_path / name).write_bytes(data)
        return Obo(path=str(tmp_path / name), **settings)

    return make


def test_terms_parents_synonyms_and_levels(obo):
    hierarchy = obo(OBO).load()
    rows = [(c.id, c.level, c.name, c.parents, c.synonyms) for c in hierarchy.concepts.values()]
    assert rows == [
        ("X:1", 1, "disease", (), ()),
        ("X:2", 2, "mental disorder", ("X:1",), ("psychiatric disease",)),
        ("X:3", 3, "phobia", ("X:2",), ()),
        ("X:4", 3, "agoraphobia", ("X:1", "X:3"), ()),  # two steps from the root, but below level 3
    ]
    assert "synonyms dropped" in hierarchy.notes[-1]
    assert hierarchy.notes[0].endswith("terms left out: obsolete, or named in another ontology")


def test_scopes_and_depths(obo):
    hierarchy = obo(OBO, scopes=["RELATED"], level_depths=[1, 1, 1, 2]).load()
    assert hierarchy["X:2"].synonyms == ("madness",) and hierarchy["X:2"].level == 4 and hierarchy["X:1"].level == 3


@pytest.mark.parametrize(
    ("text", "name"), [(OWL, "small.owl"), (GRAPH, "small.json"), (gzip.compress(OWL.encode()), "a.owl.gz")]
)
def test_other_formats(obo, text, name):
    hierarchy = obo(text, name).load()
    assert [(c.id, c.level, c.name, c.parents, c.synonyms) for c in hierarchy.concepts.values()] == [
        ("X:1", 1, "disease", (), ()),
        ("X:2", 2, "mental disorder", ("X:1",), ("psychiatric disease",)),
    ]


BOMB = OWL.replace("<rdf:RDF", '<!DOCTYPE rdf:RDF [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]>\n<rdf:RDF', 1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BOMB, "declares XML entities"),
        ("\ufeff \n" + BOMB.partition("\n")[2], "declares XML entities"),
        (gzip.compress(BOMB.encode()), "declares XML entities"),
        (OWL[:300], "not a complete OWL file|cannot be read"),
        (OWL[:-20], "cannot be read"),
        (OBO.replace("is_a: X:2", "is_a: Y:9"), "the term 'Y:9' but does not contain it"),
        ("nothing of the kind", "cannot be read as OBO"),
        ("", "cannot be read as OBO"),
        (OBO.replace("is_a: X:1", "is_a X:1"), "cannot be read as OBO"),
        ("{", "cannot be read as OBO"),
        (b"BZh91AY&SY" + bytes(40), "unpack it"),
        (OBO.partition("[Term]")[0], "no concept is left"),
    ],
)
def test_files_that_are_refused(obo, text, message):
    with pytest.raises(DataError, match=message):
        obo(text).load()


def test_a_missing_library_is_named_with_the_fix(obo, monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name == "pronto":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(DataError, match=r"pip install 'duolearn\[hierarchies\]'"):
        obo(OBO).load()
