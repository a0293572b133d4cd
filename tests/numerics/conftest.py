"""Tests marked exhaustive run under `--hypothesis-profile=exhaustive` alone (`make exhaustive`)."""

import pytest


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect them elsewhere; a marker expression in addopts would be replaced by any -m."""
    if config.getoption("--hypothesis-profile") == "exhaustive":
        return
    long = [item for item in items if item.get_closest_marker("exhaustive")]
    if long:
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if item not in long]
