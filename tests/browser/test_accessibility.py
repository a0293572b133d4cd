"""axe-core finds nothing to mend, and html-validate nothing invalid, in report, what-if page,
fleet, capacity, replay and comparison."""

import json
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from support import fleets, sweeps
from support import what_if as small
from support import what_if_made as made
from support.browser import (
    AXE,
    HTML_VALIDATE,
    chromium,
    needed,
    npm_installed,
    npm_package,
    screen,
)
from support.comparisons import compared
from support.replays import in_pools, in_stages

import planner
from planner.api.report import report_extras
from planner.report.render.capacity_page import capacity_page
from planner.report.render.compared_page import compared_page
from planner.report.render.fleet_page import fleet_page
from planner.report.render.html import page
from planner.report.render.interactive import interactive
from planner.report.render.replay_page import replay_page
from planner.report.render.sweep_page import sweep_report
from planner.sizing.capacity_record import Capacity

pytestmark = pytest.mark.browser
RULES = {
    "extends": ["html-validate:recommended", "html-validate:document"],
    "rules": {
        "long-title": "off",
        "no-inline-style": "off",
        "no-trailing-whitespace": "off",
        "require-sri": "off",
        "void-style": "off",
        "require-csp-nonce": "off",
    },
}
"""What is left out is taste, not validity: styles of bars are inline, nothing is fetched."""


@cache
def sized() -> Capacity:
    """Replicas on two devices, one of which cannot serve."""
    return planner.capacity(
        "llama-3.1-8b",
        "l40s,jetson-orin-nx-16gb",
        rate=40.0,
        ttft_seconds=1.5,
        tpot_seconds=0.05,
        workload="chat",
        engine="vllm",
        tp=1,
        price=0.9,
    )


@cache
def pages() -> dict[str, str]:
    """A report with all its figures, the same with the what-if page, and that in Chinese."""
    plan = small.plan()
    told = report_extras(plan, requested="plan", version="0")
    return {
        "report": page(plan, "en", told),
        "what-if": page(plan, "en", told, interactive(small.grid(), plan, "en")),
        "what-if-zh": page(plan, "zh", told, interactive(made.grid(), plan, "zh")),
        "what-if-all": page(plan, "en", told, interactive(made.grid(), plan, "en")),
        "compare": compared_page(compared()),
        "compare-zh": compared_page(compared(), "zh"),
        "fleet": fleet_page(fleets.made(models=8)),
        "capacity": capacity_page(sized()),
        "capacity-zh": capacity_page(sized(), "zh"),
        "sweep": sweep_report(sweeps.contexts(), ".html", "contexts"),
        "sweep-zh": sweep_report(sweeps.grid(), ".html", "map", "zh"),
        "replay": replay_page(in_stages()),
        "replay-zh": replay_page(in_pools(), "zh"),
        "fleet-zh": fleet_page(fleets.made(usd=None, goal="spare"), "zh"),
    }


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as driver:
        yield driver


def violations(browser: Any, place: str = "html") -> list[str]:
    """What axe-core finds in a part of the page, one line a rule and place."""
    source = (npm_package(AXE) / "axe.min.js").read_text(encoding="utf-8")
    browser.execute_script(source)
    found = browser.execute_async_script(
        "axe.run(arguments[0], {resultTypes: ['violations']}).then("
        "found => arguments[1](JSON.stringify(found.violations)))",
        place,
    )
    return [
        f"{v['id']}: {node['target']} {node['html'][:120]} {node['failureSummary'][:300]}"
        for v in json.loads(found)
        for node in v["nodes"]
    ]


LONG = pytest.mark.exhaustive
"""The same pages in a scheme and a width that the cases beside them have."""


