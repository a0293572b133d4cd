"""What drives the controls of the what-if page, and what it shows at each position."""

from typing import Any

from planner.report import words
from support.browser import PATIENT_SECONDS

READ = """
const [axes, ids, price] = arguments;
const element = (id) => document.getElementById(id);
const field = element("wi-price");
field.value = price;
field.dispatchEvent(new Event("input", { bubbles: true }));
const set = (name, value) => {
  const slider = element("wi-" + name);
  if (!slider) {
    const choice = document.getElementsByName("wi-" + name)[value];
    if (choice && !choice.checked) choice.click();
  } else if (slider.value !== String(value)) {
    slider.value = value;
    slider.dispatchEvent(new Event("input", { bubbles: true }));
  }
};
const found = [];
const visit = (n) => {
  if (n === axes.length) {
    found.push(ids.map((id) => element(id).textContent));
    return;
  }
  for (let value = 0; value < axes[n][1]; value += 1) {
    set(axes[n][0], value);
    visit(n + 1);
  }
};
visit(0);
return found;
"""
"""What the page shows at each position in turn, set by its controls."""

IDS = (
    "wi-rate",
    "wi-range",
    "wi-tpot-here",
    "wi-ttft-here",
    "wi-loss-here",
    "wi-users-here",
    "wi-used-here",
    "wi-usd-here",
    "wi-usd-range",
    "wi-joules-here",
    "wi-rate-change",
    "wi-answer",
    "wi-command",
)


def chip(browser: Any, axis: str, value: int) -> Any:
    """The label of a choice, which is what a mouse hits."""
    from selenium.webdriver.common.by import By

    return browser.find_elements(By.CSS_SELECTOR, f"[data-axis='{axis}'] .wi-chips label")[value]


def clicked(browser: Any, node: Any) -> None:
    """A real click in the middle of an element."""
    from selenium.webdriver.common.action_chains import ActionChains

    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", node)
    ActionChains(browser).move_to_element(node).click().perform()


def until(browser: Any, condition: Any) -> None:
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(browser, PATIENT_SECONDS).until(condition)


def dollars(value: float) -> str:
    """USD to three figures, as the page writes them."""
    return words.count(round(value)) if value >= 999.5 else f"{value:#.3g}".rstrip(".")
