"""Pages made from the program are current, and every link leads somewhere."""

import csv
import importlib.util
import io
import json
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import pytest
from support.wheels import ROOT

import planner
import planner.numerics
from evaluation.pages import as_csv
from planner.formats.elements import ELEMENTS
from planner.formats.kv import kv_layout_ids
from planner.formats.schemes import scheme_ids
from planner.lab.article.text import claims_markdown

RENEW = "`make docs` renews it"
CLAIMS, CLAIMS_DATA = "docs/evidence/claims.md", "docs/evidence/data/claims.csv"
WORDS = {"docs": 72_000, "docs/evidence": 16_000}
"""At most, in all pages of a folder; CSV beside them is data."""
TOLERANCE = 0.11
"""Of a printed error in percent: another numpy may round the last digit differently."""


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_script", ROOT / ".ci" / "docs.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


docs = _load()


@pytest.fixture(autouse=True)
def eighty_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")


def stored(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_the_command_line_reference_is_what_help_says() -> None:
    assert docs.cli_reference() == stored("docs/reference/cli.md"), f"cli.md is stale: {RENEW}"


def test_the_reference_is_eighty_columns_wide() -> None:
    blocks = re.findall(
        r"^```text\n(.*?)^```", stored("docs/reference/cli.md"), re.MULTILINE | re.DOTALL
    )
    assert len(blocks) > 20
    wide = [
        line
        for block in blocks
        for line in block.splitlines()
        if len(line) > 80 and not line.startswith("    plan ")
    ]
    assert not wide


def test_the_readmes_show_the_answer_of_today() -> None:
    found = docs.answer()
    for name in ("README.md", "README.zh.md"):
        assert found in stored(name), f"the answer in {name} is stale: {RENEW}"


def test_a_guide_shows_the_answer_of_today() -> None:
    name = "docs/guide/replay.md"
    assert docs.guide(name) == stored(name), f"the answer in {name} is stale: {RENEW}"


@pytest.mark.sample(1)
@pytest.mark.parametrize("name", docs.CHINESE)
def test_a_page_in_chinese_has_the_same_commands(name: str) -> None:
    assert docs.chinese(name) == stored(name), f"{name} is stale: {RENEW}"
    english, chinese = stored(docs.CHINESE[name]), stored(name)
    commands = re.findall(r"^\$ (.+)$", english, flags=re.MULTILINE)
    assert len(commands) >= 10
    assert re.findall(r"^\$ (.+)$", chinese, flags=re.MULTILINE) == commands
    assert re.findall(r"^make \w+", chinese, re.MULTILINE) == re.findall(
        r"^make \w+", english, re.MULTILINE
    )


@pytest.mark.parametrize("name", docs.CHINESE)
def test_a_page_in_chinese_does_not_lag(name: str) -> None:
    """The same headings, blocks, tables and pages behind its links; nothing but words differs."""
    theirs, ours = shape(stored(docs.CHINESE[name])), shape(stored(name))
    assert ours == theirs
    assert len(ours.headings) >= 5


class Shape(NamedTuple):
    """What two languages of a page share: levels of headings, languages of blocks, rows, pages."""

    headings: list[int]
    blocks: list[str]
    cells: list[int]
    pages: list[str]


def shape(text: str) -> Shape:
    bare = docs._FENCE.sub("", text)
    links = re.findall(r"\]\(([^)\s#]+)", bare)
    return Shape(
        [len(marks) for marks in re.findall(r"^(#+) ", bare, re.MULTILINE)],
        re.findall(r"^```(\w+)$", text, re.MULTILINE),
        [row.count("|") for row in re.findall(r"^\|.*$", bare, re.MULTILINE)],
        sorted(link.replace(".zh.md", ".md") for link in links),
    )


def test_a_readme_is_read_in_one_sitting() -> None:
    assert docs.CHINESE["README.zh.md"] == "README.md"
    for name in ("README.md", "README.zh.md"):
        assert len(stored(name).splitlines()) <= 150, name


def test_the_python_api_is_what_the_package_says() -> None:
    page = stored("docs/reference/api.md")
    assert page == docs.PAGES["docs/reference/api.md"](), f"api.md is stale: {RENEW}"
    names = page.partition("## Fields of results")[0]
    rows = re.findall(r"^\| `(\w+)` \| (.+) \|$", names, flags=re.MULTILINE)
    named = [name for name, _ in rows]
    for home in (planner, planner.numerics):
        assert set(home.__all__) <= set(named), home
    assert all(len(meaning) > 10 for _, meaning in rows)
    assert " at 0x" not in page


def test_every_field_of_a_result_is_explained() -> None:
    """By the record's docstring, or by .ci/fields.toml, which has nothing else."""
    fields = sys.modules["record_fields"]
    records = {one.__name__: one for one in fields.result_records()}
    assert {"Plan", "Capacity", "Fleet", "Compared", "UnitPlan", "OtherPlan"} <= set(records)
    assert fields.unexplained() == [], "say it in the record's docstring, or in .ci/fields.toml"
    assert fields.needless() == [], ".ci/fields.toml"
    page = stored("docs/reference/api.md")
    assert [name for name in records if f"### {name}\n" not in page] == []


def test_the_schema_is_what_the_command_prints() -> None:
    page = stored("docs/reference/plan-file.schema.json")
    assert page == docs.PAGES["docs/reference/plan-file.schema.json"](), f"stale: {RENEW}"
    assert json.loads(page)["properties"]["schema_version"]["enum"] == ["3"]


def test_the_formats_are_those_of_the_catalogue() -> None:
    page = stored("docs/reference/formats.md")
    assert page == docs.PAGES["docs/reference/formats.md"](), f"formats.md is stale: {RENEW}"
    supported = page.partition("## Supported by")[2].partition("\n## ")[0]
    named = re.findall(r"`([\w-]+)`", "\n".join(re.findall(r"^\| (`.+?) \|", supported, re.M)))
    assert sorted(named) == sorted(scheme_ids())
    rows = re.findall(r"^\| `([\w-]+)` \|", page.replace(supported, ""), flags=re.MULTILINE)
    assert rows == [*scheme_ids(), *kv_layout_ids(), *ELEMENTS]
    assert "| `fp8-block` | e4m3fn, fp32 a 128×128 | 8.002 | e4m3fn, fp32 a 1×128 | 8.25 |" in page


def test_the_errors_on_the_sample_are_current() -> None:
    """Words are equal; figures are equal to the last digit that is printed."""
    number = re.compile(r"[-+]?\d+(?:\.\d+)?")
    name = "docs/evidence/data/validation-sample.csv"
    made, page = docs.sample_rows(), stored(name)
    assert number.sub("#", made) == number.sub("#", page), f"{name}: {RENEW}"
    far = [
        (a, b)
        for a, b in zip(number.findall(made), number.findall(page), strict=True)
        if abs(float(a) - float(b)) > TOLERANCE * max(1, abs(float(a)) / 100)
    ]
    assert not far, f"{name} is stale: {RENEW}"


SLOW_CLAIMS = ("r1", "r2")
"""Claims that take plans; the others take a second together."""


def test_the_claims_are_what_the_command_prints() -> None:
    rows = {row["#"]: row for row in csv.DictReader(io.StringIO(stored(CLAIMS_DATA)))}
    shown = re.findall(r"^\| (\w+) \| (.*) \| (\*\*.*) \|$", stored(CLAIMS), re.MULTILINE)
    assert shown == [(row["#"], row["claim"], row["verdict"]) for row in rows.values()]
    cheap = [one for one in rows if one not in SLOW_CLAIMS]
    assert len(rows) == len(cheap) + len(SLOW_CLAIMS) == 27
    table = claims_markdown(planner.claims(only=cheap).to_dict()).split("\n\n")[-1]
    made = csv.DictReader(io.StringIO(as_csv(table)[0]))
    stale = [row["#"] for row in made if rows[row["#"]] != row]
    assert not stale, f"{CLAIMS} is stale: {RENEW}"


@pytest.mark.exhaustive
def test_all_claims_are_what_the_command_prints() -> None:
    assert docs.claims_page() == (stored(CLAIMS), stored(CLAIMS_DATA)), f"{CLAIMS}: {RENEW}"


def test_every_relative_link_leads_somewhere() -> None:
    assert list(docs.broken_links()) == []


def test_a_broken_link_would_be_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.md").write_text(
        "# One\n[x](b.md) [y](a.md#one) [z](a.md#two) `[q](no.md)`\n", encoding="utf-8"
    )
    monkeypatch.setattr(docs, "ROOT", tmp_path)
    assert list(docs.broken_links()) == ["a.md: b.md", "a.md: a.md#two"]


