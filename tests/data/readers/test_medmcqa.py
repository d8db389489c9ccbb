"""The answer base is found and checked; the real half file is read as its README says."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest
from omegaconf import OmegaConf

from duolearn_cli.data.readers.medmcqa import MedMCQA
from duolearn_cli.errors import ConfigError, DataError

REAL = Path(__file__).resolve().parents[4] / "shared/data/medmcqa_dev_half.jsonl"


def record(number: int, cop: object) -> dict[str, object]:
    """Return a made-up row in the authors' format."""
    options = {column: f"{column} {number}" for column in ("opa", "opb", "opc", "opd")}
    names = {"subject_name": "Surgery", "topic_name": None, "exp": "because"}
    return {"id": f"q{number}", "question": f"Question {number}?", "cop": cop, **options, **names}


def source(folder: Path, cops: Sequence[object], **settings: str) -> MedMCQA:
    """Return a data set over a file with one row for each of `cops`."""
    file = folder / "t.jsonl"
    file.write_text("".join(json.dumps(record(number, cop)) + "\n" for number, cop in enumerate(cops, start=1)))
    return MedMCQA(path=str(file), **settings)


@pytest.mark.parametrize(
    ("cops", "base", "answers"),
    [
        ([0, 1, 3], "auto", [0, 1, 3]),
        ([1, 4], "auto", [0, 3]),
        (["1", "4.0"], "auto", [0, 3]),
        ([1, 2, 3], "0", [1, 2, 3]),
        ([1, 2, 3], "1", [0, 1, 2]),
        ([1, 4], "1", [0, 3]),
        ([1, 0, 4], "1", [0, 3]),
        ([1, 0], "1", [0]),
        ([4, 3], "0", [3]),
        ([1, 2, 3, 4] * 50 + [0], "auto", [0, 1, 2, 3] * 50),
        ([0, 1, 2, 3] * 50 + [4], "auto", [0, 1, 2, 3] * 50),
    ],
)
def test_answer_base(tmp_path: Path, cops: list[object], base: str, answers: list[int]) -> None:
    assert [item.answer for item in source(tmp_path, cops, answer_base=base).load().items] == answers


@pytest.mark.parametrize(
    ("cops", "base", "message"),
    [
        ([1, 0, 4], "auto", "row 2 has the answer 0 and row 3 the answer 4"),
        ([1, 2, 3, 4] * 5 + [0], "auto", r"row 21 .* row 4 .*\(1 and 5 of 21 rows\).*dataset.answer_base=1"),
        ([1, 0] * 10, "1", "row 2 has the answer 0. Set dataset.answer_base=0"),
        ([4] * 10, "0", "row 1 has the answer 4. Set dataset.answer_base=1"),
        ([1, 2, 3] * 50 + [0], "auto", "1 answer is 0 and none is 4"),
        ([[1], [2]], "auto", r"row 1 has \[1\]"),
        (["a", None], "auto", "row 1 has 'a'"),
        ([1, 2, 3], "auto", "Set dataset.answer_base=0"),
        ([-1, None], "auto", "labels of the test split are not public"),
    ],
)
def test_contradictions(tmp_path: Path, cops: list[object], base: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        source(tmp_path, cops, answer_base=base).load()


def test_unknown_base(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="allowed: auto, 0, 1"):
        source(tmp_path, [1], answer_base="2").load()


def test_the_configuration_may_name_the_base_as_a_number() -> None:
    config = OmegaConf.merge(OmegaConf.structured(MedMCQA), OmegaConf.from_dotlist(["answer_base=1"]))
    assert config.answer_base == "1"


def test_fields(tmp_path: Path) -> None:
    loaded = source(tmp_path, [4, 9, None, "x"]).load()
    (item,) = loaded.items
    assert (item.id, item.fact, item.subject, item.topic, item.explanation) == ("q1", "q1", "Surgery", None, "because")
    assert loaded.reasons() == {"answer_out_of_range": 1, "missing_answer": 1, "answer_not_a_number": 1}


@pytest.mark.parametrize("subject", [None, "", "Unknown", "unknown "])
def test_unknown_subject(tmp_path: Path, subject: str | None) -> None:
    file = tmp_path / "t.jsonl"
    file.write_text(json.dumps(record(1, 4) | {"subject_name": subject}))
    assert MedMCQA(path=str(file)).load().items[0].subject is None


def test_a_list_is_not_a_subject(tmp_path: Path) -> None:
    file = tmp_path / "t.jsonl"
    file.write_text("\n".join(json.dumps(record(n, 4) | {"subject_name": s}) for n, s in ((1, ["Surgery"]), (2, "x"))))
    (bad,) = MedMCQA(path=str(file)).load().rejected
    assert (bad.row, bad.detail) == (1, "subject is a list; text is needed")


def test_malformed_line_and_policy(tmp_path: Path) -> None:
    data = source(tmp_path, [4])
    with Path(str(data.path)).open("a") as file:
        file.write("{oops\n")
    assert data.load().reasons() == {"malformed_row": 1}
    data.on_bad_row = "error"
    with pytest.raises(DataError, match="row 2"):
        data.load()


def test_missing_column(tmp_path: Path) -> None:
    file = tmp_path / "t.jsonl"
    file.write_text(json.dumps({key: value for key, value in record(1, 4).items() if key != "cop"}))
    with pytest.raises(DataError, match="no column 'cop'"):
        MedMCQA(path=str(file)).load()


def test_without_a_source_the_message_says_how_to_set_one() -> None:
    with pytest.raises(DataError, match=r"dataset\.path=FILE.*allow_download=true"):
        MedMCQA().load()


def fake_hub(monkeypatch: pytest.MonkeyPatch, answer: object) -> None:
    """Replace the package `datasets` by one whose load_dataset returns or raises `answer`."""

    def load_dataset(hub_id: str, split: str) -> object:
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset))


def test_hub_is_numbered_from_0(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_hub(monkeypatch, [record(1, 1), record(2, 3)])
    assert [item.answer for item in MedMCQA(allow_download=True).load().items] == [1, 3]


def test_a_hub_copy_that_counts_from_1_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_hub(monkeypatch, [record(1, 4)])
    with pytest.raises(DataError, match="numbered from 0, but row 1 has the answer 4"):
        MedMCQA(allow_download=True).load()


def test_hub_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_hub(monkeypatch, ConnectionError("offline"))
    with pytest.raises(DataError, match=r"ConnectionError: offline.*dataset\.path"):
        MedMCQA(allow_download=True).load()


@pytest.mark.skipif(not REAL.exists(), reason=f"the MedMCQA half file is not at {REAL}")
def test_real_half_file() -> None:
    loaded = MedMCQA(path=str(REAL)).load()
    assert len(loaded.items) + len(loaded.rejected) == 2060
    assert set(loaded.reasons()) == {"duplicate_options"}
    assert len(loaded.rejected) < 20
    surgery = [item for item in loaded.items if item.subject == "Surgery"]
    assert 180 <= len(surgery) <= 188
    assert {item.answer for item in loaded.items} == {0, 1, 2, 3}
    assert all(item.subject != "Unknown" for item in loaded.items)
