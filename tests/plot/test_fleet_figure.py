"""The figure of a fleet has the numbers of the page's."""

import pytest
from support.fleets import made

import planner
from planner.base.errors import InputError
from planner.sizing.fleet.figures import device_bars


def test_bars_end_where_the_stock_does() -> None:
    found = made()
    ax = planner.plot.fleet(found)
    bars = device_bars(found)
    ends = {bar.device: 0.0 for bar in bars}
    for patch in ax.patches:
        device = bars[round(patch.get_y() + patch.get_height() / 2)].device
        ends[device] = max(ends[device], patch.get_x() + patch.get_width())
    assert ends == {bar.device: bar.stock for bar in bars}
    assert ax.get_xlabel() == "devices"
    legend = ax.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == [
        *(one.name for one in found.models),
        "left over",
    ]


def test_another_result_is_refused() -> None:
    with pytest.raises(InputError, match="is of type FleetPool"):
        planner.plot.fleet(made().pools[0])
