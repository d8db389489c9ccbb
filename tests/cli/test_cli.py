"""The console command, as a user calls it."""

import json
import os
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

from duolearn_cli.__main__ import COMMANDS
from tests.conftest import SMALL, last, own_method

CUT = ["runtime.num_processes=2", "runtime.sharding=fsdp2", "unlearn.checkpoint_every=2"]


def only_run(folder):
    (run,) = (folder / "outputs").glob("*/*")
    return run


def test_overview_needs_no_hydra_and_help_no_torch():
    code = (
        "import sys; from duolearn_cli.__main__ import main; main(['--help']);"
        "assert not {'hydra', 'torch', 'yaml', 'rich'} & sys.modules.keys(); main(['unlearn', '--help']);"
        "assert not {'torch', 'rich'} & sys.modules.keys()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    for word in ("surgery", "smollm2_135m", "npo", "--dry-run", "duolearn unlearn +forget=surgery"):
        assert word in done.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_three_examples(duolearn, command):
    done = duolearn(command, "--help")
    assert done.returncode == 0
    assert done.stdout.partition("examples\n")[2].count(f"duolearn {command}") >= 3


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["unlern"], "did you mean 'unlearn'"),
        (["unlearn"], "+forget=surgery"),
        (["unlearn", "forget=surgry"], "did you mean 'surgery'"),
        (["unlearn", "+forget=surgery", "sed=1"], "did you mean 'seed'"),
        (["unlearn", "-m", "+forget=surgery", "method=npo,nop"], "method=nop"),
        (["unlearn", "+forget=surgery", "dataset=medmcqa"], "dataset.path"),
        (["unlearn", "+forget=surgery", "dataset=medmcqa", "dataset.path=nowhere.jsonl"], "nowhere.jsonl"),
        (["unlearn", "+forget=surgery", "model=local", "model.path=nowhere"], "nowhere"),
        (["unlearn", "+forget=surgery", "hierarchy.path=nowhere.tsv"], "nowhere.tsv"),
        (["unlearn", "+forget=custom", "forget.concepts=[surgry]"], "did you mean 'surgery'"),
        (["unlearn", "+forget=custom"], "forget.concepts is empty"),
        (["unlearn", "+forget=surgery", "privacy=eps4", "labels.balance=1"], "allowed with privacy=eps4: 0"),
        (["unlearn", "+forget=surgery,anxiety"], "takes one option"),
        (["unlearn", "+forget=surgery", "cache_dir=/dev/null/x"], "cache_dir=/dev/null/x: cannot be written"),
        (["evaluate", "run=nowhere"], "no such folder"),
        (["unlearn", "foo"], "foo"),
    ],
)
def test_mistakes_get_a_message_and_leave_nothing(duolearn, tmp_path, arguments, said):
    done = duolearn(*arguments)
    assert done.returncode == 2
    assert said in done.stderr and "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_dry_run_prints_the_plan_and_writes_nothing(duolearn, tmp_path):
    done = duolearn("unlearn", "forget=surgery", "--dry-run")
    assert done.returncode == 0, done.stderr
    for word in ("forget_train 300", "unlearn steps", "trainable", "memory", "time", "output folder"):
        assert word in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_cfg_job_prints_the_configuration(duolearn):
    done = duolearn("unlearn", "+forget=surgery", "seed=3", "--cfg", "job")
    assert done.returncode == 0 and "seed: 3" in done.stdout


def test_completion(duolearn):
    commands = duolearn("-sc", "query=bash", COMP_LINE="duolearn un", COMP_POINT="11")
    assert commands.stdout.split() == ["unlearn"]
    methods = duolearn("-sc", "query=bash", COMP_LINE="duolearn unlearn method=", COMP_POINT="24")
    assert "method=npo" in methods.stdout
    assert "complete" in duolearn("-sc", "install=bash").stdout


