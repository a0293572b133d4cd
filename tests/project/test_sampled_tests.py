"""What `make test` leaves to `make exhaustive`: whole tests, or all but some cases of one."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from support.wheels import ROOT


@dataclass(eq=False)
class Item:
    """As much of a collected test as is looked at."""

    nodeid: str
    markers: dict[str, pytest.Mark] = field(default_factory=dict)
    path: Path = Path("test_it.py")

    def get_closest_marker(self, name: str) -> pytest.Mark | None:
        return self.markers.get(name)


def left(config: pytest.Config, items: list[Item]) -> list[str]:
    """Names of what is left out, in order."""
    conftest: Any = config.pluginmanager.getplugin(str(ROOT / "tests" / "conftest.py"))
    found = conftest.left_out(items)
    return [item.nodeid for item in items if item in found]


def cases(count: int, **markers: pytest.Mark) -> list[Item]:
    return [Item(f"test_it.py::test_a[{i}]", markers) for i in range(count)]


def test_cases_are_spread_over_the_list_and_the_same_every_time(
    pytestconfig: pytest.Config,
) -> None:
    items = cases(10, sample=pytest.mark.sample(3).mark)
    kept = [i for i in range(10) if f"test_it.py::test_a[{i}]" not in left(pytestconfig, items)]
    assert kept == [0, 3, 6]
    assert left(pytestconfig, items) == left(pytestconfig, items)


@pytest.mark.parametrize("most", [4, 5])
def test_few_cases_all_run(pytestconfig: pytest.Config, most: int) -> None:
    assert left(pytestconfig, cases(4, sample=pytest.mark.sample(most).mark)) == []


def test_exhaustive_ones_are_left_and_take_no_place_of_a_sample(
    pytestconfig: pytest.Config,
) -> None:
    sample = pytest.mark.sample(2).mark
    items = [
        *cases(2, sample=sample, exhaustive=pytest.mark.exhaustive.mark),
        Item("test_it.py::test_a[2]", {"sample": sample}),
        Item("test_it.py::test_a[3]", {"sample": sample}),
        Item("test_it.py::test_b"),
    ]
    assert left(pytestconfig, items) == ["test_it.py::test_a[0]", "test_it.py::test_a[1]"]
