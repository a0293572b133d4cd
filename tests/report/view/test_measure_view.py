"""``plan measure`` on a terminal."""

from shlex import split

from planner.report.render.terminal import text_of_view
from planner.report.view.measure import measure_view

ROW = {
    "table": "op_bandwidth",
    "op": "read",
    "threads": 1,
    "bytes": 1e9,
    "latency_us": 5e4,
    "spread": 0.1,
}


def test_the_next_command_holds_a_folder_of_any_name() -> None:
    text = text_of_view(measure_view([ROW], "my tables/測", "en"))
    assert "memory, read, threads: 1" in text
    assert "Figures: 1, each" in text
    assert split(text.splitlines()[-1])[-1] == "my tables/測"
