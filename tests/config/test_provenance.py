"""The hash of the code: of content and names, the same wherever it lies."""

import shutil
import subprocess
import sys

from duolearn_cli.config import provenance
from duolearn_cli.files import PACKAGE


def test_source_files_are_those_of_the_wheel():
    found = provenance.source_files()
    assert {"duolearn_cli/__main__.py", "duolearn_cli/conf/unlearn.yaml"} <= set(found)
    assert not [name for name in found if "__pycache__" in name or name.endswith(".pyc")]


def test_a_tree_hash_is_that_of_what_sha256sum_prints(tmp_path):
    for name in ("b", "a"):
        (tmp_path / name).write_text(name)
    files = {name: tmp_path / name for name in ("b", "a")}
    if shutil.which("sha256sum"):
        command = f"cd {tmp_path} && sha256sum a b | sha256sum"
        done = subprocess.run(command, shell=True, capture_output=True, text=True, check=True)
        assert provenance.tree_hash(files) == done.stdout.split()[0]
    before = provenance.tree_hash(files)
    (tmp_path / "a").write_text("A")
    assert provenance.tree_hash(files) != before
    assert provenance.tree_hash({"a": files["a"], "c": files["b"]}) != provenance.tree_hash(files)


def test_plugins_are_hashed(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "my_plugin_of_provenance.py").write_text("x = 1\n")
    __import__("my_plugin_of_provenance")
    try:
        found = provenance.code(["my_plugin_of_provenance"])["plugins"]["my_plugin_of_provenance"]
        assert found == provenance.tree_hash({"my_plugin_of_provenance.py": tmp_path / "my_plugin_of_provenance.py"})
    finally:
        del sys.modules["my_plugin_of_provenance"]


def test_a_commit_is_that_of_this_package_alone(tmp_path):
    # An environment inside of a user's own repository must not pass for the package's checkout.
    assert provenance._commit(tmp_path / "site-packages") == {"commit": None, "changed": None}
    found = provenance._commit(PACKAGE.parent)
    assert found["commit"] is None or len(found["commit"]) == 40
