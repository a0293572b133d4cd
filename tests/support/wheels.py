"""Finding interpreters and running commands as a user would, away from the checkout."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RUNNING = f"{sys.version_info.major}.{sys.version_info.minor}"
VERSIONS = sorted({"3.11", "3.13", RUNNING})
_PROBE = "import ensurepip, sys, venv; print('%d.%d' % sys.version_info[:2])"
_NOT_INHERITED = ("PYTHONPATH", "PYTHONHOME", "PIP_USER", "VIRTUAL_ENV", "PLAN_HARDWARE_PATH")


def clean_environment() -> dict[str, str]:
    """This process's environment without what would lead back to the checkout."""
    return {k: v for k, v in os.environ.items() if k not in _NOT_INHERITED}


def call(command: list[str], cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run ``command`` in ``cwd`` with no input and capture both streams."""
    return subprocess.run(
        command,
        cwd=cwd,
        env=clean_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def checked(command: list[str], cwd: Path) -> subprocess.CompletedProcess[str]:
    """As ``call``, and fail with the output where the exit status is not 0."""
    done = call(command, cwd)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done


def pip(bin: Path) -> list[str]:
    """This interpreter's pip, at work in the environment whose programs are in ``bin``."""
    return [
        sys.executable,
        "-m",
        "pip",
        "--disable-pip-version-check",
        "--python",
        str(bin / "python"),
    ]


def interpreter(version: str) -> tuple[str | None, list[str]]:
    """A Python of ``version`` that runs and can make environments, and why the others cannot.

    Looked for: the running one, every folder of PATH, and the versions that pyenv keeps.
    """
    name = f"python{version}"
    candidates = [Path(sys.executable)] if version == RUNNING else []
    candidates += [Path(folder, name) for folder in os.environ.get("PATH", "").split(os.pathsep)]
    for root in (os.environ.get("PYENV_ROOT", ""), os.path.expanduser("~/.pyenv")):
        candidates += sorted(Path(root or ".", "versions").glob(f"{version}.*/bin/{name}"))
    reasons: list[str] = []
    for candidate in candidates:
        if not candidate.is_file():
            continue
        probe = call([str(candidate), "-c", _PROBE], Path.cwd())
        if probe.returncode == 0 and probe.stdout.strip() == version:
            return str(candidate), reasons
        said = (probe.stderr or probe.stdout).strip().splitlines()
        reasons.append(f"{candidate}: {said[-1] if said else 'no output'}")
    return None, reasons


@dataclass(frozen=True)
class Distributions:
    """The built files: the sdist, the wheel made from it, and the wheel made from the checkout."""

    sdist: Path
    wheel: Path
    checkout_wheel: Path


@dataclass(frozen=True)
class Installed:
    """An environment with the wheel in it, and an empty folder to run in."""

    version: str
    bin: Path
    empty: Path
