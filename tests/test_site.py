"""The documentation site: its navigation, links, glossary, generated pages, language, and the tutorials' commands."""

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.scripts import load

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "outputs" / "README.md", *sorted(DOCS.rglob("*.md"))]
SITE = load("build_site")
NAVIGATION = [page for pages in SITE.navigation().values() for page in pages]
SOURCES = [*sorted((ROOT / "duolearn_cli").rglob("*.py")), *sorted((ROOT / "conf").rglob("*.yaml"))]


def prose(path):
    return re.sub(r"^```.*?^```$", "", path.read_text(encoding="utf-8"), flags=re.M | re.S)


def anchors(path):
    """The anchors of a page's headings; GitHub and the site number equal ones."""
    slug = load("glossary_links").slug
    found = []
    for heading in re.findall(r"^#+ (.+)$", prose(path), re.M):
        one = slug(re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading))
        found.append(one if one not in found else f"{one}-{found.count(one)}")
    return found


def named(path):
    return path.relative_to(ROOT).as_posix()


def test_every_page_is_in_the_navigation_once():
    assert sorted(
        [*(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")), *SITE.outside().values()]
    ) == sorted(NAVIGATION)


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_anchors_exist(page):
    links = re.findall(r"\]\(((?!https?:)[^)#]*)#([^)]+)\)", prose(page))
    targets = {(link, anchor): (page.parent / link if link else page) for link, anchor in links}
    assert [key for key, path in targets.items() if path.suffix == ".md" and key[1] not in anchors(path)] == []


def test_a_wrong_anchor_would_be_seen():
    assert "ccf" in anchors(DOCS / "glossary.md") and "cff" not in anchors(DOCS / "glossary.md")


def references():
    """Sections of pages that code and settings name: ``docs/PAGE.md, "Section"``."""
    for path in SOURCES:
        text = re.sub(r"\n\s*#? ?", " ", path.read_text(encoding="utf-8"))
        yield from re.findall(r"(docs/[\w/-]+\.md)(?:, \"([^\"]+)\")?", text)


def test_pages_and_sections_that_the_program_names_exist():
    found = sorted(one for one in set(references()) if one[0] != "docs/PAGE.md")
    assert len(found) > 30
    missing = [page for page, _ in found if not (ROOT / page).is_file()]
    assert missing == []
    lost = [(page, section) for page, section in found if section and section not in (ROOT / page).read_text("utf-8")]
    assert lost == []


def test_terms_are_linked_where_they_first_appear():
    assert list(load("glossary_links").checked(write=False)) == [], "python scripts/glossary_links.py --write"


def test_a_term_without_a_link_is_found():
    text, missing = load("glossary_links").linked("The MIA score of gold.\n\nGold, and `formed_nll`.", "glossary.md")
    assert sorted(missing) == ["formed_nll", "gold", "mia-score"]
    assert text.startswith("The [MIA score](glossary.md#mia-score) of [gold](glossary.md#gold).\n\nGold, and [`formed")
    assert load("glossary_links").linked(text, "glossary.md") == (text, [])


@pytest.mark.parametrize("page", load("readability").pages(), ids=named)
def test_sentences_are_short(page):
    readability = load("readability")
    text, good = readability.report(named(page), readability.sentences(page.read_text(encoding="utf-8")))
    assert good, text


def test_messages_are_short():
    readability = load("readability")
    found = list(readability.messages())
    text, good = readability.report("messages", found)
    assert len(found) > 300 and good, text


def test_long_sentences_are_seen():
    readability = load("readability")
    page = f"# Title\n\nShort one. {'Word ' * 46}end.\n\n```bash\n{'x ' * 99}\n```\n\n| {'cell ' * 60} |\n"
    assert [len(readability.words(one)) for one in readability.sentences(page)] == [2, 47]
    assert not readability.report("page", readability.sentences(page))[1]


def test_readme_is_a_first_page():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 120
    assert "prove both" not in text and "docs/figures/how.svg" in text


def test_readmes_numbers_are_those_of_the_kept_results():
    rows = re.findall(r"^\|.*$", (ROOT / "README.md").read_text(encoding="utf-8"), re.M)
    numbers = {number for row in rows for number in re.findall(r"[\d.]+(?: %)? \[[\d., -]+\]", row)}
    results = (DOCS / "results" / "index.md").read_text(encoding="utf-8")
    assert len(numbers) == 6
    assert [number for number in numbers if number.replace(" %", "") not in results] == []


@pytest.mark.parametrize(
    ("script", "page"),
    [
        ("results_page", DOCS / "results" / "index.md"),
        ("api_reference", DOCS / "api.md"),
        ("settings_reference", DOCS / "settings.md"),
    ],
)
def test_generated_pages_are_up_to_date(script, page):
    loaded = load(script)
    (make,) = (getattr(loaded, name) for name in ("made", "page", "reference") if hasattr(loaded, name))
    assert page.read_text(encoding="utf-8") == make(), f"python scripts/{script}.py"


def test_the_page_of_chained_requests_is_up_to_date():
    module = load("chain_study")
    assert (DOCS / "results" / "chain.md").read_text(encoding="utf-8") == module.page(), "chain_study.py page"
    module = load("notes_study")
    assert (DOCS / "results" / "notes.md").read_text(encoding="utf-8") == module.page(), "notes_study.py page"


def test_the_sketch_of_a_report_shows_the_kept_run():
    module = load("report_sketch")
    kept = module.json.loads((DOCS / "results" / "demo.json").read_text(encoding="utf-8"))
    assert (DOCS / "figures" / "report.svg").read_text(encoding="utf-8") == module.sketch(kept)


def test_the_first_steps_of_a_tutorial_print_what_the_page_shows(tmp_path, cache, monkeypatch):
    """All of them run in the slow test; here the file, the settings and the dry run."""
    monkeypatch.setenv("DUOLEARN_CACHE", str(cache))
    tutorials = load("tutorials")
    tutorials.prepare(tmp_path)
    page = (tutorials.FOLDER / "own-csv.md").read_text(encoding="utf-8")
    first, end, _ = page.partition("## 4. Run it")
    assert end and sum(step.command is not None for step in tutorials.steps(first)) == 3
    assert tutorials.follow(first, tmp_path)[1] == []


def test_other_words_in_an_output_are_seen():
    tutorials = load("tutorials")
    assert tutorials.words("│ rows  │ 1,204 of 3 │") == tutorials.words("│ rows │ 77 of 12    │")
    assert tutorials.words("12 rows kept") != tutorials.words("12 rows left out")


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_tutorials_print_what_their_pages_show(tmp_path, cache, monkeypatch):
    monkeypatch.setenv("DUOLEARN_CACHE", str(cache))
    tutorials = load("tutorials")
    tutorials.prepare(tmp_path)
    changed = [one for page in tutorials.pages() for one in tutorials.follow(page.read_text("utf-8"), tmp_path)[1]]
    assert changed == []


def test_links_of_the_site_stay_within_it(tmp_path):
    """Also those of pages from elsewhere, and back to them."""
    SITE.assemble(tmp_path)
    linked = 0
    for page in tmp_path.rglob("*.md"):
        for target in re.findall(r"\]\((?!https?:)([^)#\s]+)", prose(page)):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
            linked += 1
    assert linked > 200 and "contributing.md#add-a-model" in (tmp_path / "index.md").read_text(encoding="utf-8")
    assert all((tmp_path / f"{page}.md").exists() for page in re.findall(r"^   (?!:)(\S+)", SITE.contents(), re.M))


@pytest.mark.slow
@pytest.mark.skipif(find_spec("sphinx") is None, reason="pip install 'duolearn[docs]'")
def test_the_site_is_built_without_warnings_and_fetches_nothing(tmp_path):
    command = [sys.executable, ROOT / "scripts" / "build_site.py", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    pages = list(tmp_path.rglob("*.html"))
    assert len(pages) > len(NAVIGATION)
    fetched = re.compile(
        r"<(?:script|img|iframe)[^>]+src=\"(?:https?:)?//|<link[^>]+stylesheet[^>]+href=\"(?:https?:)?//|url\((?:https?:)?//"
    )
    files = [*pages, *tmp_path.rglob("*.css")]
    assert [file.name for file in files if fetched.search(file.read_text(encoding="utf-8"))] == []
