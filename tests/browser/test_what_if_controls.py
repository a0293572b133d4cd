"""The what-if page's own controls by mouse and keyboard, on a grid of every axis: each position
reads as it was planned, a price is only multiplied, and what has no plan says why."""

import math
import shlex
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from support import what_if as small
from support import what_if_made as made
from support.browser import chromium, opened, screen, text
from support.chinese import latin_texts
from support.what_if_controls import IDS, READ, chip, clicked, dollars, until

import planner
from planner.api.report import report_extras
from planner.planning.plan.record import Plan
from planner.planning.what_if.grid import Grid, InfeasiblePoint, PlannedPoint
from planner.report import words
from planner.report.render.html import page
from planner.report.render.interactive import interactive

pytestmark = pytest.mark.browser

PRICE = 2.5

MOST_BYTES = 500_000
"""Of a report with its what-if page."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as driver:
        yield driver


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(made.html(), encoding="utf-8")
    return path.as_uri()


def test_each_position_reads_as_it_was_planned(browser: Any, address: str) -> None:
    opened(browser, address)
    check_every_position(browser, made.grid(), small.plan())
    assert [e for e in browser.get_log("browser") if e["level"] == "SEVERE"] == []


@pytest.mark.exhaustive
def test_a_whole_grid_fits_its_page_and_every_position_reads_back(
    browser: Any,
    tmp_path: Path,
) -> None:
    plan = planner.plan("llama-3.1-8b", "h100-sxm")
    grid = planner.what_if("llama-3.1-8b", "h100-sxm", base=plan)
    path = tmp_path / "whole.html"
    text = page(
        plan,
        "en",
        report_extras(plan, requested="plan", version="0"),
        interactive(grid, plan, "en"),
    )
    path.write_text(text, encoding="utf-8")
    assert len(grid.points) >= 1500
    assert len(text.encode()) <= MOST_BYTES
    check_every_position(opened(browser, path.as_uri()), grid, plan)


def check_every_position(browser: Any, grid: Grid, plan: Plan) -> None:
    """Set the controls to each position in turn and compare what stands there with the grid."""
    axes = [[axis.name, len(axis)] for axis in grid.axes]
    shown = browser.execute_script(READ, axes, list(IDS), str(PRICE))
    assert len(shown) == len(grid.points) == math.prod(len(axis) for axis in grid.axes)
    own = plan.performance.output_tokens_per_second.value
    for found, point, at in zip(
        shown, grid.points, product(*(range(len(axis)) for axis in grid.axes)), strict=True
    ):
        told = dict(zip(IDS, found, strict=True))
        flags = [axis.flags[n] for axis, n in zip(grid.axes, at, strict=True)]
        assert told["wi-command"] == " ".join(filter(None, (grid.command, *flags)))
        if isinstance(point, InfeasiblePoint):
            assert told["wi-rate"] == "No plan"
            continue
        check_position(told, point)
        percent = (point.performance.output_tokens_per_second.value / own - 1) * 100
        if 1 < percent < 99:
            assert told["wi-rate-change"][0] == "+"
            assert float(told["wi-rate-change"][1:-2]) == pytest.approx(percent, abs=0.6)


def check_position(told: dict[str, str], point: PlannedPoint) -> None:
    """Compare the texts of a position with its plan."""
    perf = point.performance
    rate, energy = perf.output_tokens_per_second, perf.joules_per_output_token
    assert told["wi-rate"] == words.three_digits(rate.value)
    assert told["wi-range"].startswith(
        f"{words.three_digits(rate.low)} – {words.three_digits(rate.high)}, "
    )
    assert told["wi-tpot-here"] == " ".join(words.seconds(perf.tpot_seconds.value))
    assert told["wi-ttft-here"] == " ".join(words.seconds(perf.ttft_seconds.value))
    assert told["wi-loss-here"] == words.loss(point.quality.loss)
    assert told["wi-users-here"] == words.count(point.room * point.replicas)
    assert told["wi-used-here"] == f"{point.memory.total / 2**30:.1f}"
    usd, low, high = (
        PRICE * point.devices * 1e6 / 3600 / v for v in (rate.value, rate.high, rate.low)
    )
    assert told["wi-usd-here"] == dollars(usd)
    assert told["wi-usd-range"] == f"{dollars(low)} – {dollars(high)}"
    assert told["wi-joules-here"] == ("–" if energy is None else f"{energy.value:.3g}")
    assert (f"served by {point.engine}," if point.engine else "under no engine's rules,") in told[
        "wi-answer"
    ]


def test_clicks_on_choices_and_lines_of_the_chart_move_the_position(
    browser: Any,
    address: str,
) -> None:
    from selenium.webdriver.common.by import By

    opened(browser, address)
    clicked(browser, chip(browser, "workload", 1))
    assert "--workload chat" in text(browser, "wi-command")
    clicked(browser, chip(browser, "engine", 1))
    assert "--engine vllm" in text(browser, "wi-command")
    assert "served by vllm 1.0" in text(browser, "wi-answer")
    clicked(browser, chip(browser, "engine", 0))
    assert "--engine" not in text(browser, "wi-command")
    clicked(browser, browser.find_elements(By.CSS_SELECTOR, "#wi-chart .hit")[2])
    assert "--workload agent" in text(browser, "wi-command")
    browser.execute_script("""
        const over = document.getElementById("wi-over");
        over.value = [...over.options].find((o) => o.text === "Devices").value;
        over.dispatchEvent(new Event("change"));""")
    told = browser.find_element(By.CSS_SELECTOR, "#wi-chart svg").get_attribute("aria-label")
    assert told.startswith("Tokens/s by Devices: 1 × jetson-orin-nano-8gb: ")
    assert told.count(" to ") == 3


def test_keys_move_every_kind_of_control(browser: Any, address: str) -> None:
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    opened(browser, address)
    browser.find_element(By.CSS_SELECTOR, "[name=wi-workload]:checked").send_keys(Keys.ARROW_RIGHT)
    assert "--workload chat" in text(browser, "wi-command")
    browser.switch_to.active_element.send_keys(Keys.TAB)
    slider = browser.switch_to.active_element
    assert slider.get_attribute("id") == "wi-tpot-ms"
    slider.send_keys(Keys.ARROW_RIGHT)
    assert slider.get_attribute("aria-valuetext") == "≤ 50 ms (20 tokens/s)"
    slider.send_keys(Keys.TAB)
    browser.switch_to.active_element.send_keys(Keys.END)
    assert "--tpot-ms 50 --devices 4" in text(browser, "wi-command")
    browser.switch_to.active_element.send_keys(Keys.TAB)
    browser.switch_to.active_element.send_keys("1.25")
    rate = text(browser, "wi-rate").replace(",", "")
    assert float(text(browser, "wi-usd-here")) == pytest.approx(
        1.25 * 4 * 1e6 / 3600 / float(rate), rel=0.01
    )


def test_a_screen_reader_hears_the_position_once_the_hand_rests(browser: Any, address: str) -> None:
    opened(browser, address)
    assert text(browser, "wi-said") == ""
    clicked(browser, chip(browser, "workload", 1))
    rate, users = text(browser, "wi-rate"), text(browser, "wi-users-here")
    until(browser, lambda d: text(d, "wi-said"))
    assert text(browser, "wi-said").startswith(f"{rate} tokens/s, ")
    assert f"{users} users, " in text(browser, "wi-said")
    assert "USD" not in text(browser, "wi-said")
    clicked(browser, chip(browser, "workload", 3))
    until(browser, lambda d: text(d, "wi-said").startswith("No plan: Memory: at least 9.0 GiB"))


def test_the_link_keeps_the_price_and_a_price_that_is_none_is_marked(
    browser: Any,
    address: str,
) -> None:
    from selenium.webdriver.common.by import By

    opened(browser, address)
    field = browser.find_element(By.ID, "wi-price")
    assert text(browser, "wi-usd-here") == "–"
    field.send_keys("3.5")
    shown = text(browser, "wi-usd-here")
    until(browser, lambda d: "price=3.5" in d.execute_script("return location.hash"))
    link = browser.execute_script("return location.hash")
    opened(browser, address, link)
    assert text(browser, "wi-usd-here") == shown
    field = browser.find_element(By.ID, "wi-price")
    assert field.get_attribute("aria-invalid") == "false"
    field.clear()
    field.send_keys("-2")
    assert field.get_attribute("aria-invalid") == "true"
    assert text(browser, "wi-usd-range") == "needs a price"
    clicked(browser, browser.find_element(By.ID, "wi-reset"))
    assert field.get_attribute("value") == ""
    assert text(browser, "wi-change") == "as the report's plan"
    for hostile in ("1e9", "<b>"):
        opened(browser, address, f"#price={hostile}")
        assert text(browser, "wi-usd-here") == "–"


@pytest.mark.parametrize(
    ("fragment", "said"),
    [
        (
            "workload=long",
            "Memory: at least 9.0 GiB of a device are needed, 5.0 GiB are usable: "
            "4.0 GiB are missing.",
        ),
        (
            "workload=agent&engine=llama.cpp",
            "The requests take 33,792 tokens, 1,024 more than the context of 32,768.",
        ),
        ("engine=llama.cpp&kv=bf16", "llama.cpp does not serve these formats or this cache here."),
        (
            "tpot-ms=12.5",
            "No layout keeps the limit on time per output token (≤ 12.5 ms (80 tokens/s)).",
        ),
        (
            "tpot-ms=12.5&max-loss=bf16",
            "These limits contradict each other: loss limit, time per output token.",
        ),
    ],
)
def test_what_has_no_plan_names_its_limit_and_the_closest_that_has(
    browser: Any, address: str, fragment: str, said: str
) -> None:
    from selenium.webdriver.common.by import By

    opened(browser, address, f"#{fragment}")
    assert text(browser, "wi-rate") == "No plan"
    assert text(browser, "wi-range") == said
    ways = browser.find_elements(By.CSS_SELECTOR, "#wi-moves button")
    assert ways
    clicked(browser, ways[0])
    assert text(browser, "wi-rate") != "No plan"
    assert browser.execute_script("return document.activeElement.closest('.wi-controls') !== null")


def test_where_no_single_control_helps_the_closest_position_of_all_is_named(
    browser: Any, tmp_path: Path
) -> None:
    grid, axes = made.grid(), made.axes()
    last = tuple(len(axis) - 1 for axis in axes)
    kept = {0, len(grid.points) - 1}
    only = next(p for p in grid.points if isinstance(p, PlannedPoint))
    alone = replace(
        grid,
        points=tuple(
            only if n in kept else InfeasiblePoint("layout") for n in range(len(grid.points))
        ),
    )
    path = tmp_path / "alone.html"
    path.write_text(
        page(small.plan(), around=interactive(alone, small.plan(), "en")), encoding="utf-8"
    )
    opened(browser, path.as_uri(), "#workload=long&tpot-ms=12.5&engine=llama.cpp&devices=2")
    assert text(browser, "wi-range") == "The model does not divide over 2 × jetson-orin-nano-8gb."
    assert text(browser, "wi-moves") == (
        "Closest positions with a plan: Devices 4 × jetson-orin-nano-8gb, "
        "Cache layout bf16 everywhere"
    )
    browser.execute_script("document.querySelector('#wi-moves button').click()")
    assert text(browser, "wi-rate") != "No plan"
    flags = [axis.flags[n] for axis, n in zip(axes, last, strict=True)]
    assert text(browser, "wi-command").endswith(" ".join(filter(None, flags)))


def test_the_command_is_copied_or_at_least_selected(browser: Any, address: str) -> None:
    from selenium.webdriver.common.by import By

    opened(browser, address, "#workload=chat")
    browser.execute_script("""
        Object.defineProperty(navigator, "clipboard", {value: {writeText(text) {
          window.copied = text; return Promise.resolve(); }}, configurable: true});""")
    clicked(browser, browser.find_element(By.ID, "wi-copy"))
    until(browser, lambda d: text(d, "wi-copied"))
    command = text(browser, "wi-command")
    assert browser.execute_script("return window.copied") == command
    assert shlex.split(command)[:2] == ["plan", "qwen2.5-0.5b"]
    opened(browser, address, "#workload=chat")
    browser.execute_script(
        'Object.defineProperty(navigator, "clipboard", {value: undefined, configurable: true});'
    )
    clicked(browser, browser.find_element(By.ID, "wi-copy"))
    until(browser, lambda d: text(d, "wi-copied"))
    assert browser.execute_script("return String(getSelection())").strip() == command


def test_print_holds_the_chosen_position_and_no_other(browser: Any, address: str) -> None:
    opened(browser, address, "#workload=chat&devices=4&price=2.5")
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        seen = browser.execute_script("""
            return [...document.querySelectorAll("#what-if .chip, #what-if input, #what-if output")]
              .filter((node) => node.checkVisibility() && node.type !== "radio")
              .map((node) => node.value || node.textContent.trim());""")
        assert seen == [
            "chat 1,024 → 1,024",
            "no limit",
            "4 × jetson-orin-nano-8gb",
            "2.5",
            "as uniform int8-w8a8",
            "not named",
            "searched",
        ]
        assert (
            browser.execute_script("return document.getElementById('wi-copy').checkVisibility()")
            is False
        )
    finally:
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "screen"})


@pytest.mark.parametrize("width", [390, 768])
def test_every_control_fits_the_screen(browser: Any, address: str, width: int) -> None:
    opened(browser, address, "#workload=chat&price=2.5")
    screen(browser, width=width)
    try:
        assert browser.execute_script("return document.documentElement.scrollWidth") <= width
        small_ones = browser.execute_script("""
            return [...document.querySelectorAll("#what-if .wi-chips label, #what-if button")]
              .filter((node) => node.checkVisibility())
              .filter((node) => node.getBoundingClientRect().height < 24).length;""")
        assert small_ones == 0
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@pytest.mark.sample(3)
@pytest.mark.parametrize(
    "fragment",
    [
        "workload=chat&engine=vllm&devices=4&price=2.5",
        "workload=long",
        "workload=agent&engine=llama.cpp",
        "tpot-ms=12.5&max-loss=bf16",
        "engine=llama.cpp&kv=bf16",
    ],
)
def test_the_chinese_page_has_no_english_left_wherever_it_stands(
    browser: Any, tmp_path: Path, fragment: str
) -> None:
    path = tmp_path / "zh.html"
    path.write_text(made.html("zh"), encoding="utf-8")
    opened(browser, path.as_uri(), f"#{fragment}")
    browser.execute_script("document.getElementById('wi-copy').click()")
    until(browser, lambda d: text(d, "wi-copied"))
    shown = str(browser.execute_script("return document.getElementById('what-if').outerHTML"))
    assert latin_texts(shown) == []