def links_of(page: Path) -> set[Path]:
    found = re.findall(r"\]\(([^)\s#]+\.md)", page.read_text(encoding="utf-8"))
    return {(page.parent / link).resolve() for link in found if not re.match(r"[a-z]+:", link)}


def test_the_indexes_have_every_page_and_fit_a_screen() -> None:
    """Evidence has an index of its own, out of the way of who wants to do something."""
    index, evidence = (ROOT / "docs" / name / "README.md" for name in ("", "evidence"))
    assert links_of(ROOT / "README.md") >= {index}
    assert links_of(index) >= {evidence}
    pages = set((ROOT / "docs").rglob("*.md")) - {index, evidence}
    assert {path.parent.name for path in pages} == {"guide", "reference", "evidence"}
    judged = {path for path in pages if path.parent == evidence.parent}
    assert pages - judged - links_of(index) == set(), "name them in docs/README.md"
    assert judged == links_of(evidence), "name them in docs/evidence/README.md"
    for path in (index, evidence):
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 40, path


@pytest.mark.parametrize(("folder", "most"), WORDS.items())
def test_pages_have_few_words(folder: str, most: int) -> None:
    """Rows of evidence that a reader does not need are CSV beside the pages."""
    pages = sorted((ROOT / folder).rglob("*.md"))
    words = {str(path.relative_to(ROOT)): len(path.read_text("utf-8").split()) for path in pages}
    assert sum(words.values()) <= most, sorted(words.items(), key=lambda w: -w[1])[:20]


def test_every_table_of_rows_is_linked_and_whole() -> None:
    folder = ROOT / "docs" / "evidence"
    text = "".join(path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.md")))
    assert "<!-- data " not in text, "written by no publish"
    links = re.findall(r"\]\(data/([\w.-]+\.csv)\)(?:: ([\d,]+) rows)?", text)
    assert {name for name, _ in links} == {path.name for path in (folder / "data").iterdir()}
    for name, count in links:
        head, *rows = csv.reader(io.StringIO(stored(f"docs/evidence/data/{name}")))
        assert {len(row) for row in rows} == {len(head)}, name
        assert not count or len(rows) == int(count.replace(",", "")), name


@pytest.mark.parametrize("path", sorted((ROOT / "docs").rglob("*.md")), ids=lambda p: p.name)
def test_a_page_begins_with_what_it_is_for(path: Path) -> None:
    """A title, then a sentence: no command, table or list comes first."""
    title, *rest = path.read_text(encoding="utf-8").splitlines()
    first = next(line for line in rest if line and not line.startswith("["))
    assert title.startswith("# ")
    assert not first.startswith(("```", "    ", "|", "- ", "* ", "#", "$")), first
    assert len(first) > 40 or path.name.endswith(".zh.md")
