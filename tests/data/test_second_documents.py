"""Documents beside a second data set: each is asked for by itself, and their facts and ids stay apart."""

from __future__ import annotations

import json

from duolearn_cli.config.compose import compose
from duolearn_cli.pipeline.prepare import prepare

NOTE = (
    "The patient came to the clinic on foot this morning and was in good spirits. In the spring they underwent {} "
    "without any trouble. They have lived with {} for years."
)
VALUES = [
    ("appendicectomy", "asthma"),
    ("splenectomy", "gout"),
    ("nephrectomy", "psoriasis"),
    ("splenectomy", "epilepsy"),
]


def notes(path):
    rows = [{"text": NOTE.format(*pair), "patient": f"p{k}"} for k, pair in enumerate(VALUES)]
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return [f"dataset.path={path}", "dataset.fields.patient=patient"]


def test_notes_are_asked_for_beside_questions_that_are_kept(tmp_path):
    limits = ["split.max_forget=null", "split.max_retain=null"]
    given = ["+forget=surgery", "dataset=notes", *notes(tmp_path / "notes.jsonl"), "+retain_from=minimed", *limits]
    study = prepare(compose("unlearn", given))
    facts = {item.fact_id for item in study.splits.forget_train + study.splits.forget_unseen}
    assert facts == {f"p{k}:{operation}" for k, (operation, _) in enumerate(VALUES)}
    assert study.documents.counts()["forgotten_values"] == len(study.splits.forget_train)
    # Unseen facts are cut out, and nothing else is.
    unseen = {item.fact_id for item in study.splits.forget_unseen + study.splits.retain_unseen}
    assert study.documents.cut == len({fact for fact in unseen if fact.startswith("p")})


def test_notes_of_the_second_data_set_have_its_name(tmp_path):
    path = tmp_path / "notes.jsonl"
    _, patient = notes(path)
    given = ["+forget=anxiety", "+retain_from._target_=duolearn_cli.data.readers.notes.ClinicalNotes"]
    given += [f"+retain_from.path={path}", f"+retain_from.fields.{patient.removeprefix('dataset.fields.')}"]
    study = prepare(compose("unlearn", given))
    spans = {span.fact for one in study.documents.learned for span in one.document.spans}
    assert spans and all(fact.startswith("notes:") for fact in spans)
    known = {item.fact_id for item in study.loaded.items}
    assert spans <= known
