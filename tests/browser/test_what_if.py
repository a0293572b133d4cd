"""The what-if page in a browser: sliders, keys, links, speed; the command line says the same."""

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support import what_if as small
from support.browser import PATIENT_SECONDS, chromium, opened, screen, text

from planner.cli.main import run
from planner.report import words

pytestmark = pytest.mark.browser
NODES = 400
CHANGES = 120
"""Nodes of the page that one move may write anew: an answer is looked up and filled in."""
MOVE = """
const slider = document.getElementById(arguments[0]);
const begun = performance.now();
slider.value = arguments[1];
slider.dispatchEvent(new Event("input", { bubbles: true }));
document.getElementById("what-if").getBoundingClientRect();
return performance.now() - begun;
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as driver:
        yield driver


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(small.html(), encoding="utf-8")
    return path.as_uri()


def settings(browser: Any) -> dict[str, str]:
    """The link's fragment once it has settled."""
    from selenium.webdriver.support.ui import WebDriverWait

    command = text(browser, "wi-command")
    WebDriverWait(browser, PATIENT_SECONDS).until(
        lambda d: "context=" in d.execute_script("return location.hash")
    )
    pairs = str(browser.execute_script("return location.hash"))[1:].split("&")
    assert text(browser, "wi-command") == command
    return dict(pair.split("=") for pair in pairs)