def test_another_name_of_a_command_is_that_command(duolearn):
    for words in (["--help"], ["+forget=surgery", "--dry-run"], ["+forget=surgery", "bench.only=[nothing]"]):
        named, other = duolearn("bench", *words), duolearn("speed", *words)
        assert (named.returncode, named.stdout, named.stderr) == (other.returncode, other.stdout, other.stderr)
    assert "The same as bench." in duolearn("--help").stdout
    assert duolearn("-sc", "query=bash", COMP_LINE="duolearn sp", COMP_POINT="11").stdout.split() == ["speed"]
    line = "duolearn speed bench.rep"
    assert "bench.repeats=" in duolearn("-sc", "query=bash", COMP_LINE=line, COMP_POINT=str(len(line))).stdout


def test_doctor(duolearn):
    done = duolearn("doctor", "+forget=surgery")
    assert done.returncode == 0 and "18148 concepts" in done.stdout
    broken = duolearn("doctor", "model=local", "model.path=nowhere")
    assert broken.returncode == 2 and "nowhere" in broken.stdout and "Traceback" not in broken.stderr


def test_export(duolearn, tmp_path):
    assert duolearn("data", "export", "export_path=minimed.jsonl").returncode == 0
    first = json.loads((tmp_path / "minimed.jsonl").read_text().splitlines()[0])
    assert set(first) >= {"id", "question", "opa", "opb", "opc", "opd", "cop", "subject_name"}
    assert duolearn("data", "export", "export_path=no/where.jsonl").returncode == 2


def test_the_main_job_in_small(duolearn, tmp_path):
    done = duolearn("unlearn", "+forget=surgery", *SMALL)
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout
    run = only_run(tmp_path)
    assert str(run.relative_to(tmp_path)) in done.stdout
    assert "Accuracy on surgery items went from" in done.stdout and "of what the target gives" in done.stdout
    written = {path.name for path in run.iterdir()}
    assert written >= {
        *("config.yaml", "run.json", "log.txt", "history.jsonl", "metrics.json", "predictions.jsonl"),
        *("report.html", "report.md", "adapter", "checkpoints", "figures"),
    }
    assert json.loads((run / "run.json").read_text())["status"] == "finished"
    metrics = json.loads((run / "metrics.json").read_text())
    assert set(metrics["models"]) == {"base", "target", "gold", "unlearned"}
    assert metrics["data"]["heldout"] == "phrasings" and set(metrics["majority"]) == {"forget", "retain"}
    assert all(f"- {sentence}" in done.stdout for sentence in metrics["flags"])
    assert metrics["models"]["unlearned"]["scores"]["forgetting_rate"]["n"] == 32
    stages = {json.loads(line)["stage"] for line in (run / "history.jsonl").read_text().splitlines()}
    assert stages == {"learn", "retrain", "unlearn"}
    again = duolearn("evaluate", f"run={run}")
    assert again.returncode == 0, again.stderr
    (scored,) = (path for path in (tmp_path / "outputs").glob("*/*") if path != run)
    repeated = json.loads((scored / "metrics.json").read_text())
    assert repeated["models"] == metrics["models"]
    refused = duolearn("unlearn", f"resume={run}", "seed=3")
    assert refused.returncode == 2 and "seed=3" in refused.stderr


def test_few_coordinates_change_and_the_report_says_how_many(duolearn, tmp_path):
    few = ["method.sparsity.unit=coordinate", "method.geometry.metric=fisher", "method.geometry.basis_size=2"]
    done = duolearn("unlearn", "+forget=surgery", *SMALL, *few, "unlearn.micro_batch=5")
    assert done.returncode == 0, done.stderr
    run = only_run(tmp_path)
    metrics = json.loads((run / "metrics.json").read_text())
    assert 0 < metrics["change"]["fraction"] <= 0.001
    assert f"{metrics['change']['parameters']:,}" in (run / "report.md").read_text()
    assert len(metrics["geometry"]["layers"]) == len(metrics["change"]["layers"]) == 4
    (checkpoint,) = (run / "checkpoints").iterdir()
    state = load_file(checkpoint / "update.safetensors")
    assert len(state["index"]) == len(state["constraint.fisher"]) == state["constraint.basis"].shape[1] == 1377
    assert len(state["optimizer.exp_avg_sq"]) == 1377
    refused = duolearn("unlearn", "+forget=surgery", *SMALL, "method.sparsity.unit=layer")
    assert refused.returncode == 2 and "Traceback" not in refused.stderr
    assert "method.sparsity.fraction=0.001" in refused.stderr
    # What the message allows is enough: a layer has 81,920 of the model's 1,377,408 parameters.
    assert 81_920 <= float(refused.stderr.partition("allowed: ")[2].split()[0]) * 1_377_408 < 84_000


