"""A user's own file as prepared data: sides, notes, items left out, and a second data set of retain items."""

import shlex

import pytest
from omegaconf import OmegaConf

from duolearn_cli.config.components import dataset_name
from duolearn_cli.config.compose import compose
from duolearn_cli.data.readers.minimed import Minimed
from duolearn_cli.data.shuffling import is_shuffled
from duolearn_cli.errors import DataError
from duolearn_cli.files import conf_dir, groups
from duolearn_cli.pipeline.planning.plan import rows
from duolearn_cli.pipeline.prepare import prepare

FIELDS = [
    "dataset.fields.question=q",
    "dataset.fields.options=[a,b,c,d]",
    "dataset.fields.answer=key",
    "dataset.fields.answer_kind=index",
    "dataset.fields.subject=field",
]
HIERARCHY = (
    "id\tlevel\tparents\tname\tsynonyms\tsubjects\nmedicine\t3\t\tmedicine\t\tMedicine\n"
    "surgery\t3\t\tsurgery\t\tSurgery\nappendicectomy\t4\tsurgery\tappendicectomy\thernia repair|suture\t\n"
)
SMALL = ["split.near_duplicates=ignore", "labels.conflicts=ignore"]


def made(tmp_path, subjects, last=None, first=1):
    """One made-up question a subject; the options of question n may end with ``last[n]``."""
    lines = ["q,a,b,c,d,key,field"]
    for n, subject in enumerate(subjects):
        lines.append(f"Sentence {n} of what?,a{n},b{n},c{n},{(last or {}).get(n, f'd{n}')},{first + n % 4},{subject}")
    path = tmp_path / "items.csv"
    path.write_text("\n".join(lines) + "\n")
    hierarchy = tmp_path / "small.tsv"  # the embedded one takes seconds
    hierarchy.write_text(HIERARCHY)
    chosen = ["+forget=surgery", f"hierarchy.path={hierarchy}"]
    return [*chosen, "dataset=local", f"dataset.path={path}", *FIELDS, *SMALL]


def test_labels_in_capitals_go_to_the_side_that_they_name(tmp_path):
    """Of twelve rows of the target six said SURGERY or surgery, and went to what is kept."""
    subjects = [*["Surgery"] * 6, *["SURGERY"] * 3, *["surgery"] * 3, *["Medicine"] * 12]
    study = prepare(compose("unlearn", made(tmp_path, subjects)))
    splits = study.splits
    assert len(splits.forget_train) + len(splits.forget_unseen) == 12
    assert {item.subject for item in (*splits.retain_train, *splits.retain_unseen)} == {"Medicine"}
    told = [text for name, text in rows(study) if name == "data note"]
    spelled = "'SURGERY' (3 items), 'surgery' (3 items) are read as the label 'Surgery': only case or marks differ."
    assert told == [spelled]
    assert study.summary()["notes"] == told


def test_near_labels_are_told_and_the_override_works(tmp_path):
    command = made(tmp_path, [*["Surgery"] * 6, "Surgry", *["General surgery"] * 2, *["Medicine"] * 12])
    study = prepare(compose("unlearn", command))
    (note,) = [text for name, text in rows(study) if name == "data note"]
    assert note.startswith("3 items to retain have a label similar to 'Surgery': 'General surgery' (2), 'Surgry' (1).")
    assert len(study.splits.forget_train) + len(study.splits.forget_unseen) == 6
    widened = prepare(compose("unlearn", [*command, *shlex.split(note.partition("To forget them too: ")[2])]))
    assert len(widened.splits.forget_train) + len(widened.splits.forget_unseen) == 9
    assert not widened.notes


def test_a_target_that_no_label_names_is_told_the_nearest(tmp_path):
    command = made(tmp_path, [*["Surgry"] * 6, *["Medicine"] * 6])
    with pytest.raises(DataError, match=r"no item is labelled Surgery; .* The nearest: '?forget\.subjects=") as caught:
        prepare(compose("unlearn", command))
    fix = shlex.split(str(caught.value).partition("The nearest: ")[2])[0].removesuffix(".")
    assert len(prepare(compose("unlearn", [*command, fix])).splits.forget_train) == 5


