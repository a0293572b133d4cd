"""What all tests share: the phase that a folder belongs to, and how random examples are drawn."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

HERE = Path(__file__).resolve().parent
PHASE_FOLDERS = ("numerics", "notebooks", "packaging")

# Deadlines and the check of the seconds that drawing takes are off because a busy machine must not
# fail a correct test. The default profile draws the same examples in every run; `make exhaustive`
# draws many new ones.
settings.register_profile("steady", deadline=None, derandomize=True,
                          suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("exhaustive", settings.get_profile("steady"), derandomize=False,
                          max_examples=2000)
settings.load_profile("steady")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark the tests of a phase's folder, so that `-m numerics` selects tests/numerics; deselect
    those marked exhaustive but under `--hypothesis-profile=exhaustive` (`make exhaustive`), as a
    marker expression in addopts would be replaced by any -m."""
    long = [item for item in items if item.get_closest_marker("exhaustive")]
    if long and config.getoption("--hypothesis-profile") != "exhaustive":
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if item not in long]
    for item in items:
        folder = item.path.relative_to(HERE).parts[0] if item.path.is_relative_to(HERE) else ""
        if folder in PHASE_FOLDERS:
            item.add_marker(folder)
