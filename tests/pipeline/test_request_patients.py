"""Patients of recorded requests: no name leaves the run folder, and the next request still finds them."""

import json
import shutil
from pathlib import Path

import pytest

from duolearn_cli.cli.commands.following import follow
from duolearn_cli.config.compose import compose
from duolearn_cli.config.forget import ForgetTarget
from duolearn_cli.errors import DataError, RunError
from duolearn_cli.pipeline.prepare import prepare
from duolearn_cli.pipeline.request_patients import KEYED, UNNAMED, may_be, named, patient_hash
from duolearn_cli.pipeline.requests import FILE, configured, read_chain
from tests.pipeline.test_documents import NONE, TOY

KEY, OTHER = b"k" * 16, b"q" * 16
PATIENTS = ["p5", "p1"]


def spec(patients):
    return compose("unlearn", ["+forget=patient", f"forget.patients=[{','.join(patients)}]"]).forget


def test_a_record_never_names_patients():
    for key, kept in ((KEY, sorted(KEYED + patient_hash(one, KEY) for one in PATIENTS)), (None, [UNNAMED] * 2)):
        recorded = configured(spec(PATIENTS), key)
        assert recorded["patients"] == kept and "p1" not in json.dumps(recorded)
        # A request that follows hands on the record of those before as it is.
        assert configured(ForgetTarget(**recorded), OTHER) == recorded
    assert configured(spec([]), KEY) == configured(spec([]), None)


def test_names_and_records_are_compared_as_far_as_possible():
    recorded = configured(spec(PATIENTS), KEY)["patients"]
    assert may_be(PATIENTS, recorded, KEY) and may_be(PATIENTS, recorded, None)
    assert not may_be(["p5", "p2"], recorded, KEY) and not may_be(["p1"], recorded, None)
    assert may_be(["p1"], [UNNAMED], KEY) and not may_be(["p1"], [UNNAMED] * 2, KEY)
    # Records of older versions have the names.
    assert may_be(PATIENTS, PATIENTS, None) and not may_be(["p5", "p2"], PATIENTS, None)


@pytest.mark.parametrize(("key", "said"), [(None, "without patient_key"), (KEY, "Give patient_key=FILE")])
def test_who_is_unknown_is_refused(tmp_path, key, said):
    target = ForgetTarget(**configured(spec(PATIENTS), key))
    with pytest.raises(RunError, match=said):
        named([target], tmp_path, None)


@pytest.mark.slow
def test_the_key_finds_the_patients_in_the_data(tmp_path):
    key = tmp_path / "key"
    key.write_bytes(KEY)
    config = compose("unlearn", [*TOY, "+forget=surgery", f"patient_key={key}"])
    plain, hashed = (configured(spec(PATIENTS), KEY) | names for names in ({"patients": PATIENTS}, {}))
    config.requests = [ForgetTarget(**plain)]
    expected = prepare(config)
    config.requests = [ForgetTarget(**hashed)]
    assert prepare(config).earlier == expected.earlier and expected.earlier
    key.write_bytes(OTHER)
    with pytest.raises(DataError, match="2 of the 2 patients"):
        prepare(config)


@pytest.mark.slow
@pytest.mark.parametrize("with_key", [True, False])
def test_a_request_follows_one_about_patients(duolearn, tmp_path, with_key):
    (tmp_path / "key").write_bytes(KEY)
    key = [f"patient_key={tmp_path / 'key'}"] if with_key else []
    one, two, plugin = tmp_path / "one", tmp_path / "two", "plugins=[tests.toy_notes]"
    for words in (
        ["unlearn", *TOY, "+forget=patient", "forget.patients=[p1,p5]", *key, f"run_dir={one}", *NONE],
        ["unlearn", "+forget=surgery", plugin, f"after={one}", *key, f"run_dir={two}", *NONE],
        ["verify", f"run={two}", plugin],
    ):
        done = duolearn(*words)
        assert done.returncode == 0, done.stdout + done.stderr
    assert '"p1"' not in (two / "adapter" / FILE).read_text()
    chain = read_chain(two / "adapter")
    assert chain is not None and len(chain.targets[0].patients) == 2
    copied = Path(shutil.copytree(one / "adapter", tmp_path / "elsewhere" / "copy"))
    words = ["+forget=surgery", plugin, f"after={copied}"]
    with pytest.raises(RunError, match="limited to 2 patients"):
        follow(compose("unlearn", words), words)
    if with_key:
        config = follow(compose("unlearn", [*words, *key]), words)
        assert prepare(config).earlier