@pytest.mark.parametrize(
    ("name", "scheme", "width", "place"),
    [
        ("report", "light", 1280, "html"),
        ("report", "dark", 390, "html"),
        ("fleet", "light", 1280, "html"),
        pytest.param("fleet", "dark", 390, "html", marks=LONG),
        ("fleet-zh", "dark", 1280, "html"),
        ("capacity", "light", 390, "html"),
        ("capacity-zh", "dark", 1280, "html"),
        ("sweep", "light", 1280, "html"),
        pytest.param("sweep", "dark", 390, "html", marks=LONG),
        ("sweep-zh", "dark", 1280, "html"),
        ("compare", "light", 390, "html"),
        ("compare-zh", "dark", 1280, "html"),
        ("replay", "light", 390, "html"),
        ("replay-zh", "dark", 1280, "html"),
        ("what-if", "light", 1280, "#what-if"),
        ("what-if", "dark", 390, "#what-if"),
        pytest.param("what-if", "dark", 1280, "#what-if", marks=LONG),
        pytest.param("what-if", "light", 390, "#what-if", marks=LONG),
        pytest.param("what-if-all", "light", 1280, "#what-if", marks=LONG),
        ("what-if-all", "dark", 390, "#what-if"),
        ("what-if-zh", "dark", 1280, "#what-if"),
    ],
)
def test_axe_finds_no_violation(
    browser: Any, tmp_path: Path, name: str, scheme: str, width: int, place: str
) -> None:
    npm_package(AXE)
    path = tmp_path / "page.html"
    path.write_text(pages()[name], encoding="utf-8")
    screen(browser, width=width, scheme=scheme)
    browser.get(path.as_uri())
    browser.execute_script("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert violations(browser, place) == []


def test_axe_finds_no_violation_where_there_is_no_plan(browser: Any, tmp_path: Path) -> None:
    npm_package(AXE)
    path = tmp_path / "page.html"
    path.write_text(pages()["what-if"], encoding="utf-8")
    screen(browser)
    browser.get(path.as_uri() + "#context=32768&batch=256")
    assert browser.execute_script("return document.querySelectorAll('#wi-moves button').length") > 0
    assert violations(browser, "#what-if") == []
    path.write_text(pages()["what-if-all"], encoding="utf-8")
    browser.get(path.as_uri() + "#workload=long&price=-")
    assert violations(browser, "#what-if") == []


def test_axe_finds_what_is_wrong(browser: Any, tmp_path: Path) -> None:
    npm_package(AXE)
    path = tmp_path / "page.html"
    path.write_text(pages()["what-if"].replace('<label for="wi-batch">', "<b>"), encoding="utf-8")
    screen(browser)
    browser.get(path.as_uri())
    assert any(line.startswith("label: ") for line in violations(browser, "#what-if"))


def test_html_is_valid_and_the_checker_finds_what_is_not(tmp_path: Path) -> None:
    texts = {
        name: pages()[name]
        for name in (
            "report",
            "what-if-zh",
            "fleet",
            "fleet-zh",
            "capacity",
            "capacity-zh",
            "compare",
            "compare-zh",
            "sweep",
            "sweep-zh",
            "replay",
            "replay-zh",
        )
    }
    broken = (
        '<!DOCTYPE html>\n<html lang="en"><head><title>x</title></head>'
        '<body><p id="a">x</p><p id="a">y</p></body></html>\n'
    )
    found = invalid({**texts, "broken": broken}, tmp_path)
    assert any(line.startswith("no-dup-id") for line in found.pop("broken"))
    assert found == {name: [] for name in texts}


def invalid(texts: dict[str, str], folder: Path) -> dict[str, list[str]]:
    """What html-validate finds in each page, one line a rule and place."""
    node = needed("node", package="nodejs")
    tool = npm_installed(HTML_VALIDATE) / "node_modules" / "html-validate" / "bin"
    for name, text in texts.items():
        (folder / f"{name}.html").write_text(text, encoding="utf-8")
    (folder / ".htmlvalidate.json").write_text(
        json.dumps({**RULES, "root": True}), encoding="utf-8"
    )
    told = folder / "found.json"
    done = subprocess.run(
        [
            node,
            str(tool / "html-validate.mjs"),
            "--formatter",
            f"json={told}",
            *(f"{name}.html" for name in texts),
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.is_file(), done.stderr
    out: dict[str, list[str]] = {name: [] for name in texts}
    for file in json.loads(told.read_text(encoding="utf-8")):
        out[Path(file["filePath"]).stem] += [
            f"{m['ruleId']} line {m['line']}: {m['message']}" for m in file["messages"]
        ]
    return out
