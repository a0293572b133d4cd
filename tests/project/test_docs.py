"""Pages made from the program are current, every link leads somewhere, one vocabulary is used."""

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest
from support.wheels import ROOT

RENEW = "`make docs` renews it"
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
    assert docs.cli_reference() == stored("docs/cli.md"), f"docs/cli.md is stale: {RENEW}"


def test_the_reference_is_eighty_columns_wide() -> None:
    blocks = re.findall(r"^```text\n(.*?)^```", stored("docs/cli.md"), re.MULTILINE | re.DOTALL)
    assert len(blocks) > 20
    wide = [line for block in blocks for line in block.splitlines()
            if len(line) > 80 and not line.startswith("    plan ")]
    assert not wide


def test_the_readmes_show_the_answer_of_today() -> None:
    found = docs.answer()
    for name in ("README.md", "README.zh.md"):
        assert found in stored(name), f"the answer in {name} is stale: {RENEW}"


def test_the_chinese_readme_has_the_same_commands() -> None:
    assert docs.chinese() == stored("README.zh.md"), f"README.zh.md is stale: {RENEW}"
    english, chinese = stored("README.md"), stored("README.zh.md")
    commands = re.findall(r"^\$ (.+)$", english, flags=re.MULTILINE)
    assert len(commands) > 20
    assert re.findall(r"^\$ (.+)$", chinese, flags=re.MULTILINE) == commands
    assert re.findall(r"^make \w+", chinese, re.MULTILINE) == re.findall(
        r"^make \w+", english, re.MULTILINE)


def test_the_errors_on_the_sample_are_current() -> None:
    """Words are equal; figures are equal to the last digit that is printed."""
    number = re.compile(r"[-+]?\d+(?:\.\d+)?")
    made, page = docs.sample_page(), stored("docs/validation-sample.md")
    assert number.sub("#", made) == number.sub("#", page), f"validation-sample.md: {RENEW}"
    far = [(a, b) for a, b in zip(number.findall(made), number.findall(page), strict=True)
           if abs(float(a) - float(b)) > TOLERANCE * max(1, abs(float(a)) / 100)]
    assert not far, f"docs/validation-sample.md is stale: {RENEW}"


def test_every_relative_link_leads_somewhere() -> None:
    assert list(docs.broken_links()) == []


def test_a_broken_link_would_be_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.md").write_text("# One\n[x](b.md) [y](a.md#one) [z](a.md#two) `[q](no.md)`\n",
                                   encoding="utf-8")
    monkeypatch.setattr(docs, "ROOT", tmp_path)
    assert list(docs.broken_links()) == ["a.md: b.md", "a.md: a.md#two"]


def test_every_page_of_docs_can_be_reached_from_the_readme() -> None:
    reached, waiting = set(), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in reached or not page.is_file():
            continue
        reached.add(page)
        for link in re.findall(r"\]\(([^)\s#]+\.md)", page.read_text(encoding="utf-8")):
            if not re.match(r"[a-z]+:", link):
                waiting.append((page.parent / link).resolve())
    missing = set((ROOT / "docs").glob("*.md")) - reached
    assert not missing, "link them from README.md or a page that it links"


def vocabulary() -> list[list[str]]:
    """Rows of docs/vocabulary.md: word, Chinese, meaning, unit, words that are not used."""
    rows = re.findall(r"^\|(.+)\|$", stored("docs/vocabulary.md"), flags=re.MULTILINE)
    found = [[cell.strip() for cell in row.split("|")] for row in rows]
    return [row for row in found if row[0] not in ("word", "---") and len(row) == 5]


def test_the_vocabulary_is_a_table_without_gaps() -> None:
    found = vocabulary()
    assert len(found) > 30
    words = [row[0] for row in found]
    assert len(set(words)) == len(words)
    assert all(len(row) == 5 and row[2] for row in found)


def test_one_vocabulary_is_used() -> None:
    refused = [word.strip() for row in vocabulary() for word in row[4].split(",") if word.strip()]
    assert len(refused) >= 8
    found = []
    for page in docs.pages():
        if page.name in ("vocabulary.md", "cli.md") or "validation/sample" in str(page):
            continue
        text = re.sub(r"`[^`\n]*`", "", docs._FENCE.sub("", page.read_text(encoding="utf-8")))
        found += [f"{page.name}: {word}" for word in refused if word in " ".join(text.split())]
    found += [f"--help: {word}" for word in refused
              if word in " ".join(stored("docs/cli.md").split())]
    assert found == []


def test_terms_of_the_contract_are_explained() -> None:
    text = stored("docs/vocabulary.md")
    for word in ("prefill", "decode", "TTFT", "TPOT", "ISL", "OSL", "scheme", "cache layout",
                 "unit", "replica", "slot", "loss", "basis", "amax", "ridge point", "SQNR"):
        assert re.search(rf"\| [^|]*\b{word}\b[^|]* \|", text), word
