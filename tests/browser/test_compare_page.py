"""The page of a comparison in a browser: its charts fit a screen, every row sorts by click and key,
filters, and reads without script."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from support.browser import chromium, screen
from support.comparisons import compared

from planner.report.render.compared_page import compared_page

pytestmark = pytest.mark.browser
ROWS = """return [...document.querySelectorAll('#every tbody tr')]
    .filter(row => row.getClientRects().length).map(row => row.cells[arguments[0]].dataset.s
        ?? row.cells[arguments[0]].firstChild.textContent)"""
FORMAT, DEVICE, RATE, COST = 0, 1, 2, 5


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    found = compared()
    half = replace(
        found,
        rows=tuple(
            one if one.device == "h100-sxm" else replace(one, usd_per_million_output_tokens=None)
            for one in found.rows
        ),
    )
    path = tmp_path_factory.mktemp("compared") / "page.html"
    path.write_text(compared_page(half), encoding="utf-8")
    with chromium() as driver:
        screen(driver)
        driver.get(path.as_uri())
        yield driver


@pytest.fixture(autouse=True)
def fresh(page: Any) -> None:
    page.refresh()
    page.execute_script("document.getElementById('folded').open = true")


def cells(page: Any, column: int) -> list[str]:
    found: list[str] = page.execute_script(ROWS, column)
    return found


def head(page: Any, column: int) -> Any:
    return page.find_elements("css selector", "#every thead th")[column]


def click(page: Any, column: int) -> str | None:
    head(page, column).find_element("tag name", "button").click()
    way: str | None = head(page, column).get_attribute("aria-sort")
    return way


def test_a_click_sorts_by_number_and_again_the_other_way(page: Any) -> None:
    listed = cells(page, RATE)
    assert listed != sorted(listed, key=float, reverse=True)
    assert click(page, RATE) == "descending"
    assert cells(page, RATE) == sorted(listed, key=float, reverse=True)
    assert cells(page, RATE) != sorted(listed, reverse=True)
    assert "by tokens/s, descending" in page.find_element("id", "told").text
    assert click(page, RATE) == "ascending"
    assert cells(page, RATE) == sorted(listed, key=float)
    assert click(page, FORMAT) == "ascending"
    assert head(page, RATE).get_attribute("aria-sort") is None
    assert cells(page, FORMAT) == sorted(cells(page, FORMAT), key=str.lower)


def test_what_has_no_number_comes_last_either_way(page: Any) -> None:
    count = len(cells(page, COST))
    for way in ("ascending", "descending"):
        assert click(page, COST) == way
        found = cells(page, COST)
        assert found[count // 2 :] == ["–"] * (count // 2)
        assert found[: count // 2] == sorted(
            found[: count // 2], key=float, reverse=way == "descending"
        )


def test_the_keyboard_sorts_and_the_list_restores(page: Any) -> None:
    listed = cells(page, FORMAT), cells(page, RATE)
    button = head(page, RATE).find_element("tag name", "button")
    page.execute_script("arguments[0].focus()", button)
    page.switch_to.active_element.send_keys("\ue007")  # enter
    assert head(page, RATE).get_attribute("aria-sort") == "descending"
    page.switch_to.active_element.send_keys(" ")
    assert head(page, RATE).get_attribute("aria-sort") == "ascending"
    assert page.find_element("id", "order").get_attribute("value") == str(RATE)
    page.execute_script(
        "const box = document.getElementById('order'); box.value = '';"
        "box.dispatchEvent(new Event('change'))"
    )
    assert (cells(page, FORMAT), cells(page, RATE)) == listed
    assert not page.find_elements("css selector", "th[aria-sort]")


def test_filters_leave_rows(page: Any) -> None:
    whole = len(cells(page, FORMAT))
    for n, text in ((0, "qwen3-32b"), (1, "b200-sxm"), (2, "vllm")):
        box = page.find_element("css selector", f'[data-filter="{n}"]')
        box.find_element("xpath", f"option[text()='{text}']").click()
    assert 0 < len(cells(page, FORMAT)) < whole
    assert set(
        page.execute_script(
            "return [...document.querySelectorAll('#every tbody tr:not([hidden])')]"
            ".map(row => row.cells[1].innerText)"
        )
    ) == {"b200-sxm\nqwen3-32b"}
    assert page.find_element("id", "told").text == f"{len(cells(page, FORMAT))} of {whole} rows"
    assert click(page, RATE) == "descending"
    assert cells(page, RATE) == sorted(cells(page, RATE), key=float, reverse=True)


def test_nothing_is_wider_than_the_window(page: Any) -> None:
    for width in (1200, 390):
        screen(page, width=width)
        assert page.execute_script(
            "return [document.documentElement, ...document.querySelectorAll('.scroll')]"
            ".every(part => part.scrollWidth <= part.clientWidth)"
        ), width
    screen(page)


def test_it_reads_without_script_and_says_nothing_wrong(page: Any) -> None:
    wrong = [line for line in page.get_log("browser") if line["level"] == "SEVERE"]
    assert wrong == []
    page.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    page.refresh()
    page.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
    assert not page.find_elements("css selector", "thead button")
    assert not page.find_element("id", "controls").is_displayed()
    page.execute_script("document.getElementById('folded').open = true")
    assert len(cells(page, FORMAT)) == 28


@pytest.mark.parametrize(("width", "height"), [(1200, 800), (390, 844)])
def test_each_chart_fits_the_screen(page: Any, width: int, height: int) -> None:
    page.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500},
    )
    sizes = page.execute_script(
        "return [...document.querySelectorAll('svg.chart')].map(chart => {"
        "const box = chart.getBoundingClientRect(); return [box.right, box.height] })"
    )
    screen(page)
    assert len(sizes) == 2
    assert all(0 < right <= width and 0 < tall <= height for right, tall in sizes), sizes
