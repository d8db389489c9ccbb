"""``track=``: what trackers are given, what is refused before a run, and each real package's own file read back."""

from __future__ import annotations

import json
import math
import os
import struct
import subprocess
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import pytest
from accelerate.tracking import GeneralTracker

from duolearn_cli.config import tracking as setting
from duolearn_cli.config.compose import compose
from duolearn_cli.errors import ConfigError
from duolearn_cli.files import file_hash, write_json, write_jsonl
from duolearn_cli.pipeline import keys, record, tracked_values, tracker, tracking
from duolearn_cli.pipeline.run_folder import Run
from tests.cli.conftest import TINY

STEPS = [
    {"stage": "learn", "step": 1, "loss": 2.0},
    {"stage": "unlearn", "step": 1, "forget_loss": 8.5, "target": None, "removed_by_layer": [0.1, 0.2]},
    {"stage": "unlearn", "step": 1, "forget_accuracy": 0.25},
    {"stage": "unlearn", "step": 2, "forget_loss": 2.5, "target": 1.5, "removed_by_layer": [0.1, 0.2]},
]


@pytest.fixture(autouse=True)
def accelerate_state():
    """Accelerate's trackers ask its state which process they are in, as `tracker.main` sets it."""
    from accelerate import PartialState

    return PartialState(cpu=True)


class Recorder(GeneralTracker):
    """Keeps what it gets."""

    name = "recorder"
    requires_logging_directory = False

    def __init__(self) -> None:
        super().__init__()
        self.settings: dict[str, Any] = {}
        self.lines: list[tuple[int, dict[str, Any]]] = []
        self.is_finished = False

    @property
    def tracker(self):
        return self.lines

    def store_init_configuration(self, values):
        self.settings = values

    def log(self, values, step=None, **kwargs):
        self.lines.append((step, values))

    def finish(self):
        self.is_finished = True


@pytest.fixture
def config(tmp_path):
    words = ["+forget=surgery", "name='first try'", "tags=[a,b]", "track=[wandb]", f"run_dir={tmp_path / 'run'}"]
    made = compose("unlearn", [*words, "record.user=Dr Secret"])
    made.learn.gold = "/home/me/gold"  # set here: a folder that is missing would be refused
    return made


@pytest.fixture
def run(config, metrics_of_run):
    """A finished run."""
    made = Run.create(config, [])
    write_jsonl(made.folder / "history.jsonl", STEPS)
    write_json(made.folder / "metrics.json", metrics_of_run)
    return made


@pytest.fixture
def metrics_of_run():
    accuracy = {"value": 0.4, "low": 0.3, "high": None, "n": 9}
    lights = [{"key": "forgotten", "state": "green"}, {"key": "kept", "state": "amber"}]
    return {
        "models": {"unlearned": {"scores": {"forgetting_rate": accuracy}}},
        "cost": {"seconds": 7, "trainable_fraction": 0.5},
        "verdict": {"sentence": "Surgery is forgotten.", "lights": lights},
    }


def test_a_run_is_written_while_it_goes_on_and_each_line_once(run, config):
    recorder, lines = Recorder(), [json.dumps(line) for line in STEPS]
    history = run.folder / "history.jsonl"
    states = iter(["\n".join(lines[:2]) + "\n", "\n".join(lines[:3]) + "\n" + lines[3][:20], "\n".join(lines) + "\n"])

    def ended(seconds):
        text = next(states, None)
        history.write_text(text or history.read_text())
        return None if text else "finished"

    assert tracker.write(run, config, [recorder], ended) == "finished"
    steps, final, texts = recorder.lines[:-2], *recorder.lines[-2:]
    assert steps == [
        (1, {"unlearn/forget_loss": 8.5}),
        (1, {"unlearn/forget_accuracy": 0.25}),
        (2, {"unlearn/forget_loss": 2.5, "unlearn/target": 1.5}),
    ]
    rate = "final/unlearned/forgetting_rate"
    assert final == (2, {rate: 0.4, f"{rate}/low": 0.3, "cost/seconds": 7.0, "cost/trainable_fraction": 0.5})
    verdict = {"verdict": "Surgery is forgotten.", "verdict/forgotten": "green", "verdict/kept": "amber"}
    assert texts == (2, verdict) and recorder.is_finished
    assert recorder.settings["name"] == "first try" and recorder.settings["tags"] == "a, b"


