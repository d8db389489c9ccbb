import json
import math
from html.parser import HTMLParser

import pytest

from duolearn_cli.errors import RunError
from duolearn_cli.report.page import write_report

VOID = {"meta", "br", "img", "link", "hr", "input"}


class Page(HTMLParser):
    """Checks that tags nest, and gathers texts, tags and ids."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.ids, self.texts, self.links = [], set(), [], [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.add(tag)
        self.ids += [value for name, value in attrs if name == "id"]
        self.links += [value for name, value in attrs if name in ("src", "href", "xlink:href")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.texts).split())


def report(folder):
    write_report(folder)
    return (folder / "report.md").read_text(), (folder / "report.html").read_text()


def test_both_reports_hold_the_numbers(tmp_path, write_run):
    markdown, html = report(write_run(tmp_path))
    for text in (markdown.replace("\\", ""), Page(html).text):
        for expected in (
            "went from 93.0 % to 27.0 % (FR 73.1 [68.1, 78.1] %)",
            "is 96.8 [94.8, 98.8] %; a model that never learned them scores 29.0 %.",
            "AUC is below 0.5 for gold.",
            "0.890 [0.840, 0.940]",
            "too few for a claim",
            "3 no right answer",
            "No privacy guarantee is made",
            "arXiv 2511.19498",
            "3.1 % of the model",
            "1,031 (0.781 % of the model)",
            "share of the update's norm that the constraint removed",
            "c0ffee",
            "duolearn unlearn +forget=surgery seed=0",
        ):
            assert expected in text, expected


def test_the_page_is_whole_and_needs_nothing_else(tmp_path, write_run):
    html = report(write_run(tmp_path))[1]
    page = Page(html)
    assert html.startswith("<!DOCTYPE html>")
    assert "script" not in page.tags and "link" not in page.tags and "img" not in page.tags
    assert all(link.startswith("#") and link[1:] in page.ids for link in page.links)
    assert {"svg", "table", "figcaption"} <= page.tags


def test_files_are_listed_and_figures_stand_alone(tmp_path, write_run):
    written = write_report(write_run(tmp_path))
    names = [str(path.relative_to(tmp_path)) for path in written]
    drawn = ("subjects", "levels", "token_losses", "quick_accuracy", "training_losses")
    drawn += ("gradients", "gradients_by_layer", "change")
    assert names == ["report.md", "report.html", *(f"figures/{name}.svg" for name in drawn)]
    assert all(path.is_file() for path in written)


def test_writing_again_changes_nothing(tmp_path, write_run):
    first = [path.read_bytes() for path in write_report(write_run(tmp_path))]
    assert [path.read_bytes() for path in write_report(tmp_path)] == first


def test_names_are_escaped(tmp_path, write_run, metrics):
    metrics["forget"] = "<script>alert(1)</script>|x"
    metrics["flags"] = ["<img src=http://x>"]
    markdown, html = report(write_run(tmp_path, metrics))
    assert "<script" not in html and "<img" not in html and "&lt;script&gt;" in html
    assert "<script" not in markdown and "<img" not in markdown


def test_not_a_number_and_missing_parts_are_dashes(tmp_path, write_run, metrics):
    for model in metrics["models"].values():
        model["scores"]["mia_auc"]["value"] = math.nan
    del metrics["cost"], metrics["data"], metrics["models"]["unlearned"]["scores"]["knowledge_preservation"]
    _, html = report(write_run(tmp_path, metrics))
    assert "that was kept, has no value" in Page(html).text and ">nan<" not in html.lower()


@pytest.mark.parametrize("kept", [("base", "target"), ("gold",), ()])
def test_a_run_without_unlearned_still_has_a_report(tmp_path, write_run, metrics, history, kept):
    metrics["models"] = {name: metrics["models"][name] for name in kept}
    markdown, html = report(write_run(tmp_path, metrics, [h for h in history if h["stage"] == "learn"]))
    assert "Nothing was unlearned in this run" in markdown and "Nothing was unlearned in this run" in html
    assert ("No model was scored" in html) == (not kept)
    assert (tmp_path / "figures" / "training_losses.svg").is_file()
    assert not (tmp_path / "figures" / "token_losses.svg").exists()


def test_a_run_that_measured_no_change_still_has_a_report(tmp_path, write_run, metrics, history):
    del metrics["change"], metrics["geometry"]
    keys = ("stage", "step", "loss", "target", "cosine", "removed")
    older = [{key: line[key] for key in keys if key in line} for line in history]
    markdown, html = report(write_run(tmp_path, metrics, older))
    assert "What was changed" not in markdown and "What was changed" not in html
    assert {path.stem for path in (tmp_path / "figures").iterdir()} >= {"gradients", "token_losses"}
    assert not any((tmp_path / "figures" / f"{name}.svg").exists() for name in ("gradients_by_layer", "change"))


def test_without_history_and_overrides(tmp_path, write_run):
    folder = write_run(tmp_path)
    (folder / "history.jsonl").unlink()
    run = json.loads((folder / "run.json").read_text())
    del run["overrides"]
    (folder / "run.json").write_text(json.dumps(run))
    markdown, _ = report(folder)
    assert "duolearn unlearn " not in markdown and "config.yaml" in markdown


def test_the_forgotten_subjects_stand_first(tmp_path, write_run, metrics):
    markdown, _ = report(write_run(tmp_path, metrics))
    assert markdown.index("Surgery (forget)") < markdown.index("| Anatomy")
    markdown, _ = report(write_run(tmp_path, metrics | {"forget_subjects": ["Anatomy"]}))
    assert "Anatomy (forget)" in markdown and "Surgery (forget)" not in markdown


def test_ratios_above_100_per_cent_are_explained_and_not_cut(tmp_path, write_run, metrics):
    scores = metrics["models"]["unlearned"]["scores"]
    scores["knowledge_preservation"] |= {"value": 0.98, "low": 0.9, "high": 1.04}
    folder = write_run(tmp_path / "run", metrics)
    write_report(folder)
    for name in ("report.html", "report.md"):
        text = (folder / name).read_text()
        assert "[90.0, 104.0]" in text and "Above 100 %: KPR. That is no error" in text
    scores["knowledge_preservation"] |= {"high": 1.0}
    write_report(write_run(tmp_path / "run", metrics))
    assert "Above 100 %" not in (folder / "report.html").read_text() + (folder / "report.md").read_text()


def test_an_interrupted_run_is_flagged(tmp_path, write_run):
    assert "numbers may be incomplete" in report(write_run(tmp_path, status="interrupted"))[0]


@pytest.mark.parametrize("name", ["metrics.json", "run.json", "config.yaml"])
def test_a_missing_file_is_named(tmp_path, write_run, name):
    (write_run(tmp_path) / name).unlink()
    with pytest.raises(RunError, match=name):
        write_report(tmp_path)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("metrics.json", "{"),
        ("metrics.json", "[]"),
        ("metrics.json", '{"schema": 2, "models": {}}'),
        ("run.json", "\udc80"),
        ("history.jsonl", '{"stage": "learn", "st\n'),
        ("config.yaml", "a: [1"),
    ],
)
def test_a_broken_file_is_named(tmp_path, write_run, name, text):
    (write_run(tmp_path) / name).write_text(text, errors="surrogateescape")
    with pytest.raises(RunError, match=name):
        write_report(tmp_path)


EXAMPLE = {
    "kind": "forgotten",
    "count": 12,
    "of": 40,
    "id": "x#1",
    "fact": "x",
    "split": "forget_train",
    "subject": "Surgery",
    "answer": 1,
    "chosen": {"target": 1, "unlearned": 0, "gold": 2},
    "question": "Which sign <b>?",
    "options": ["McBurney's", "Murphy's", "Rovsing's"],
}


def with_examples(folder, *rows):
    (folder / "examples.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def test_questions_show_what_each_model_answered(tmp_path, write_run):
    markdown, html = report(with_examples(write_run(tmp_path), EXAMPLE))
    text = Page(html).text
    assert "Forgotten: 12 of 40" in text and "Which sign <b>?" in text and "Which sign &lt;b&gt;?" in html
    assert "before (target): B. Murphy's" in text and "gold: C. Rovsing's" in text
    assert "before (target): B. Murphy's (right)" in markdown and "now (unlearned): A. McBurney's (wrong)" in markdown
    assert "text hidden" not in text and "texts are hidden" not in text


def test_hidden_questions_show_letters_and_subjects_only(tmp_path, write_run):
    hidden = EXAMPLE | dict.fromkeys(("id", "fact", "question", "options"))
    markdown, html = report(with_examples(write_run(tmp_path), hidden))
    for text in (markdown, Page(html).text):
        assert "report.show_items=true shows them" in text.replace("\\", "")
        assert "A question about Surgery (text hidden)" in text
        assert "Murphy" not in text and "x#1" not in text
    assert "now (unlearned): A" in Page(html).text


def test_the_verdict_comes_first_with_four_lights_in_words(tmp_path, write_run, metrics):
    metrics["models"]["unlearned"]["scores"]["forgetting_against_gold"] = {
        **metrics["models"]["unlearned"]["scores"]["knowledge_preservation"],
        "facts": 60,
    }
    markdown, html = report(write_run(tmp_path, metrics))
    page = Page(html)
    assert page.text.index("Surgery is forgotten; other knowledge is kept") < page.text.index("What was asked")
    for name in ("Forgotten", "Kept", "Not found by attacks", "Privacy guarantee"):
        assert name in page.text and f"| {name} |" in markdown
    assert "needed: at least 90 %." in page.text and "not asked for" in page.text


def test_warnings_say_what_to_do_and_marks_are_explained(tmp_path, write_run, metrics):
    metrics["advice"] = {metrics["flags"][0]: "Unlearn less."}
    metrics["flagged"] = ["forgetting_rate"]
    for text in report(write_run(tmp_path, metrics)):
        assert "Unlearn less." in text and "What to do:" in text and "(!) stands beside" in text


def test_every_section_is_in_the_contents_and_every_table_can_be_folded(tmp_path, write_run):
    html = report(write_run(tmp_path))[1]
    page = Page(html)
    assert len(page.ids) == len(set(page.ids))
    headings = {name for name in page.ids if f'<h2 id="{name}"' in html}
    assert len(headings) >= 8 and {f"#{name}" for name in headings} <= set(page.links)
    assert html.count("<table") == html.count("<details id=") - html.count('<details id="more-figures"')


def test_unlearned_stands_in_the_first_column_with_its_interval_below(tmp_path, write_run):
    html = report(write_run(tmp_path))[1]
    assert html.index(">unlearned</th>") < html.index(">target</th>")
    assert '<span class="value">96.8</span> <span class="interval">[94.8, 98.8]</span>' in html
