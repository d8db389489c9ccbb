"""Whatever is changed in a finished run is found, and named."""

import shutil
from dataclasses import replace

import pytest

from duolearn_cli.config.verdict import VerdictConfig
from duolearn_cli.evaluation.verdict import verdict
from duolearn_cli.files import write_json
from duolearn_cli.pipeline import private_starts, record, signing
from duolearn_cli.pipeline.aggregates import aggregates
from duolearn_cli.pipeline.item_files import write_item_files
from duolearn_cli.pipeline.run_folder import Run
from duolearn_cli.pipeline.stored import read_rows, read_stored
from duolearn_cli.pipeline.verification.figures import stored_context, with_remarks
from duolearn_cli.pipeline.verification.integrity import needed
from duolearn_cli.privacy.account import Account
from tests.privacy.test_account import entry

ADAPTER = "adapter/adapter_model.safetensors"
VOUCHED = (
    *("config.yaml", "run.json", "metrics.json", "predictions.jsonl", "written.jsonl", "plain.jsonl"),
    "examples.jsonl",
    *(
        "history.jsonl",
        "target.json",
        "doubts.jsonl",
        ADAPTER,
        "adapter/adapter_config.json",
        "adapter/requests.json",
        "adapter/held.safetensors",
    ),
)


def flip(path):
    """Change one bit in the middle."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


def cut(path):
    path.write_bytes(path.read_bytes()[:-40])


def exchange(site, name):
    """Put the other run's file in the place of this one's."""
    shutil.copy(site.other / name, site.run / name)


def set_metric(site, *path, value):
    metrics = node = site.read("metrics.json")
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = value
    site.write("metrics.json", metrics)


def set_row(site, name, number, **values):
    rows = read_rows(site.run / name)
    rows[number] |= values
    (site.run / name).write_text("".join(f"{record.json.dumps(row, ensure_ascii=False)}\n" for row in rows))


def test_a_clean_run_verifies_on_another_path(site, capfd):
    assert site.verify(public_key=str(site.public)) == str(site.run)
    said = capfd.readouterr().out
    assert "verified" in said and "not checked" not in said


def test_the_tests_know_every_file_of_the_run(site):
    assert set(VOUCHED) == set(site.read(record.FILE)["files"])


@pytest.mark.parametrize("name", VOUCHED)
def test_a_bit_of_any_file(site, name):
    flip(site.run / name)
    assert f"{name}: it was changed" in site.said()


@pytest.mark.parametrize("name", VOUCHED)
def test_a_removed_file(site, name):
    (site.run / name).unlink()
    assert f"{name}: it is missing" in site.said()


@pytest.mark.parametrize("name", ["config.yaml", "metrics.json", "predictions.jsonl", ADAPTER])
def test_a_file_of_another_run(site, name):
    exchange(site, name)
    assert f"{name}: it was changed" in site.said()


def changed_field(site):
    site.write(record.FILE, site.read(record.FILE) | {"user": "somebody else"})


def truncated(site):
    cut(site.run / "predictions.jsonl")


def renamed(site):
    (site.run / "doubts.jsonl").rename(site.run / "doubt.jsonl")


def added(site):
    (site.run / "adapter" / "adapter_model.bin").write_bytes(b"pickle")


def record_removed(site):
    (site.run / record.FILE).unlink()


def record_truncated(site):
    cut(site.run / record.FILE)


def record_of_another_run(site):
    exchange(site, record.FILE)


def record_without_fields(site):
    site.write(record.FILE, {"schema": 1, "digest": "0", "files": {"config.yaml": None}})


def outside(site):
    own = site.read(record.FILE)["files"]
    found = site.read(record.FILE) | {"files": own | {"../owner.pem": {"bytes": 1, "sha256": "0"}}}
    site.write(record.FILE, found | {"digest": record.digest(found)})


def data_file(site):
    with (site.root / "vocabulary.tsv").open("a", encoding="utf-8") as file:
        file.write("# one more line\n")


def cached_target(site):
    flip(next((site.root / "cache" / "models").glob("target-*/adapter_model.safetensors")))


# Changes of a file alone: what is done, and what the message says.
SIMPLE = [
    (changed_field, "record.json: it was changed after it was written"),
    (truncated, "predictions.jsonl: it was changed: it has"),
    (renamed, "doubts.jsonl: it is missing"),
    (added, "adapter/adapter_model.bin: it is not in the record"),
    (record_removed, "record.json is missing"),
    (record_truncated, "record.json is damaged"),
    (record_of_another_run, "adapter/adapter_"),
    (record_without_fields, "record.json is damaged: `code`"),
    (outside, "it lists ../owner.pem, which is outside"),
    (data_file, "hierarchy.path (vocabulary.tsv): the data are not those"),
    (cached_target, "target model (target-"),
]


@pytest.mark.parametrize(("tamper", "said"), SIMPLE, ids=[tamper.__name__ for tamper, _ in SIMPLE])
def test_a_change(site, tamper, said):
    tamper(site)
    assert said in site.said()


def test_a_warning_can_only_be_one_about_the_data_or_follow_from_the_answers():
    assert with_remarks(["of the data", "a", "b"], ["a", "b"]) == ["of the data", "a", "b"]
    for told in (["of the data", "b"], ["a"], [], ["of the data", "a", "c"]):
        assert with_remarks(told, ["a", "b"]) != told


def metric(site):
    set_metric(site, "models", "unlearned", "scores", "forget_accuracy", "value", value=0.0)


def interval(site):
    set_metric(site, "models", "unlearned", "scores", "knowledge_preservation", "low", value=0.99)


def doubt(site):
    set_metric(site, "flagged", value=["mia_auc"])


def curve(site):
    set_metric(site, "roc", "unlearned", "loss", "tpr", 0, value=0.5)


def geometry(site):
    set_metric(site, "geometry", "cosine", value=0.5)


def no_metric(site):
    metrics = site.read("metrics.json")
    del metrics["models"]["unlearned"]["membership"]
    site.write("metrics.json", metrics)


def no_metrics(site):
    site.write("metrics.json", {})


def method(site):
    set_metric(site, "method", value="NPO")


def verdict_of_an_answer(site):
    set_row(site, "predictions.jsonl", 0, correct=1.0 - read_rows(site.run / "predictions.jsonl")[0]["correct"])


def loss_of_an_answer(site):
    set_row(site, "predictions.jsonl", 3, nll=0.5)


def answer_left_out(site):
    path = site.run / "predictions.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))


def scores_of_an_answer(site):
    rows = read_rows(site.run / "predictions.jsonl")
    place = next(i for i, row in enumerate(rows) if (row["model"], row["split"]) == ("unlearned", "forget_train"))
    row = rows[place]
    best = row["prediction"]
    worst = min(range(len(row["scores"])), key=row["scores"].__getitem__)
    scores = list(row["scores"])
    scores[best], scores[worst] = scores[worst], scores[best]
    right = row["answer"]
    values = {"scores": scores, "prediction": worst, "nll": -scores[right], "correct": float(worst == right)}
    set_row(site, "predictions.jsonl", place, **values)


def written_text(site):
    set_row(site, "written.jsonl", -1, text="I do not know.")


def plain_loss(site):
    set_row(site, "plain.jsonl", -1, nll=1.0)


def step(site):
    rows = read_rows(site.run / "history.jsonl")
    number = next(place for place, row in enumerate(rows) if row["stage"] == "unlearn" and "cosine" in row)
    set_row(site, "history.jsonl", number, cosine=1.0)


def no_row(site):
    (site.run / "predictions.jsonl").write_text("{}\n")


def dropped(site):
    (site.run / "written.jsonl").unlink()


# Changes after which the forger computes all hashes again.
FORGED = [
    (metric, "metrics.json: models.unlearned.scores.forget_accuracy.value is 0.0"),
    (interval, "metrics.json: models.unlearned.scores.knowledge_preservation.low is 0.99"),
    (doubt, "metrics.json: flagged is ['mia_auc']"),
    (curve, "metrics.json: roc.unlearned.loss.tpr[0] is 0.5"),
    (geometry, "metrics.json: geometry.cosine is 0.5"),
    (no_metric, "metrics.json: models.unlearned.membership is missing"),
    (no_metrics, "metrics.json: fields are missing"),
    (method, "metrics.json: method is 'NPO'"),
    (verdict_of_an_answer, "predictions.jsonl, line 1: correct is"),
    (loss_of_an_answer, "predictions.jsonl, line 4: nll is 0.5"),
    (answer_left_out, "metrics.json"),
    (scores_of_an_answer, "metrics.json: models."),
    (written_text, "written.jsonl, line"),
    (plain_loss, "metrics.json: models.unlearned.general"),
    (step, "metrics.json: geometry.cosine is"),
    (no_row, "predictions.jsonl, line 1: this is no row"),
    (dropped, "written.jsonl: the record does not list it"),
]


@pytest.mark.parametrize(("tamper", "said"), FORGED, ids=[tamper.__name__ for tamper, _ in FORGED])
def test_a_change_with_recomputed_hashes(site, tamper, said):
    tamper(site)
    site.rehash()
    assert said in site.said()


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"seeds": {"seed": 7, "learn": 0, "split": 0}}, "record.json: seeds.seed is 7"),
        ({"forget": "anxiety"}, "record.json: forget is 'anxiety'"),
        ({"times": {"created": None, "started": None, "ended": None}}, "record.json: times.created is None"),
        ({"status": "failed"}, "record.json: the run has not finished"),
        ({"exit_status": 1}, "record.json: the run has not finished"),
        ({"base_weights": "0" * 64}, "record.json: base_weights is"),
        ({"method": "NPO"}, "record.json: method is 'NPO'"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_field_of_the_record_with_a_recomputed_digest(site, fields, said):
    site.rehash(**fields)
    assert said in site.said()


def test_other_base_weights(site):
    weights = "0" * 64
    site.write("run.json", site.read("run.json") | {"weights_sha256": weights})
    site.rehash(base_weights=weights)
    assert "base weights (tiny): those at" in site.said()


def stale(site):
    metric(site)
    site.rehash()


def of_a_stranger(site):
    key = signing.private_key(site.root / "stranger.pem", "sign")
    signing.sign((site.run / record.FILE).read_bytes(), key, site.run / signing.FILE)


def of_another_record(site):
    exchange(site, signing.FILE)


def removed(site):
    (site.run / signing.FILE).unlink()


def damaged(site):
    site.write(signing.FILE, site.read(signing.FILE) | {"signature": "?"})


def relabelled(site):
    of_a_stranger(site)
    owner = signing.fingerprint(signing.public_key(site.public, "public_key"))
    site.write(signing.FILE, site.read(signing.FILE) | {"key": owner})


@pytest.mark.parametrize(
    ("tamper", "said"),
    [
        (stale, "signature.json: it does not belong to this record.json"),
        (of_a_stranger, "signature.json: it is of another key"),
        (of_another_record, "signature.json: it does not belong to this record.json"),
        (removed, "signature.json: it is missing"),
        (damaged, "signature.json: it is damaged"),
        (relabelled, "signature.json: it does not belong to this record.json"),
    ],
    ids=["stale", "of_a_stranger", "of_another_record", "removed", "damaged", "relabelled"],
)
def test_a_signature(site, tamper, said):
    tamper(site)
    assert said in site.said(public_key=str(site.public))


def forge_answers(site):
    """Let the unlearned model know nothing, and make every figure and hash agree with that."""
    stored, (_, config) = read_stored(site.run), Run.open(site.run)
    one = stored.assessed["unlearned"]
    answers = {
        split: [without_knowledge(row) if split.startswith("forget") else row for row in rows]
        for split, rows in one.answers.items()
    }
    assessed = {**stored.assessed, "unlearned": replace(one, answers=answers)}
    metrics = site.read("metrics.json")
    context = stored_context(stored, config, metrics)
    write_item_files(site.run, assessed, context.levels)
    remarks = metrics["flags"][: len(metrics["flags"]) - len(aggregates(stored.assessed, context)["flags"])]
    forged = metrics | aggregates(assessed, replace(context, remarks=remarks))
    forged["verdict"] = verdict(forged, VerdictConfig())
    write_json(site.run / "metrics.json", forged)


def without_knowledge(row):
    scores = tuple(-9.0 if place == row.answer else score for place, score in enumerate(row.scores))
    prediction = max(range(len(scores)), key=scores.__getitem__)
    return replace(row, scores=scores, prediction=prediction, nll=9.0)


def other_adapter(site):
    exchange(site, ADAPTER)


def items_alone(site):
    set_metric(site, "majority", "forget", "value", value=0.9)


def counts(site):
    set_metric(site, "data", "forget_train", value=800)


def change_of_weights(site):
    set_metric(site, "change", "norm", value=1.0)


@pytest.mark.parametrize(
    ("tamper", "said"),
    [
        (forge_answers, "predictions.jsonl (unlearned, forget_train)"),
        (other_adapter, "metrics.json: change."),
        pytest.param(items_alone, "metrics.json: majority.forget.value is 0.9", marks=pytest.mark.slow),
        pytest.param(counts, "metrics.json: data.forget_train is 800", marks=pytest.mark.slow),
        pytest.param(change_of_weights, "metrics.json: change.norm is 1.0", marks=pytest.mark.slow),
    ],
    ids=["answers", "adapter", "items_alone", "counts", "change"],
)
def test_what_only_the_models_and_the_data_tell(site, tamper, said):
    tamper(site)
    site.rehash()
    assert site.said() == ""
    assert said in site.said(deep=True)


@pytest.mark.slow
def test_an_adapter_of_another_run_is_found_by_its_answers_where_the_target_is_gone(site, capfd):
    other_adapter(site)
    site.rehash()
    shutil.rmtree(site.root / "cache")
    assert "predictions.jsonl (unlearned" in site.said(deep=True)
    assert "target model" in capfd.readouterr().out


@pytest.mark.slow
def test_a_clean_run_gives_its_answers_again(site, capfd):
    cached = sorted(path.name for path in (site.root / "cache" / "models").rglob("*"))
    files = record.manifest(site.run)
    site.verify(deep=True, public_key=str(site.public))
    said = capfd.readouterr().out
    assert "figures and models match" in said and "not checked" not in said
    assert sorted(path.name for path in (site.root / "cache" / "models").rglob("*")) == cached
    assert record.manifest(site.run) == files


def test_an_account_is_needed_of_a_private_run(site):
    _, config = Run.open(site.run)
    assert "adapter/privacy.json" not in needed(config)
    config.privacy.epsilon = 1.0
    assert "adapter/privacy.json" in needed(config)


def test_what_may_be_written_again_is_left_alone(site):
    (site.run / "log.txt").write_text("")
    (site.run / "report.html").write_text("")
    shutil.rmtree(site.run / "checkpoints")
    assert site.said(public_key=str(site.public)) == ""


def test_private_runs_that_began_with_the_run_later_are_left_alone(site):
    account = Account("example", 1e-5, 100.0, "pld", (entry(),))
    for name in ("second", "third"):  # as `private_starts.register` leaves them beside a private model
        own = private_starts._own(site.run / "adapter", site.root / name)
        own.mkdir(parents=True)
        account.planned().write(own)
    assert site.said(public_key=str(site.public)) == ""
    (site.run / "adapter" / private_starts.FOLDER / "adapter_model.bin").write_bytes(b"pickle")
    assert "adapter/private_runs/adapter_model.bin: it is not in the record" in site.said()