def test_a_run_that_failed_has_no_measures(run, config):
    recorder = Recorder()
    assert tracker.write(run, config, [recorder], lambda seconds: "failed") == "failed"
    assert [step for step, _ in recorder.lines] == [1, 1, 2] and recorder.is_finished


def test_settings_name_no_user_no_key_and_no_folder(config):
    found = tracked_values.settings(config)
    assert found["unlearn.learning_rate"] == config.unlearn.learning_rate and found["forget"] == "surgery"
    assert found["method.sparsity.unit"] == config.method.sparsity.unit
    assert not [value for value in found.values() if "Secret" in str(value) or "/" in str(value)]
    assert not [key for key in found if key.startswith(("record", "patient_key", "dataset.", "output_dir"))]
    assert all(isinstance(value, (bool, int, float, str)) for value in found.values())


def test_tracking_is_no_part_of_a_runs_signature(study):
    from dataclasses import replace

    apart = replace(study, config=compose("unlearn", ["+forget=surgery", *_small(study), "track=[mlflow]"]))
    assert keys.signature(apart, "target") == keys.signature(study, "target")


def _small(study):
    return [
        f"split.max_forget={study.config.split.max_forget}",
        f"split.max_retain={study.config.split.max_retain}",
        f"learn.epochs={study.config.learn.epochs}",
        f"unlearn.epochs={study.config.unlearn.epochs}",
        f"unlearn.batch_size={study.config.unlearn.batch_size}",
    ]


@pytest.mark.parametrize(
    ("command", "words", "said"),
    [
        (
            "unlearn",
            "track=[mflow]",
            "track=mflow: allowed: tensorboard, mlflow, trackio, wandb (did you mean 'mlflow'",
        ),
        ("unlearn", "track=[wandb,wandb]", "track=[wandb,wandb]: a tracker is there twice"),
        ("benchmark", "track=[wandb]", "track: `duolearn benchmark` cannot be tracked, only unlearn, learn, retrain"),
    ],
)
def test_a_wrong_setting_is_refused(command, words, said):
    with pytest.raises(ConfigError) as error:
        compose(command, ["+forget=surgery", words])
    assert said in str(error.value)


