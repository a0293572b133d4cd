"""The installed wheel answers outside the checkout, on each supported Python that is here."""

import json
import re

import pytest
from support.wheels import ROOT, Installed, checked, pip

QUESTION = ["deepseek-v3", "h100-sxm", "--context", "131072", "--json"]


def plan(installed: Installed, *arguments: str) -> str:
    return checked([str(installed.bin / "plan"), *arguments], installed.empty).stdout


def test_the_package_comes_from_the_wheel(installed: Installed) -> None:
    where = checked(
        [
            str(installed.bin / "python"),
            "-c",
            "import planner, sys; print(planner.__file__); print(sys.version)",
        ],
        installed.empty,
    ).stdout.splitlines()
    assert where[0].startswith(str(installed.bin.parent))
    assert not where[0].startswith(str(ROOT))
    assert where[1].startswith(installed.version + ".")


def test_the_version_is_that_of_the_metadata_and_of_the_changelog(installed: Installed) -> None:
    said = plan(installed, "--version").splitlines()[0]
    held = checked(
        [
            str(installed.bin / "python"),
            "-W",
            "error",
            "-c",
            "import importlib.metadata as m, planner\n"
            "print(m.version('precision-planner'), planner.__version__)",
        ],
        installed.empty,
    )
    newest = re.search(r"^## (\d+\.\d+\.\d+) \(", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.M)
    assert newest is not None
    assert said == f"plan, version {newest[1]}"
    assert held.stdout.split() == [newest[1], newest[1]]


def test_help(installed: Installed) -> None:
    assert "Usage" in plan(installed, "--help")


def test_the_module_is_the_command(installed: Installed) -> None:
    by_module = checked([str(installed.bin / "python"), "-m", "planner", "--help"], installed.empty)
    assert by_module.stdout.splitlines()[2:] == plan(installed, "--help").splitlines()[2:]


def test_devices(installed: Installed) -> None:
    listed = plan(installed, "devices")
    packaged = [
        path.stem for path in (ROOT / "hardware_profiles").glob("*.toml") if path.stem != "aliases"
    ]
    assert len(packaged) == 54
    assert [name for name in packaged if name not in listed] == []


def test_the_main_job(installed: Installed) -> None:
    answer = json.loads(plan(installed, *QUESTION))
    assert answer["schema_version"] == "3"
    assert answer["model"]["id"] == "deepseek-v3"
    assert answer["device"]["id"] == "h100-sxm"
    assert answer["workload"]["context_tokens"] == 131072
    assert answer["units"]


QUESTIONS = str(ROOT / "tests" / "support" / "twenty_questions.py")


@pytest.mark.exhaustive
def test_answers_have_the_same_bytes_under_every_lock(
    installed: Installed, asked: tuple[str, ...], answers: list[str]
) -> None:
    """Neither the versions of numpy and HiGHS nor that of Python decide between choices."""
    done = checked([str(installed.bin / "python"), QUESTIONS, *asked], installed.empty)
    assert len(set(answers)) == len(asked) >= 5
    assert done.stdout.split() == answers


def test_the_first_questions_have_the_bytes_of_the_checkout(
    installed: Installed, asked: tuple[str, ...], answers: list[str]
) -> None:
    done = checked([str(installed.bin / "python"), QUESTIONS, *asked[:2]], installed.empty)
    assert done.stdout.split() == answers[:2]


def test_nothing_is_written_where_it_runs(installed: Installed) -> None:
    plan(installed, *QUESTION)
    assert list(installed.empty.iterdir()) == []


def test_what_it_needs_is_declared(installed: Installed) -> None:
    checked([*pip(installed.bin), "check"], installed.empty)