def test_a_method_of_the_users_own(duolearn, tmp_path):
    groups, trust = own_method(tmp_path)
    asked = ["unlearn", "+forget=surgery", "method=mine", *groups, "--dry-run"]
    assert duolearn(*asked, trust).returncode == 0
    refused = duolearn(*asked)
    assert refused.returncode == 2 and "plugins" in refused.stderr
    assert "mine" in duolearn("unlearn", "--help", *groups).stdout.split()
    assert "Mine" in duolearn("list", "methods", *groups).stdout


def mhqa_file(path):
    """A made-up file in the format of MHQA's gold set."""
    header = "id,topic,type,question,option1,option2,option3,option4,correct_option,correct_option_number"
    topics = ["Anxiety", "Depression", "Trauma", "Obsessive/Compulsive Disorders"]
    rows = [
        f'{n},{topics[n % 4]},Factoid,"Which invented fact number {n} about phobia is right?",w{n},x{n},y{n},z{n},'
        f"{'wxyz'[n % 4]}{n},{n % 4 + 1}"
        for n in range(60)
    ]
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def test_mhqa_anxiety(duolearn, tmp_path):
    path = mhqa_file(tmp_path / "gold.csv")
    done = duolearn("unlearn", "+forget=anxiety", "dataset=mhqa", f"dataset.path={path}", *SMALL)
    assert done.returncode == 0, done.stderr
    metrics = json.loads((only_run(tmp_path) / "metrics.json").read_text())
    assert metrics["forget_subjects"] == ["Psychiatry/Anxiety"]
    assert "Psychiatry/Anxiety" in metrics["models"]["unlearned"]["subjects"]


@pytest.fixture
def own_groups(tmp_path_factory):
    """A folder with a forget target of its own and with a name that Hydra's grammar would trip over."""
    folder = tmp_path_factory.mktemp("own") / "my (own) groups"
    (folder / "forget").mkdir(parents=True)
    text = "# @package _global_\n# Hernias\nforget: {name: hernia, concepts: [surgery]}\n"
    (folder / "forget" / "hernia.yaml").write_text(text)
    return str(folder)


