"""``plan measure`` on a terminal."""

from shlex import split

from planner.report.terminal.measure import measured_text

ROW = {
    "table": "op_bandwidth",
    "op": "read",
    "threads": 1,
    "bytes": 1e9,
    "latency_us": 5e4,
    "spread": 0.1,
}


def test_the_next_command_holds_a_folder_of_any_name() -> None:
    text = measured_text([ROW], "my tables/測")
    assert "memory, read by 1 thread" in text
    assert "1 figure, each" in text
    assert split(text.splitlines()[-1])[-1] == "my tables/測"
