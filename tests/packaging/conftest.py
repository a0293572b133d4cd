"""Build the distribution once; install the wheel once a Python version, outside the checkout."""

import sys

import pytest
from support.wheels import ROOT, VERSIONS, Distributions, Installed, checked, interpreter


@pytest.fixture(scope="session")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Distributions:
    """Build the sdist, a wheel from that sdist, and a wheel straight from the checkout."""
    through, straight = tmp_path_factory.mktemp("dist"), tmp_path_factory.mktemp("straight")
    build = [sys.executable, "-m", "build"]
    checked([*build, "--outdir", str(through), str(ROOT)], through)
    checked([*build, "--wheel", "--outdir", str(straight), str(ROOT)], straight)
    (sdist,), (wheel,) = through.glob("*.tar.gz"), through.glob("*.whl")
    (checkout_wheel,) = straight.glob("*.whl")
    return Distributions(sdist, wheel, checkout_wheel)


@pytest.fixture(scope="session", params=VERSIONS)
def installed(request: pytest.FixtureRequest, distributions: Distributions,
              tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """A fresh environment of each Python version with the wheel and its dependencies."""
    version: str = request.param
    python, reasons = interpreter(version)
    if python is None:
        pytest.skip(f"no working Python {version}: " + ("; ".join(reasons) or "none found"))
    home = tmp_path_factory.mktemp(f"venv-{version}")
    checked([python, "-m", "venv", str(home / "venv")], home)
    binaries = home / "venv" / "bin"
    checked([str(binaries / "python"), "-m", "pip", "install", "--quiet",
             "--disable-pip-version-check", str(distributions.wheel)], home)
    return Installed(version, binaries, tmp_path_factory.mktemp(f"empty-{version}"))
