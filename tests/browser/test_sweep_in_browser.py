"""The page of a sweep in a browser: what selects show, how the table sorts, where reasons are."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support import sweeps
from support.browser import chromium, screen

from planner.report.render.sweep_page import sweep_report

pytestmark = pytest.mark.browser
SHOWN = (
    "return [...document.querySelectorAll('.shown')].filter(part => part.checkVisibility())"
    ".map(part => [part.dataset.measure, part.dataset.view].join(' '))"
)
FIRST = (
    "return [...document.querySelectorAll('#answers tbody tr')].map(row => "
    "[row.cells[0].textContent, row.cells[1].textContent].join(' '))"
)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("pages")
    for name, columns in (("grid", sweeps.grid()), ("contexts", sweeps.contexts())):
        (folder / f"{name}.html").write_text(sweep_report(columns, ".html", name), encoding="utf-8")
    with chromium() as driver:
        driver.folder = folder
        yield driver


def opened(browser: Any, name: str, *, width: int = 1280) -> Any:
    folder: Path = browser.folder
    screen(browser, width=width)
    browser.get((folder / f"{name}.html").as_uri())
    return browser


def choose(browser: Any, name: str, value: str) -> None:
    browser.execute_script(
        "const s = document.getElementById(arguments[0]); s.value = arguments[1];"
        "s.dispatchEvent(new Event('change'))",
        name,
        value,
    )


def test_selects_show_one_measure_of_one_view(browser: Any) -> None:
    opened(browser, "contexts")
    assert browser.execute_script(SHOWN) == ["rate 0"]
    choose(browser, "measure", "usd")
    choose(browser, "view", "2")
    assert browser.execute_script(SHOWN) == ["usd 2"]


def test_without_a_script_the_first_is_shown_and_nothing_that_needs_one(browser: Any) -> None:
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        opened(browser, "contexts")
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
    assert browser.execute_script(SHOWN) == ["rate 0"]
    assert not browser.execute_script(
        "return document.getElementById('controls').checkVisibility()"
    )
    assert browser.execute_script("return document.querySelectorAll('#answers button').length") == 0


def test_heads_sort_both_ways_and_what_has_no_answer_is_last(browser: Any) -> None:
    opened(browser, "grid")
    asked = browser.execute_script(FIRST)
    press = "document.querySelectorAll('#answers thead button')[2].click()"
    browser.execute_script(press)
    up = browser.execute_script(FIRST)
    browser.execute_script(press)
    down = browser.execute_script(FIRST)
    assert up == [*asked[3::-1], *asked[4:]]  # rates fall as they were asked
    assert down == asked
    assert browser.execute_script(
        "return [...document.querySelectorAll('#answers [aria-sort]')]"
        ".map(h => h.getAttribute('aria-sort'))"
    ) == ["descending"]


def test_a_cell_without_a_plan_tells_its_reason_to_pointer_and_keyboard(browser: Any) -> None:
    from selenium.webdriver import ActionChains

    opened(browser, "grid")
    cells = browser.find_elements("css selector", ".shown:not([hidden]) .heat g[tabindex]")
    assert len(cells) == 2
    reason = browser.find_element("id", "reason")
    assert not reason.text
    browser.execute_script("arguments[0].focus()", cells[0])
    assert "80.2 GiB at least" in reason.text
    ActionChains(browser).move_to_element(cells[1]).perform()
    assert "no engine serves it" in reason.text
    assert cells[1].get_attribute("aria-label") == reason.text


@pytest.mark.parametrize("name", ["grid", "contexts"])
def test_a_phone_scrolls_down_alone_and_nothing_is_fetched(browser: Any, name: str) -> None:
    opened(browser, name, width=390)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= 390
    assert browser.execute_script("return performance.getEntriesByType('resource').length") == 0
    assert [e for e in browser.get_log("browser") if e["level"] == "SEVERE"] == []
