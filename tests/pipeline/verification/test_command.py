"""`duolearn verify` as a user calls it."""

import pytest

from duolearn_cli.cli.positional import verify_overrides
from tests.signed_run import write_keys


def test_names_of_settings_are_short():
    words = ["run=x", "deep=true", "public_key=a", "verify.sign=b", "page=c", "runtime.threads=1"]
    full = ["run=x", "verify.deep=true", "verify.public_key=a", "verify.sign=b", "verify.page=c", "runtime.threads=1"]
    assert verify_overrides(words) == full


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "which run is verified? Give run=FOLDER"),
        (["run=nowhere"], "there is no such folder"),
        (["run=.", "model=smollm2_135m"], "leave out: model=smollm2_135m"),
        (["run=.", "dep=true"], "dep: there is no such setting"),
        (["run=."], "record.json is missing"),
        (["run=.", "sign=nowhere.pem"], "sign=nowhere.pem: cannot be read"),
        (["run=.", "page=erasure.txt"], "give a file NAME.html"),
    ],
)
def test_what_is_refused(duolearn, arguments, said):
    done = duolearn("verify", *arguments)
    assert done.returncode == 2 and said in done.stderr and "Traceback" not in done.stderr


def test_a_run_is_verified_signed_and_put_on_a_page(site, duolearn, tmp_path):
    private, public = write_keys(tmp_path, "office")
    asked = ["verify", f"run={site.run}", f"cache_dir={site.root / 'cache'}"]
    done = duolearn(*asked, f"sign={private}", f"page={tmp_path / 'page.html'}")
    assert done.returncode == 0, done.stderr
    assert "verified" in done.stdout and "Erasure record: surgery" in (tmp_path / "page.html").read_text()
    assert duolearn(*asked, f"public_key={public}").returncode == 0
    done = duolearn(*asked, f"public_key={site.public}")
    assert done.returncode == 2 and "it is of another key" in done.stderr
    refused = duolearn(*asked, f"page={site.run / 'page.html'}")
    assert refused.returncode == 2 and "give a file outside of it" in refused.stderr


def test_what_does_not_match_is_named(site, duolearn):
    with (site.run / "metrics.json").open("a") as file:
        file.write(" ")
    done = duolearn("verify", f"run={site.run}")
    assert done.returncode == 2 and "metrics.json: it was changed" in done.stderr