def test_a_missing_package_is_named_before_anything_is_read(duolearn, monkeypatch, tmp_path):
    def missing(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(setting, "version", missing)
    (tmp_path / "mlflow").mkdir()  # a folder of this name is no package
    done = duolearn("unlearn", *TINY, "track=mlflow", "run_dir=run")
    assert done.returncode != 0 and not (tmp_path / "run").exists()
    assert "track=[mlflow]: not installed: mlflow. Fix: pip install 'duolearn[mlflow]'." in done.stdout + done.stderr


def test_variables_of_the_users_shell_lead_nowhere(monkeypatch, tmp_path):
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.setenv("WANDB_API_KEY", "secret")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://example.org")
    monkeypatch.setenv("TRACKIO_SPACE_ID", "me/space")
    found = tracking.environment(tmp_path)
    assert found["WANDB_MODE"] == "offline" and found["MLFLOW_TRACKING_URI"] == "sqlite:///mlflow.db"
    assert not {"WANDB_API_KEY", "TRACKIO_SPACE_ID"} & set(found)


@pytest.mark.parametrize("address", [("93.184.216.34", 443), ("tracker.example.org", 80)])
def test_connections_to_other_machines_are_refused(address):
    with pytest.raises(PermissionError, match="nothing of a run leaves this machine"):
        tracker.refuse_network("socket.connect", (None, address))
    with pytest.raises(PermissionError):
        tracker.refuse_network("socket.getaddrinfo", (address[0], 443, 0, 0, 0))
    tracker.refuse_network("socket.connect", (None, ("127.0.0.1", 5)))
    tracker.refuse_network("socket.connect", (None, "/tmp/socket"))


def test_the_record_leaves_the_stores_of_trackers_out(run):
    (run.folder / "trackers" / "wandb").mkdir(parents=True)
    (run.folder / "trackers" / "wandb" / "run.wandb").write_text("x")
    assert not [name for name in record.vouched(run.folder) if name.startswith("trackers")]


def test_a_tracker_that_fails_ends_no_run(run, config, monkeypatch):
    said = []
    monkeypatch.setitem(os.environ, "PYTHONPATH", "/nowhere")
    config.track = ["no_such_tracker"]

    class Notes:
        def note(self, text):
            said.append(text)

    with tracking.tracked(run, config, Notes()):  # type: ignore[arg-type]
        pass
    assert "a tracker failed; the run itself did not" in said[0]
    assert "no_such_tracker" in (run.folder / "trackers" / "log.txt").read_text()


# The real packages. Each test reads the file that the package wrote with the package's own reader.


def expected(folder: Path) -> tuple[dict[tuple[int, str], float], dict[str, float], dict[str, str]]:
    """Values of steps by step and name, final values, and texts of the verdict, from the files of a run."""
    history = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    lines = [line for line in history if line["stage"] == "unlearn"]
    steps = {
        (line["step"], f"unlearn/{name}"): value
        for line in lines
        for name, value in line.items()
        if name not in ("stage", "step") and isinstance(value, (int, float))
    }
    metrics = json.loads((folder / "metrics.json").read_text())
    final = {"cost/seconds": metrics["cost"]["seconds"]}
    for model, found in metrics["models"].items():
        score = found["scores"]["forget_accuracy"]
        final |= {f"final/{model}/forget_accuracy{end}": score[key] for key, end in (("value", ""), ("low", "/low"))}
    lights = {f"verdict/{light['key']}": light["state"] for light in metrics["verdict"]["lights"]}
    return steps, final, {"verdict": metrics["verdict"]["sentence"]} | lights


@pytest.fixture(scope="module")
def tracked_run(tmp_path_factory):
    """A run that every installed tracker has followed; the same run without any; and the names of the trackers."""
    names = [name for name in setting.TRACKERS if setting._is_installed(name)]
    if not names:
        pytest.skip("no tracker is installed: pip install 'duolearn[track]'")
    home = tmp_path_factory.mktemp("tracked")
    for run, track in (("plain", []), ("tracked", names)):
        call(home, "unlearn", *TINY, f"track=[{','.join(track)}]", f"run_dir={run}", "name='my run'", "tags=[a,b]")
    return home / "tracked", home / "plain", names


def call(home, *words):
    environment = os.environ | {"DUOLEARN_CACHE": str(home / "cache"), "WANDB_API_KEY": "x" * 40}
    command = [sys.executable, "-m", "duolearn_cli", *words]
    done = subprocess.run(command, cwd=home, env=environment, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0 and "tracker failed" not in done.stdout, done.stdout + done.stderr


def folder_of(tracked_run, name):
    if name not in tracked_run[2]:
        pytest.skip(f"{name} is not installed: pip install 'duolearn[{name}]'")
    return tracked_run[0] / "trackers"


@pytest.mark.slow
def test_a_tracked_run_has_the_numbers_of_one_that_is_not(tracked_run):
    run, plain, _ = tracked_run
    kept, other = (json.loads((folder / "metrics.json").read_text()) for folder in (run, plain))
    for metrics in (kept, other):
        del metrics["cost"], metrics["harness"]
    assert kept == other
    weights = "adapter/adapter_model.safetensors"
    assert file_hash(run / weights) == file_hash(plain / weights)
    infos = [json.loads((folder / "run.json").read_text()) for folder in (run, plain)]
    assert infos[0]["signature"] == infos[1]["signature"]
    assert {path.name for path in run.parent.iterdir()} == {"cache", "plain", "tracked"}
    assert not (plain / "trackers").exists()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_tensorboard(tracked_run):
    folder = folder_of(tracked_run, "tensorboard") / "tensorboard"
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    steps, final, texts = expected(tracked_run[0])
    found = {(one.step, tag): one.value for tag in events.Tags()["scalars"] for one in events.Scalars(tag)}
    last = max(step for step, _ in steps)
    for key, value in (steps | {(last, name): value for name, value in final.items()}).items():
        assert math.isclose(found[key], value, rel_tol=1e-6, abs_tol=1e-9), key  # event files hold 32 bits
    for name, text in texts.items():
        assert events.Tensors(f"{name}/text_summary")[0].tensor_proto.string_val[0].decode() == text


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_mlflow(tracked_run):
    folder = folder_of(tracked_run, "mlflow")
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    (found,) = client.search_runs([one.experiment_id for one in client.search_experiments()])
    steps, final, texts = expected(tracked_run[0])
    for name in {name for _, name in steps}:
        history = client.get_metric_history(found.info.run_id, name)
        assert {(one.step, name): one.value for one in history} == {k: v for k, v in steps.items() if k[1] == name}
    assert final.items() <= found.data.metrics.items() and texts.items() <= found.data.tags.items()
    assert found.info.run_name == "my run" and found.data.tags["tags"] == "a, b"
    assert found.info.status == "FINISHED" and found.data.params["unlearn.epochs"] == "1"
    assert found.info.artifact_uri.startswith((folder / "mlflow-artifacts").as_uri()) and not found.info.user_id


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_trackio(tracked_run):
    folder = folder_of(tracked_run, "trackio")
    # The package reads its folder from the environment when it is imported.
    read = (
        "import json; from trackio.sqlite_storage import SQLiteStorage as S; "
        "print(json.dumps([S.get_logs('duolearn', 'my run'), S.get_run_config('duolearn', 'my run')]))"
    )
    environment = os.environ | {"TRACKIO_DIR": str(folder / "trackio")}
    done = subprocess.run([sys.executable, "-c", read], env=environment, capture_output=True, text=True, check=True)
    logs, settings = json.loads(done.stdout.splitlines()[-1])
    steps, final, texts = expected(tracked_run[0])
    found = {(line["step"], name): value for line in logs for name, value in line.items()}
    last = max(step for step, _ in steps)
    assert (steps | {(last, name): value for name, value in (final | texts).items()}).items() <= found.items()
    assert settings["tags"] == "a, b" and settings["unlearn.epochs"] == 1


def records(data: bytes):
    """The records of a W&B file: after a header of 7 bytes LevelDB's log, blocks of 32 KiB with chunks in them."""
    place, whole = 7, b""
    while place + 7 <= len(data):
        if (left := 32768 - place % 32768) < 7:
            place += left
            continue
        length, kind = struct.unpack_from("<HB", data, place + 4)
        whole += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # a whole record, or the last chunk of one
            yield whole
            whole = b""


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_wandb(tracked_run):
    folder = folder_of(tracked_run, "wandb") / "wandb"
    from wandb.proto import wandb_internal_pb2

    (file,) = folder.glob("offline-run-*/*.wandb")
    found, heads = {}, []
    for data in records(file.read_bytes()):
        one = wandb_internal_pb2.Record()
        one.ParseFromString(data)
        if one.WhichOneof("record_type") == "history":
            values = {(i.nested_key or [i.key])[0]: json.loads(i.value_json) for i in one.history.item}
            found |= {(values["_step"], name): value for name, value in values.items()}
        elif one.WhichOneof("record_type") == "run":
            heads.append(one.run)
    steps, final, texts = expected(tracked_run[0])
    last = max(step for step, _ in steps)
    assert (steps | {(last, name): value for name, value in (final | texts).items()}).items() <= found.items()
    assert heads[0].display_name == "my run" and list(heads[0].tags) == ["a", "b"] and not heads[0].host


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_resumed_run_is_written_whole(tracked_run, tmp_path):
    """After a crash, steps that are taken again must not be there twice."""
    run, _, names = tracked_run
    if "mlflow" not in names:
        pytest.skip("mlflow is not installed: pip install 'duolearn[mlflow]'")
    home = run.parent
    history = run / "history.jsonl"
    before = [line for line in history.read_text().splitlines() if '"unlearn"' in line]
    with history.open("a") as file:  # a step that was begun after the last checkpoint
        file.write(json.dumps({"stage": "unlearn", "step": 99, "forget_loss": 1.0}) + "\n")
    call(home, "unlearn", f"resume={run}")
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{run / 'trackers' / 'mlflow.db'}")
    found = client.search_runs([one.experiment_id for one in client.search_experiments()])
    assert len(found) == 2 and len({one.info.run_id for one in found}) == 2
    steps = {json.loads(line)["step"] for line in before}
    for one in found:
        history_of = client.get_metric_history(one.info.run_id, "unlearn/forget_loss")
        assert [point.step for point in history_of] == sorted(steps)