def test_own_data_is_asked_without_its_options_and_what_needs_them_is_left_out(tmp_path):
    last = {1: "Both A and B", 2: "None of the above", 9: "All of the above"}
    command = made(tmp_path, [*["Surgery"] * 6, *["Medicine"] * 12], last)
    study = prepare(compose("unlearn", command))
    assert study.config.prompt.form == "cloze"
    assert study.summary()["rejected"] == {"needs_other_options": 3} and len(study.items) == 15
    assert any("3 items are left out" in note and "prompt.form=letter" in note for note in study.notes)
    letter = prepare(compose("unlearn", [*command, "prompt.form=letter"]))
    assert letter.summary()["rejected"] == {} and letter.summary()["heldout"] == "orders"
    copies = [item.fact_id for item in letter.items if is_shuffled(item)]
    assert len(copies) == len(set(copies)) == 17
    assert "1 items have no copy with shuffled options" in " ".join(letter.notes)
    assert '2 items keep options such as "none of the above" at the end' in " ".join(letter.notes)


def test_a_file_of_such_options_alone_is_refused_with_the_way_out(tmp_path):
    command = made(tmp_path, ["Surgery", "Medicine"] * 6, dict.fromkeys(range(12), "None of the above"))
    with pytest.raises(DataError, match=r"all 12 items have options that refer to each other.*Set prompt\.form=letter"):
        prepare(compose("unlearn", command))
    assert prepare(compose("unlearn", [*command, "prompt.form=letter"])).splits.forget_train


def test_numbers_from_1_declared_index0_never_reach_a_model(tmp_path):
    command = made(tmp_path, [*["Surgery"] * 12, *["Medicine"] * 24])
    with pytest.raises(DataError, match=r"9 of 36 answers .* Set dataset\.fields\.answer_kind=index1") as caught:
        prepare(compose("unlearn", [*command, "dataset.fields.answer_kind=index0"]))
    fix = str(caught.value).partition("Set ")[2].partition(",")[0]
    found = prepare(compose("unlearn", [*command, fix]))
    assert [item.answer_text[0] for item in found.items[:4]] == list("abcd")


def test_what_is_kept_may_come_from_a_second_data_set(tmp_path):
    command = made(tmp_path, ["Surgery"] * 12)
    with pytest.raises(DataError, match=r"no retain items among 12 facts\. .*\+retain_from=minimed"):
        prepare(compose("unlearn", command))
    study = prepare(compose("unlearn", [*command, "+retain_from=minimed"]))
    splits = study.splits
    assert all(item.id.startswith("minimed:") for item in (*splits.retain_train, *splits.retain_heldout))
    assert not any(item.id.startswith("minimed:") for item in (*splits.forget_train, *splits.forget_unseen))
    kept = [item for item in study.items if item.id.startswith("minimed:")]
    assert not any(item.subject == "Surgery" or set(item.concepts) & study.target.forget for item in kept)
    assert len(kept) > 1000
    left = len(Minimed().load().items) - len(kept)
    assert any(f"{len(kept)} items are added" in n and f"{left} about surgery are left out" in n for n in study.notes)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["+retain_from=medmcqa"], r"retain_from: .*set retain_from\.path=FILE .*retain_from\.allow_download=true"),
        (
            ["+retain_from=local", "retain_from.path=docs/tutorials/questions.csv"],
            r"retain_from\.fields\.question is not set",
        ),
    ],
)
def test_a_second_data_set_names_its_own_settings(tmp_path, overrides, message):
    with pytest.raises(DataError, match=message):
        prepare(compose("unlearn", [*made(tmp_path, ["Surgery"] * 4), *overrides]))


@pytest.mark.parametrize("name", sorted(groups()["dataset"]))
def test_results_call_a_data_set_as_the_command_line_does(name):
    assert dataset_name(OmegaConf.load(conf_dir() / "dataset" / f"{name}.yaml").dataset) == name


def test_mhqa_comes_with_its_hierarchy_unless_another_is_asked_for():
    names = [
        compose("unlearn", ["+forget=anxiety", *more]).hierarchy.name
        for more in (["dataset=mhqa"], ["dataset=mhqa", "hierarchy=medical4"], ["hierarchy=medical4", "dataset=mhqa"])
    ]
    assert names == ["mental_health4", "medical4", "medical4"]
