"""Build the distribution once; install the wheel once a Python version, outside the checkout.

Two processes share the tests, and what either has built or installed.
"""

import fcntl
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support.examples import thorough
from support.wheels import (
    ROOT,
    RUNNING,
    VERSIONS,
    Distributions,
    Installed,
    checked,
    interpreter,
    pip,
)

PIN = re.compile(r"^[\w.-]+==[^ \\]+", re.MULTILINE)
QUESTIONS = ROOT / "tests" / "support" / "twenty_questions.py"
ASKED = tuple(map(str, range(20) if thorough() else (3, 8)))
"""Questions by their numbers, all in `make exhaustive`."""

BUILD = """
import sys, tarfile
from pathlib import Path
from build import ProjectBuilder
from build.env import DefaultIsolatedEnv

root, folder = Path(sys.argv[1]), Path(sys.argv[2])
with DefaultIsolatedEnv() as environment:
    def builder(source):
        return ProjectBuilder.from_isolated_env(environment, source)

    environment.install(builder(root).build_system_requires)
    sdist = builder(root).build("sdist", folder / "dist")
    builder(root).build("wheel", folder / "straight")
    with tarfile.open(sdist) as archive:
        archive.extraction_filter = getattr(tarfile, "data_filter", None)  # from 3.11.4
        archive.extractall(folder / "unpacked")
    (unpacked,) = (folder / "unpacked").iterdir()
    builder(unpacked).build("wheel", folder / "dist")
"""
"""What `python -m build` does, with one isolated environment for all three."""


@pytest.fixture(scope="session")
def asked() -> tuple[str, ...]:
    """The questions whose answers are compared."""
    return ASKED


@pytest.fixture(scope="session")
def answers(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Hashes of the answers to the questions that are asked, from the checkout."""

    def ask(folder: Path) -> None:
        done = checked([sys.executable, str(QUESTIONS), *ASKED], folder)
        (folder / "answers").write_text(done.stdout, encoding="utf-8")

    folder = once(tmp_path_factory, "answers", ask)
    return (folder / "answers").read_text(encoding="utf-8").split()


@pytest.fixture(scope="session")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Distributions:
    """Build the sdist, a wheel from that sdist, and a wheel straight from the checkout."""

    def build(folder: Path) -> None:
        checked([sys.executable, "-c", BUILD, str(ROOT), str(folder)], folder)

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


@pytest.fixture(
    scope="session",
    params=[
        pytest.param(v, marks=() if v == RUNNING else pytest.mark.exhaustive) for v in VERSIONS
    ],
)
def installed(
    request: pytest.FixtureRequest,
    distributions: Distributions,
    tmp_path_factory: pytest.TempPathFactory,
) -> Installed:
    """A fresh environment of each Python version with the wheel and its dependencies, in the
    versions of that Python's lock where it has one. `make test` has the running version alone."""
    version: str = request.param
    python, reasons = interpreter(version)
    if python is None:
        pytest.skip(f"no working Python {version}: " + ("; ".join(reasons) or "none found"))

    def install(home: Path) -> None:
        checked([python, "-m", "venv", "--without-pip", str(home / "venv")], home)
        lock = ROOT / ".ci" / "lock" / f"python{version}.txt"
        text = lock.read_text(encoding="utf-8") if lock.is_file() else ""
        (home / "versions").write_text("".join(f"{pin}\n" for pin in PIN.findall(text)))
        checked(
            [
                *pip(home / "venv" / "bin"),
                "install",
                "--quiet",
                "--no-compile",
                "-c",
                str(home / "versions"),
                str(distributions.wheel),
            ],
            home,
        )

    home = once(tmp_path_factory, f"venv-{version}", install)
    return Installed(version, home / "venv" / "bin", tmp_path_factory.mktemp(f"empty-{version}"))
