"""Build the distribution once; install the wheel once a Python version, outside the checkout.

Two processes share the tests, and what either has built or installed.
"""

import fcntl
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support.wheels import ROOT, VERSIONS, Distributions, Installed, checked, interpreter


@pytest.fixture(scope="session")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Distributions:
    """Build the sdist, a wheel from that sdist, and a wheel straight from the checkout."""
    def build(folder: Path) -> None:
        command = [sys.executable, "-m", "build"]
        checked([*command, "--outdir", str(folder / "dist"), str(ROOT)], folder)
        checked([*command, "--wheel", "--outdir", str(folder / "straight"), str(ROOT)], folder)

    folder = once(tmp_path_factory, "distributions", build)
    through, straight = folder / "dist", folder / "straight"
    (sdist,), (wheel,) = through.glob("*.tar.gz"), through.glob("*.whl")
    (checkout_wheel,) = straight.glob("*.whl")
    return Distributions(sdist, wheel, checkout_wheel)


def once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """A folder of this run that ``make`` filled, in whichever of its processes came first."""
    base = factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / name
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the other process may be at it: wait for it
        if not (folder / "made").exists():
            make(folder)
            (folder / "made").touch()
    return folder


@pytest.fixture(scope="session", params=VERSIONS)
def installed(request: pytest.FixtureRequest, distributions: Distributions,
              tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """A fresh environment of each Python version with the wheel and its dependencies."""
    version: str = request.param
    python, reasons = interpreter(version)
    if python is None:
        pytest.skip(f"no working Python {version}: " + ("; ".join(reasons) or "none found"))

    def install(home: Path) -> None:
        checked([python, "-m", "venv", str(home / "venv")], home)
        checked([str(home / "venv" / "bin" / "python"), "-m", "pip", "install", "--quiet",
                 "--no-compile", "--disable-pip-version-check", str(distributions.wheel)], home)

    home = once(tmp_path_factory, f"venv-{version}", install)
    return Installed(version, home / "venv" / "bin", tmp_path_factory.mktemp(f"empty-{version}"))
