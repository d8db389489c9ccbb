"""Paths that the documentation names exist, and its links lead somewhere."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "duolearn_cli"
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "outputs/README.md")),
    *sorted(ROOT.glob("docs/**/*.md")),
]
# Paths begin at the root of the project; those of modules and packages may begin at our package.
ROOT_PATH = r"(?<![\w./-])(?:duolearn_cli|tests|scripts|conf|docs)/[\w./*-]*[\w*/]"
PACKAGES = "|".join(path.name for path in PACKAGE.iterdir() if path.is_dir())
PACKAGE_PATH = rf"(?<![\w./-])(?:{PACKAGES})/(?:\w+/)*(?!\w)"
MODULE = r"[\w./-]+\.py\b"


def named_paths(text):
    # A name alone in a line is that of an example's file.
    prose = re.sub(r"^```.*?^```|^`[^`\n]+`$", "", text, flags=re.M | re.S)
    return {
        *re.findall(ROOT_PATH, text),
        *(path for kind in (PACKAGE_PATH, MODULE) for path in re.findall(kind, prose)),
    }


def unknown_paths(text):
    return sorted(path for path in named_paths(text) if not any(map(any, (ROOT.glob(path), PACKAGE.glob(path)))))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_a_page_names_paths_that_exist(page):
    assert unknown_paths(page.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page):
    targets = re.findall(r"\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_there_are_paths_to_test():
    assert sum(len(named_paths(page.read_text(encoding="utf-8"))) for page in PAGES) > 60


def test_what_does_not_exist_is_found_wherever_it_stands():
    text = "`conf/method/npo.yaml` `conf/metod/npo.yaml`, singles.py\n```\npython scripts/nope.py\n```\nconf/*.yaml"
    assert unknown_paths(f"{text} `data/readers/` data/streams/") == [
        "conf/metod/npo.yaml",
        "data/streams/",
        "scripts/nope.py",
        "singles.py",
    ]