def test_flags_stand_anywhere(duolearn, own_groups):
    for arguments in (
        ["unlearn", "+forget=hernia", "--config-dir", own_groups, "--dry-run"],
        ["--config-dir", own_groups, "unlearn", "--dry-run", "forget=hernia"],
        [f"--config-dir={own_groups}", "unlearn", "+forget=hernia", "--cfg", "job", "seed=3"],
    ):
        done = duolearn(*arguments)
        assert done.returncode == 0, done.stderr
        assert "hernia" in done.stdout
    assert "hernia" in duolearn("--config-dir", own_groups, "unlearn", "--help").stdout
    sweep = duolearn("unlearn", "+forget=surgery", "-m", "method=npo,graddiff", "--dry-run")
    assert sweep.returncode == 0, sweep.stderr
    assert sweep.stdout.count("unlearn steps") == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["unlearn", "--config-dir", "no where", "+forget=surgery"], "--config-dir no where: there is no such folder"),
        (["unlearn", "--config-dir=nowhere", "--help"], "--config-dir nowhere: there is no such folder"),
        (["unlearn", "--config-dir"], "--config-dir needs a value"),
        (["--config-dir", "."], "which command?"),
        (["unlearn", "--cfg", "job", "+forget=surgry"], "did you mean 'surgery'"),
        (["unlearn", "--cfg", "job", "-m", "+forget=surgery"], "-m cannot be combined with --cfg"),
        (["unlearn", "+forget=[surgery,anxiety]"], "forget takes one option"),
        (["unlearn", "+forget=surgery", "seed=${nope}"], "seed=${nope}"),
        (["unlearn", "+forget=surgery", "-m", "seed=1,2", "hydra.sweep.dir=${nope}"], "'nope' not found"),
        (["unlearn", "+forget=surgery", "forget.name=../../evil"], "forget.name=../../evil"),
        (["data", "export", "export_path=."], "this is a folder"),
        (["data", "export", f"export_path={'x' * 300}"], "File name too long"),
        (["data", "export", "export_path=null"], "export_path is not set"),
        (["data"], "data: the action is missing; allowed: export"),
        (["fetch", "model.name=../x", "model.wheel=none"], "model.name=../x"),
    ],
)
def test_more_mistakes_get_one_line_and_leave_nothing(duolearn, tmp_path, arguments, said):
    done = duolearn(*arguments)
    assert done.returncode == 2, done.stderr
    assert said in done.stderr and len(done.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_sweep_shares_one_target(duolearn, tmp_path):
    cache = tmp_path / "own_cache"
    done = duolearn("unlearn", "-m", "+forget=surgery", "method=duolearn,npo", "seed=1,2", *SMALL, f"cache_dir={cache}")
    assert done.returncode == 0, done.stderr
    (sweep,) = (tmp_path / "outputs").glob("*/*-sweep")
    infos = [json.loads(path.read_text()) for path in sorted(sweep.glob("*/run.json"))]
    assert len(infos) == 4 and len({info["target_model"] for info in infos}) == 1
    assert len(list((cache / "models").glob("target-*[0-9a-f]"))) == 1
    assert (sweep / "sweep.md").is_file()


@pytest.mark.slow
def test_several_processes_end_where_one_does(duolearn, tmp_path):
    adapters = []
    for name, extra in {"one": [], "copies": ["runtime.num_processes=2"], "cut": CUT}.items():
        done = duolearn("unlearn", "+forget=surgery", *SMALL, *extra, f"output_dir={name}")
        assert done.returncode == 0, done.stderr + done.stdout
        (run,) = (tmp_path / name).glob("*/*")
        assert json.loads((run / "run.json").read_text())["status"] == "finished"
        # One line a step: of the two processes one writes.
        lines = [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]
        assert [line["step"] for line in lines if line["stage"] == "unlearn" and "target" in line] == [1, 2, 3, 4]
        adapter = load_file(run / "adapter" / "adapter_model.safetensors")
        adapters.append(torch.cat([adapter[key].flatten() for key in sorted(adapter)]))
    for other in adapters[1:]:
        assert (other - adapters[0]).norm() <= 1e-4 * adapters[0].norm()


@pytest.mark.slow
def test_an_interrupted_run_goes_on_to_the_same_result(duolearn, cache, tmp_path):
    settings = last(*SMALL, "unlearn.epochs=30")
    whole = duolearn("unlearn", "+forget=surgery", *settings, "output_dir=whole")
    assert whole.returncode == 0, whole.stderr
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "duolearn_cli", "unlearn", "+forget=surgery", *settings],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"DUOLEARN_CACHE": str(cache)},
    )
    said = ""
    for line in process.stdout:
        said += line
        if "unlearn: " in line:
            process.send_signal(2)
            break
    said += process.communicate(timeout=120)[0]
    assert process.returncode == 130
    run = only_run(tmp_path)
    assert f"resume={run.relative_to(tmp_path)}" in said
    assert json.loads((run / "run.json").read_text())["status"] == "interrupted"
    assert not (run / "metrics.json").exists()
    done = duolearn("unlearn", f"resume={run}")
    assert done.returncode == 0, done.stderr
    (reference,) = (tmp_path / "whole").glob("*/*")
    adapters = [(folder / "adapter" / "adapter_model.safetensors").read_bytes() for folder in (run, reference)]
    assert adapters[0] == adapters[1]
    steps = [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]
    numbers = [line["step"] for line in steps if line["stage"] == "unlearn" and "target" in line]
    assert numbers == list(range(1, 61))
