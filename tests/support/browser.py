"""A headless Chromium for tests, and what they take from the npm registry; or why there is none.

The driver is Debian's chromedriver, named by its path: nothing is downloaded for it. Packages of
the npm registry are kept in ``out/npm``, which git ignores.
"""

import base64
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

import pytest

from support.wheels import ROOT

PACKAGES = ROOT / "out" / "npm"
AXE = "axe-core@4.11.0"
HTML_VALIDATE = "html-validate@9.0.0"
ARGUMENTS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--window-size=1280,900",
)


PATIENT_SECONDS = 3600
"""Selenium cannot wait for ever; on the slowest machine nothing takes as long."""


def needed(name: str, *, package: str) -> str:
    """The path of a program; the test is skipped where it is not installed."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed (Debian: {package})")
    return found


@contextmanager
def chromium() -> Iterator[Any]:
    """A driver with a fresh profile."""
    browser = needed("chromium", package="chromium")
    driver = needed("chromedriver", package="chromium-driver")
    from selenium.webdriver import Chrome, ChromeOptions
    from selenium.webdriver.chrome.service import Service

    options = ChromeOptions()
    options.binary_location = browser
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        for argument in (*ARGUMENTS, f"--user-data-dir={profile}"):
            options.add_argument(argument)
        made = Chrome(
            options=options,
            service=Service(
                driver, log_output=subprocess.DEVNULL, env={**os.environ, "HOME": profile}
            ),
        )
        made.set_script_timeout(PATIENT_SECONDS)
        made.set_page_load_timeout(PATIENT_SECONDS)
        try:
            yield made
        finally:
            made.quit()


def screen(driver: Any, *, width: int = 1280, scheme: str = "light") -> None:
    """Set the width of the viewport and the preferred colour scheme."""
    driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500},
    )
    driver.execute_cdp_cmd(
        "Emulation.setEmulatedMedia",
        {"features": [{"name": "prefers-color-scheme", "value": scheme}]},
    )


def picture(driver: Any, path: Path) -> None:
    """Keep a screenshot of the viewport."""
    found = driver.execute_cdp_cmd("Page.captureScreenshot", {})
    path.write_bytes(base64.b64decode(found["data"]))


NPM = (
    "--fetch-retries=0",
    "--fetch-timeout=20000",
    "--no-update-notifier",
    "--no-audit",
    "--no-fund",
    "--silent",
)
"""One attempt at the registry; one that does not answer within 20 s is not there."""


@cache
def npm_package(name: str) -> Path:
    """The folder of a package without its dependencies; skips where npm or the registry is not
    there."""
    npm = needed("npm", package="npm")
    folder = PACKAGES / name
    if not folder.is_dir():
        with tempfile.TemporaryDirectory() as made:
            _attempted(name)
            done = subprocess.run(
                [npm, "pack", name, *NPM], cwd=made, capture_output=True, check=False
            )
            files = list(Path(made).glob("*.tgz"))
            if done.returncode or not files:
                _unreachable(f"npm pack {name}")
            with tarfile.open(files[0]) as archive:
                archive.extraction_filter = getattr(tarfile, "data_filter", None)  # from 3.11.4
                archive.extractall(Path(made) / "whole")
            _moved(Path(made) / "whole" / "package", folder)
    return folder


@cache
def npm_installed(name: str) -> Path:
    """The folder in which a package and its dependencies are installed; skips as above."""
    npm = needed("npm", package="npm")
    folder = PACKAGES / f"{name}-installed"
    if not folder.is_dir():
        with tempfile.TemporaryDirectory() as made:
            _attempted(name)
            done = subprocess.run(
                [npm, "install", name, "--prefix", made, "--ignore-scripts", *NPM],
                capture_output=True,
                check=False,
            )
            if done.returncode:
                _unreachable(f"npm install {name}")
            _moved(Path(made), folder)
    return folder


_failed: list[str] = []


def _attempted(name: str) -> None:
    """Skip where an attempt of this process has failed: one is enough for all that npm brings."""
    if _failed:
        pytest.skip(f"{name} was not tried: {_failed[0]}")


def _unreachable(what: str) -> NoReturn:
    """Remember the failure, and skip with its reason."""
    _failed.append(f"{what} failed: the npm registry cannot be reached")
    pytest.skip(_failed[0])


def _moved(made: Path, folder: Path) -> None:
    """Put a folder in place whole: a run that is stopped leaves none behind, and of two processes
    that make it at once the first one's stays."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    beside = folder.with_name(f".{folder.name}.{os.getpid()}")
    shutil.copytree(made, beside, symlinks=True)
    try:
        beside.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise
        shutil.rmtree(beside)


def opened(browser: Any, address: str, fragment: str = "") -> Any:
    """The page, loaded anew; what was logged before is gone."""
    browser.get("about:blank")
    for kind in ("browser", "performance"):
        browser.get_log(kind)
    browser.get(address + fragment)
    return browser


def text(browser: Any, name: str) -> str:
    """The text of the element of an id, as it stands."""
    return str(
        browser.execute_script("return document.getElementById(arguments[0]).textContent", name)
    )
