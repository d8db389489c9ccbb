"""Data with traps and a tokenizer: which items are left out, reported or refused before learning."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from duolearn_cli.__main__ import main
from duolearn_cli.config.compose import compose
from duolearn_cli.config.schema import PromptConfig
from duolearn_cli.errors import DataError
from duolearn_cli.files import ASSETS
from duolearn_cli.model.encoding import Encoder
from duolearn_cli.pipeline.keys import prompt_settings
from duolearn_cli.pipeline.planning.plan import rows
from duolearn_cli.pipeline.prepare import prepare
from tests.concepts.small_tokenizers import with_control_tokens

PLACES = ("appendix", "gallbladder", "thyroid", "colon", "spleen", "hernia", "breast", "stomach", "axon", "iris")


def own_data(folder: Path) -> list[str]:
    """A file of made-up questions, 12 of surgery and 24 of medicine, some with traps, and what reads it."""
    lines = []
    for number in range(36):
        place = f"{PLACES[number % 10]} {number}"
        lines.append(
            {"q": f"Which statement about the {place} is right?", "key": "ABC"[number % 3]}
            | {"a": f"a finding of the {place}", "b": f"another sign of the {place}", "c": f"a test of the {place}"}
            | {"field": "Surgery" if number < 12 else "Medicine"}
        )
    lines[0]["q"] += " <|end|> is no end"
    lines[13]["a"] = "<s>5 mg</s> of it"
    lines[14]["q"] = "Which of these words, " + "long and longer and " * 60 + "is the last one?"
    for line in (lines[3], lines[20]):
        line |= {"a": "\u03b1-blocker", "b": "\u03b2-blocker"}
    path = folder / "mine.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    fields = {"question": "q", "options": "[a,b,c]", "answer": "key", "answer_kind": "letter", "subject": "field"}
    return [
        "dataset=local",
        "prompt.form=cloze",
        f"dataset.path={path}",
        *(f"dataset.fields.{name}={column}" for name, column in fields.items()),
        *("+forget=surgery", "forget.subjects=[Surgery]", "split.near_duplicates=ignore", "labels.conflicts=ignore"),
    ]


@pytest.fixture(scope="module")
def traps(tmp_path_factory):
    return prepare(compose("unlearn", own_data(tmp_path_factory.mktemp("traps"))))


def changed(study, *overrides):
    return replace(study, config=OmegaConf.merge(study.config, OmegaConf.from_dotlist(list(overrides))))


def items_of(study):
    return [item for items in study.splits.by_name().values() for item in items]


def test_a_row_that_cannot_be_read_is_left_out_of_all_and_counted(traps):
    encoder = Encoder(with_control_tokens("unigram"), PromptConfig(max_cut=1.0))
    read = traps.readable(encoder, None)
    bad = {row.id for row in read.loaded.rejected}
    assert {row.row for row in read.loaded.rejected} == {4, 21}
    assert bad.isdisjoint(
        item.id for item in (*items_of(read), *read.items, *read.request.forget, *read.request.retain)
    )
    assert len(items_of(read)) == len(items_of(traps)) - 2
    summary = read.summary()
    assert summary["rejected"] == summary["texts"]["rejected"] == {"options_tokenise_alike": 2}
    assert summary["texts"]["special_tokens"] == 1 and summary["texts"]["cut"] == 1
    assert "texts" not in traps.summary()
    # Its row leaves the side that its label gave it: every row is counted once.
    assert read.tally.total == traps.tally.total and read.tally.sides["neither"]["rejected"] == 2
    assert not traps.tally.sides["neither"]
    with pytest.raises(DataError, match=r"mine.jsonl, row \d+ .*options_tokenise_alike\]. Fix the row, or set"):
        replace(traps, loaded=replace(traps.loaded, policy="error")).readable(encoder, None)


def test_a_side_of_which_nothing_is_left_is_an_error(traps):
    encoder = Encoder(with_control_tokens("gpt2"), PromptConfig(max_tokens=16, max_cut=1.0))
    with pytest.raises(DataError, match=r"forget_train: none of the \d+ items can be read; the first .*too_long"):
        traps.readable(encoder, None)


@pytest.mark.parametrize("template", ["{{ raise_exception('no') }}", "{{ messages[0]['content'] | upper }}"])
def test_a_template_that_takes_no_row_is_what_must_be_fixed(traps, template):
    encoder = Encoder(with_control_tokens("gpt2", template=template), PromptConfig(chat="auto"))
    for study in (traps, replace(traps, loaded=replace(traps.loaded, policy="error"))):
        with pytest.raises(
            DataError, match=r"\[template\].*Fix the tokenizer's chat template, or set prompt.chat=never\."
        ):
            study.readable(encoder, None)
    without_template = Encoder(encoder.tokenizer, PromptConfig(chat="never", max_cut=1.0))
    assert traps.readable(without_template, None).texts


def test_the_plan_estimates_how_many_questions_are_cut(study, traps):
    name = "longer than prompt.max_tokens"
    assert dict(rows(study))[name].startswith("none by the number of characters")
    said = dict(rows(changed(traps, "prompt.max_tokens=100")))[name]
    assert said.startswith(f"about 1 of {len(items_of(traps))} items lose words") and "refuses" not in said
    said = dict(rows(changed(traps, "prompt.max_tokens=16")))[name]
    assert "a run refuses more than prompt.max_cut=0.05 of them: raise prompt.max_tokens" in said


def test_a_limit_that_only_refuses_changes_no_models_name(study):
    assert set(prompt_settings(study.config.prompt)) == {"form", "chat", "max_tokens"}


def test_a_run_refuses_long_questions_and_the_fix_that_it_proposes_runs(tmp_path, cache, capsys, monkeypatch, tiny):
    monkeypatch.setenv("DUOLEARN_CACHE", str(cache))
    line = ["evaluate", *own_data(tmp_path), f"output_dir={tmp_path}/out", "evaluation.report=false"]
    line += ["evaluation.generate_items=2", "prompt.max_tokens=100"]
    assert main([*line, "prompt.max_cut=0"]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "are longer than prompt.max_tokens=100 and would lose part of their question; prompt.max_cut=0 is" in said
    assert not (tmp_path / "out").exists()
    longer, more = re.findall(r"prompt\.max_\w+=[\d.]*\d", said.partition("Fix: ")[2])
    assert main([*line, more]) == 0
    (folder,) = {path.parent for path in (tmp_path / "out").rglob("metrics.json")}
    texts = json.loads((folder / "metrics.json").read_text())["data"]["texts"]
    assert (texts["cut"], texts["special_tokens"], texts["rejected"]) == (1, 1, {}) and texts["longest"] <= 100
    log = (folder / "log.txt").read_text()
    assert "lose words in the middle of their question" in log
    assert "1 items spell control tokens of this tokenizer (<|end|>); they are read as plain text" in log
    size = int(longer.removeprefix("prompt.max_tokens="))
    read = prepare(compose("evaluate", [*line[1:], longer, "prompt.max_cut=0"])).readable(
        Encoder(tiny.tokenizer, PromptConfig(max_tokens=size, max_cut=0)), tiny.context
    )
    assert read.texts.longest == size


def test_an_end_of_text_without_an_embedding_is_refused(tmp_path, capsys, cache, monkeypatch):
    monkeypatch.setenv("DUOLEARN_CACHE", str(cache))
    folder = tmp_path / "model"
    folder.mkdir()
    for file in (ASSETS / "tiny").iterdir():
        text = file.read_bytes()
        if file.name == "tokenizer.json":
            data = json.loads(text)
            data["added_tokens"].append(data["added_tokens"][0] | {"id": 4096, "content": "<|mine|>"})
            text = json.dumps(data).encode()
        if file.name == "tokenizer_config.json":
            text = text.replace(b'"eos_token": "<|end|>"', b'"eos_token": "<|mine|>"')
        (folder / file.name).write_bytes(text)
    line = ["evaluate", *own_data(tmp_path), "model=local", f"model.path={folder}", f"output_dir={tmp_path}/out"]
    assert main(line) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "its tokenizer writes '<|mine|>' as id 4096, and the model has 4096 embeddings, for ids 0 to 4095" in said
