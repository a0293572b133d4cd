"""Power modes scale what the clocks drive, and nothing else."""

from __future__ import annotations

import pytest

from planner.base.errors import DataError, UnknownNameError, UnsupportedError
from planner.hardware.catalog import resolve_device
from planner.hardware.power import at_power_mode
from planner.planning.question.scenarios import parse_scenario

ORIN = resolve_device("jetson-agx-orin-64gb")


def test_the_fastest_mode_is_the_profile_itself() -> None:
    same = at_power_mode(ORIN, "MAXN")
    assert same.rates == ORIN.rates
    assert same.bandwidth_bytes_per_s == ORIN.bandwidth_bytes_per_s


@pytest.mark.parametrize("mode", ["50w", "30w", "15w"])
def test_a_slower_mode_has_lower_rates_and_longer_floors(mode: str) -> None:
    slow = at_power_mode(ORIN, mode)
    share = ORIN.power_modes[mode].compute_share.value
    for key, rate in ORIN.rates.items():
        assert slow.rates[key].dense.value == pytest.approx(rate.dense.value * share)
    for name, reached in ORIN.achieved.items():
        assert slow.achieved[name].floor_seconds.value > reached.floor_seconds.value
        assert slow.achieved[name].compute_fraction == reached.compute_fraction
    assert slow.power_watts is not None
    assert f"{slow.power_watts.value:.0f}w" == mode
    assert slow.capacity_bytes == ORIN.capacity_bytes
    assert slow.bandwidth_bytes_per_s.value <= ORIN.bandwidth_bytes_per_s.value


def test_unknown_modes_are_errors() -> None:
    with pytest.raises(UnknownNameError, match="12w"):
        at_power_mode(ORIN, "12w")
    with pytest.raises(UnsupportedError, match="no power modes"):
        at_power_mode(resolve_device("h100-sxm"), "maxn")


def test_a_scenario_names_the_mode() -> None:
    text = 'title = "t"\nquestion = "q"\n[host]\npower_mode = {}\n'
    found = parse_scenario(text.format('"30w"').encode(), place="x.toml", id="x")
    assert found.host.power_mode == "30w"
    with pytest.raises(DataError, match=r"host\.power_mode"):
        parse_scenario(text.format("30").encode(), place="x.toml", id="x")