def answer(command: str, capfd: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """What the command line answers."""
    assert run([*shlex.split(command)[1:], "--json", "--quiet"]) == 0
    return dict(json.loads(capfd.readouterr().out))


def test_it_opens_at_the_plan_of_the_report(browser: Any, address: str) -> None:
    opened(browser, address)
    perf = small.plan().performance
    assert text(browser, "wi-rate") == words.three_digits(perf.output_tokens_per_second.value)
    assert text(browser, "wi-change") == "as the report's plan"
    assert [entry for entry in browser.get_log("browser") if entry["level"] != "INFO"] == []


def test_a_moved_slider_answers_as_the_command_line(
    browser: Any, address: str, capfd: pytest.CaptureFixture[str]
) -> None:
    opened(browser, address)
    for slider, position in (("wi-batch", 1), ("wi-devices", 1), ("wi-max-loss", 0)):
        browser.execute_script(MOVE, slider, position)
    command = text(browser, "wi-command")
    assert all(flag in command for flag in ("--batch 8", "--devices 2", "--max-loss bf16"))
    told = answer(command, capfd)
    perf, memory = told["performance"], told["memory_per_device"]
    rate = perf["output_tokens_per_second"]
    assert text(browser, "wi-rate") == words.three_digits(rate["value"])
    assert text(browser, "wi-range").startswith(
        f"{words.three_digits(rate['low'])} – {words.three_digits(rate['high'])}, {rate['basis']}; "
    )
    assert text(browser, "wi-tpot-here") == " ".join(words.seconds(perf["tpot_seconds"]["value"]))
    assert text(browser, "wi-ttft-here") == " ".join(words.seconds(perf["ttft_seconds"]["value"]))
    assert f"{memory['total_bytes'] / 2**30:.1f} of" in text(browser, "wi-memory-title")
    assert text(browser, "wi-loss-here") == words.loss(told["quality"]["loss"])
    assert text(browser, "wi-change") != "as the report's plan"


def test_keys_move_sliders_and_choices(browser: Any, address: str) -> None:
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    opened(browser, address)
    slider = browser.find_element(By.ID, "wi-batch")
    before = text(browser, "wi-rate")
    slider.send_keys(Keys.ARROW_RIGHT)
    assert slider.get_attribute("aria-valuetext") == "8"
    assert text(browser, "wi-batch-value") == "8"
    assert text(browser, "wi-rate") != before
    slider.send_keys(Keys.END)
    assert slider.get_attribute("aria-valuetext").startswith("256")
    slider.send_keys(Keys.HOME)
    assert text(browser, "wi-rate") == before
    browser.find_element(By.CSS_SELECTOR, "input[name=wi-kv]:checked").send_keys(Keys.ARROW_DOWN)
    assert "--kv bf16" in text(browser, "wi-command")


def test_the_link_keeps_the_settings(browser: Any, address: str) -> None:
    opened(browser, address)
    browser.execute_script(MOVE, "wi-batch", 1)
    browser.execute_script(MOVE, "wi-context", 0)
    found = settings(browser)
    assert found["batch"] == "8"
    rate = text(browser, "wi-rate")
    link = browser.execute_script("return location.hash")
    opened(browser, address, link)
    assert text(browser, "wi-rate") == rate
    assert browser.execute_script("return document.getElementById('wi-batch').value") == "1"
    browser.execute_script("location.hash = '#batch=auto&devices=2'")
    assert "--devices 2" in settings_after(browser, "--devices 2")
    browser.execute_script("document.getElementById('wi-reset').click()")
    assert text(browser, "wi-change") == "as the report's plan"


def settings_after(browser: Any, wanted: str) -> str:
    """The command once it holds ``wanted``."""
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(browser, PATIENT_SECONDS).until(lambda d: wanted in text(d, "wi-command"))
    return text(browser, "wi-command")


@pytest.mark.parametrize(
    "fragment",
    [
        "#batch=9&context=-1",
        "#batch=%3Cscript%3Ealert(1)%3C/script%3E",
        "#what-if",
        "#%E0%A4%A",
        "#__proto__=1&constructor=2",
        "#context=4096'\"><img src=x onerror=alert(1)>",
        "#batch=" + "8" * 5000,
        "#&&&===",
    ],
)
def test_hostile_fragments_change_nothing(browser: Any, address: str, fragment: str) -> None:
    opened(browser, address, fragment)
    assert text(browser, "wi-change") == "as the report's plan"
    assert browser.execute_script("return document.querySelectorAll('#what-if img').length") == 0
    assert [e for e in browser.get_log("browser") if e["level"] == "SEVERE"] == []


def test_a_position_without_a_plan_names_its_limit_and_the_way_out(
    browser: Any,
    address: str,
) -> None:
    opened(browser, address)
    refused = next(p for p in small.grid().points if getattr(p, "limit", "") == "memory")
    browser.execute_script(MOVE, "wi-context", 1)
    browser.execute_script(MOVE, "wi-batch", 2)
    said = text(browser, "wi-range")
    assert said.startswith("Memory: at least ")
    assert f"{refused.have / 2**30:.1f} GiB are usable" in said
    needed, usable, missing = (float(n) for n in re.findall(r"([\d.]+) GiB", said))
    assert missing == pytest.approx(needed - usable, abs=0.11)
    assert text(browser, "wi-rate") == "No plan"
    label = browser.execute_script(
        "return document.getElementById('wi-batch').getAttribute('aria-valuetext')"
    )
    assert label == "256: no plan"
    browser.execute_script("document.querySelector('#wi-moves button').click()")
    assert text(browser, "wi-rate") != "No plan"
    assert text(browser, "wi-moves") == ""


COUNTED_MOVE = """
const changed = [];
const watch = new MutationObserver(seen => changed.push(...seen));
watch.observe(document.body, {subtree: true, childList: true, attributes: true,
                              characterData: true});
const begun = performance.now();
const slider = document.getElementById(arguments[0]);
slider.value = arguments[1];
slider.dispatchEvent(new Event("input", { bubbles: true }));
document.getElementById("what-if").getBoundingClientRect();
const took = performance.now() - begun;
changed.push(...watch.takeRecords());
watch.disconnect();
return [changed.length, took];
"""


def test_answers_are_looked_up_and_little_is_written_anew(browser: Any, address: str) -> None:
    opened(browser, address)
    moves = [
        browser.execute_script(COUNTED_MOVE, slider, position)
        for position in (1, 0, 1, 0)
        for slider in ("wi-context", "wi-batch", "wi-devices", "wi-max-loss")
    ]
    changes, times = ([move[n] for move in moves] for n in range(2))
    nodes = browser.execute_script("return document.querySelectorAll('#what-if *').length")
    print(
        f"answers of {len(times)} moves, layout included: median "
        f"{sorted(times)[len(times) // 2]:.1f} ms, slowest {max(times):.1f} ms; "
        f"{max(changes)} changes at most; {nodes} nodes"
    )
    assert nodes < NODES
    assert 0 < max(changes) < CHANGES


def test_nothing_is_requested(browser: Any, address: str) -> None:
    opened(browser, address)
    browser.execute_script(MOVE, "wi-batch", 1)
    settings(browser)
    asked = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    urls = {
        m["params"]["request"]["url"].partition("#")[0]
        for m in asked
        if m["method"] == "Network.requestWillBeSent"
    }
    assert urls <= {address, "about:blank"}
    blocked = browser.execute_async_script(
        "fetch('http://127.0.0.1:9/').then(() => arguments[0](false), () => arguments[0](true))"
    )
    assert blocked


def test_without_script_the_report_is_all_there(browser: Any, address: str) -> None:
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        opened(browser, address)
        from selenium.webdriver.common.by import By

        main = browser.find_element(By.TAG_NAME, "main")
        body, every = main.text, main.get_attribute("textContent")
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
    assert "The what-if page needs script." in body
    assert "Module by module" not in body, "it is folded"
    assert "Module by module" in every
    assert "Arrow keys move a slider" not in body


@pytest.mark.parametrize("width", [390, 768, 1280])
def test_nothing_is_wider_than_the_screen(browser: Any, address: str, width: int) -> None:
    opened(browser, address)
    screen(browser, width=width)
    try:
        assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_the_chinese_page_works(browser: Any, tmp_path: Path) -> None:
    path = tmp_path / "zh.html"
    path.write_text(small.html("zh"), encoding="utf-8")
    opened(browser, path.as_uri())
    assert text(browser, "wi-change") == "与报告方案相同"
    browser.execute_script(MOVE, "wi-context", 1)
    browser.execute_script(MOVE, "wi-batch", 2)
    assert text(browser, "wi-range").startswith("显存不足。")
