"""A cached model tells where it was learned, and is not used elsewhere without a word."""

import json

import pytest
import torch

from duolearn_cli.config.environment import FILE, difference, environment, in_words, read_environment
from duolearn_cli.report.asked import environment as shown
from tests.pipeline.test_laboratory import lab  # noqa: F401


def test_it_names_versions_and_what_rounds():
    here = environment(torch.device("cpu"))
    assert set(here) == {"torch", "transformers", "peft", "threads", "cpu_capability"}
    assert here["torch"] == torch.__version__.split("+")[0] or here["torch"] == torch.__version__
    assert here["threads"] == torch.get_num_threads()
    assert here["cpu_capability"] == torch.backends.cpu.get_cpu_capability()


def test_on_a_gpu_its_name_counts_instead_of_the_processor(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA H200")
    here = environment(torch.device("cuda:0"))
    assert here["gpu"] == "NVIDIA H200" and "threads" not in here


def test_every_difference_is_named_and_sameness_is_silent():
    here = {"torch": "2.4", "threads": 1, "cpu_capability": "AVX512"}
    assert difference("target", here, here) == difference("target", None, here) == ""
    said = difference("gold", {"torch": "2.4", "threads": 2}, here)
    assert said.startswith(
        "The gold model in the cache was learned with threads 2 (here 1), CPU instructions not recorded (here AVX512)."
    )
    assert in_words(here) == "torch 2.4, threads 1, CPU instructions AVX512"


@pytest.mark.parametrize("text", ["", "[]", "{"])
def test_a_file_that_tells_nothing_is_no_environment(tmp_path, text):
    (tmp_path / FILE).write_text(text)
    assert read_environment(tmp_path) is None


def test_a_cached_model_of_another_environment_is_warned_about(lab, capsys):  # noqa: F811
    lab.load("target")
    made = environment(lab.model.device)
    device = lab.model.device
    assert lab.cache.made_in("target") == made and lab.cache.environment_warning("target", device) == ""
    assert "was learned with" not in capsys.readouterr().out
    path = lab.cache.folder("target") / FILE
    path.write_text(json.dumps(made | {"cpu_capability": "AVX1024"}))
    # As a model of an older version, which has no checksums: a changed file would be found.
    (path.parent / "manifest.json").unlink()
    lab.load("target")
    assert "warning: The target model in the cache was learned with CPU instructions AVX1024" in " ".join(
        capsys.readouterr().out.split()
    )
    # Of a model that an older version left there is nothing to tell.
    path.unlink()
    assert lab.cache.made_in("target") is None and lab.cache.environment_warning("target", device) == ""


def test_the_report_tells_both_environments():
    rows = dict(shown({}, {"environment": {"here": {"torch": "2.4", "threads": 1}, "target": None}}))
    assert rows == {"computed with": "torch 2.4, threads 1", "target learned with": "not recorded"}
