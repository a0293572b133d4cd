"""What all tests share: the phase that a folder belongs to, how random examples are drawn, and what
is left to `make exhaustive`."""

import gc
import os
from collections import defaultdict
from pathlib import Path
from tempfile import gettempdir
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

HERE = Path(__file__).resolve().parent
PHASE_FOLDERS = ("numerics", "notebooks", "packaging")
LEFT = pytest.StashKey[int]()
"""How many of the selected tests are left to `make exhaustive`."""

# Deadlines and the check of the seconds that drawing takes are off because a busy machine must not
# fail a correct test. The default profile draws the same examples in every run; `make exhaustive`
# draws many new ones.
settings.register_profile(
    "steady", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile(
    "exhaustive", settings.get_profile("steady"), derandomize=False, max_examples=2000
)
settings.load_profile("steady")

# Answers are those without settings of the user, without what was measured on a machine, and
# without what was read of the hub; matplotlib keeps its own files there.
os.environ["XDG_CONFIG_HOME"] = str(Path(gettempdir()) / "precision-planner-tests")
os.environ["XDG_DATA_HOME"] = str(
    Path(gettempdir()) / "precision-planner-tests" / "nothing-learned"
)
os.environ["XDG_CACHE_HOME"] = str(Path(gettempdir()) / "precision-planner-tests" / "cache")
gc.set_threshold(50_000, 20, 20)  # by default 3 % of the seconds of a test run are its


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> Any:
    """Mark the tests of a phase's folder, so that `-m numerics` selects tests/numerics. Of what is
    selected then, leave to `make exhaustive` the tests marked exhaustive, and of those marked
    ``sample(n)`` all cases but n, spread over the list: the same ones in every run."""
    for item in items:
        folder = item.path.relative_to(HERE).parts[0] if item.path.is_relative_to(HERE) else ""
        if folder in PHASE_FOLDERS:
            item.add_marker(folder)
    yield
    if config.getoption("--hypothesis-profile") != "exhaustive":
        left = left_out(items)
        config.stash[LEFT] = len(left)
        if left:
            config.hook.pytest_deselected(items=left)
            items[:] = [item for item in items if item not in left]


def left_out(items: list[pytest.Item]) -> set[pytest.Item]:
    """Those of ``items`` that only `make exhaustive` runs."""
    left = {item for item in items if item.get_closest_marker("exhaustive")}
    cases: dict[tuple[Path, str], list[pytest.Item]] = defaultdict(list)
    for item in items:
        if item not in left and item.get_closest_marker("sample"):
            cases[item.path, item.nodeid.partition("[")[0]].append(item)
    for same in cases.values():
        marker = same[0].get_closest_marker("sample")
        assert marker is not None
        (most,) = marker.args
        taken = {i * len(same) // most for i in range(most)} if most < len(same) else None
        left |= {one for i, one in enumerate(same) if taken is not None and i not in taken}
    return left


def pytest_collection_finish(session: pytest.Session) -> None:
    """Some 100,000 objects of the collection live to the end: the collector need not look at them
    again."""
    gc.collect()
    gc.freeze()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A worker tells the process that prints."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["left"] = session.config.stash.get(LEFT, 0)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    """What a worker told; all collect the same."""
    told = getattr(node, "workeroutput", {}).get("left", 0)
    node.config.stash[LEFT] = max(told, node.config.stash.get(LEFT, 0))


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Say how many tests were left out; `.ci/phases.py` reads it from the file that it names."""
    count = config.stash.get(LEFT, 0)
    if count:
        terminalreporter.write_line(f"{count} tests run in `make exhaustive` only")
    if "PHASE_LEFT_OUT" in os.environ:
        Path(os.environ["PHASE_LEFT_OUT"]).write_text(str(count), encoding="ascii")
