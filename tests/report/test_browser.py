"""Reports in a headless Chromium: nothing is cut, no word is broken, every text can be read, light, dark and printed.

With REPORT_SHOTS=FOLDER the screenshots go there, for people to look at.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from html import escape
from pathlib import Path
from urllib.parse import unquote

import pytest

from duolearn_cli.report.page import write_report
from duolearn_cli.report.summary_page import Summary, write_summary
from duolearn_cli.report.tables import Table
from tests.report.test_page import EXAMPLE, with_examples
from tests.report.wide_pages import benchmark_page, compare_page

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
LOOK = Path(__file__).with_name("browser.js").read_text(encoding="utf-8")
DARK = "--blink-settings=preferredColorScheme=0"
HEIGHT = 1200

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed (Debian: apt-get install chromium)"),
]


def browse(page, width, *options):
    """What Chromium prints about a page."""
    profile = page.parent / "profile"
    command = [str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run"]
    command += [f"--user-data-dir={profile}", f"--window-size={width},{HEIGHT}", "--enable-logging=stderr", *options]
    return subprocess.run([*command, page.as_uri()], capture_output=True, text=True, timeout=120, check=True)


def looked_at(page, width, *options):
    """The page as it is, with our script at its end: what the script finds, and messages on the console."""
    html = page.read_text(encoding="utf-8")
    # The page forbids every script, also ours.
    html = re.sub(r"<meta http-equiv=.Content-Security-Policy.*?>", "", html)
    shown = escape(html.replace("</body>", f"<script>{LOOK}</script></body>"))
    # In a frame: a window of Chromium's is never narrower than 500 pixels.
    frame = f'<iframe style="width:{width}px;height:{HEIGHT}px;border:0" srcdoc="{shown}"></iframe>'
    outside = page.with_name(f"looked-at-{page.name}")
    outside.write_text(f'<!DOCTYPE html><meta charset="utf-8">{frame}', encoding="utf-8")
    done = browse(outside, 1600, "--dump-dom", *options)
    found = json.loads(unquote(re.search(r'data-found="([^"]*)"', done.stdout)[1]))
    return found, [line for line in done.stderr.splitlines() if ":CONSOLE" in line]


@pytest.fixture
def pages(tmp_path, write_run, metrics):
    """A report with everything that one can hold; pages of a sweep with many settings, of a comparison, a benchmark."""
    interval = {"value": 0.5, "low": 0.25, "high": 0.75, "n": 90, "facts": 45}
    for name, model in metrics["models"].items():
        model["membership"] = {"loss": {"auc": interval}, "min_k_plus": {"auc": interval, "auc_together": interval}}
        model["token_classes"] = {
            "forget": {"target": interval, "memorised": interval},
            "retain": {"neutral": interval},
        }
        model["subjects"]["Gynaecology & Obstetrics and everything else"] = interval
        model["scores"]["forgetting_against_gold"] = interval if name == "unlearned" else None
    metrics |= {"flagged": ["forgetting_rate"], "advice": {metrics["flags"][0]: "Set unlearn.learning_rate lower."}}
    rows = [EXAMPLE | {"kind": kind, "question": "Which sign " * 30} for kind in ("forgotten", "known", "kept", "lost")]
    folder = with_examples(write_run(tmp_path / "run", metrics), *rows)
    write_report(folder)
    header = ("method", *(f"unlearn.setting_{k}" for k in range(4)), *(f"Measure {k} (%) ↑" for k in range(9)), "job")
    row = ("DuoLearn", *["0.0005"] * 4, *["100.0 [100.0, 100.0] (!)"] * 9, "12, failed")
    table = Table("Sweep, with 95 % intervals", header, (row, row), num_text=5)
    wide = Summary("Sweep", "2 runs: forgotten in 1.", ["job 1: careful."], ["Read it."], [table, table])
    write_summary(tmp_path / "run" / "sweep.html", wide)
    compared = compare_page(tmp_path / "compared", write_run, metrics)
    return [folder / "report.html", folder / "sweep.html", compared, benchmark_page(tmp_path / "benchmark")]


@pytest.mark.parametrize("is_dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1400, 800, 400])
def test_nothing_is_cut_or_hard_to_read(pages, width, is_dark):
    for page in pages:
        found, messages = looked_at(page, width, *([DARK] if is_dark else []))
        assert (found["width"], found["dark"]) == (width, is_dark) and found["texts"] > 30
        assert found["problems"] == [] and messages == []


def test_the_script_finds_what_is_wrong(tmp_path):
    """Without this, a script that looks at nothing would pass."""
    page = tmp_path / "bad.html"
    page.write_text(
        "<!DOCTYPE html><html><body><p style='color:#bbb'>pale words</p><div style='width:1em;overflow-wrap:anywhere'>"
        "hippopotamus</div><p style='overflow:hidden;width:9em;white-space:nowrap'>this sentence is far too long</p>"
        "<div style='width:3000px'>wide</div><svg></svg><script>console.error('broken')</script></body></html>"
    )
    found, messages = looked_at(page, 800)
    text = "\n".join(found["problems"])
    for expected in ("px wide", "contrast", "hippopotamus is broken", "cut: this", "outside the page", "no accessible"):
        assert expected in text
    assert len(messages) == 1 and "broken" in messages[0]


def test_it_prints_and_can_be_looked_at(pages, tmp_path):
    shots = Path(os.environ.get("REPORT_SHOTS", tmp_path / "shots"))
    shots.mkdir(exist_ok=True)
    for page in pages:
        pdf = shots / f"{page.stem}.pdf"
        browse(page, 800, f"--print-to-pdf={pdf}")
        assert pdf.read_bytes().startswith(b"%PDF") and pdf.stat().st_size > 10_000
        for width, name, options in ((1400, "wide", []), (800, "dark", [DARK]), (400, "narrow", [])):
            shot = shots / f"{page.stem}-{name}.png"
            browse(page, width, f"--screenshot={shot}", *options)
            assert shot.read_bytes().startswith(b"\x89PNG")
