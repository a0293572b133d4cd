"""``plan --version`` tells the version first, then how old the data are, as they stand."""

import csv
import re
import tomllib
from pathlib import Path

import pytest

import planner
from planner.base.files import data_folder
from planner.cli.main import main
from planner.cli.version import data_dates
from planner.hardware.catalog import list_devices

PACKAGE = Path(planner.__file__).parent


def test_the_first_line_is_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0] == f"plan, version {planner.__version__}"
    assert len(lines) == 1 + len(data_dates())
    assert all(len(line) <= 80 for line in lines)
    assert err == ""


def test_dates_are_those_of_the_data() -> None:
    dates = data_dates()
    with (PACKAGE / "planning" / "data" / "checkpoints.csv").open(encoding="utf-8") as file:
        assert dates["checkpoints"] == max(row["seen"] for row in csv.DictReader(file))
    tables = [
        tomllib.loads(path.read_text(encoding="utf-8")).get("date", "")
        for path in (PACKAGE / "throughput" / "data").glob("*.toml")
    ]
    assert dates["operator tables"] >= max(tables)
    files = data_folder("hardware_profiles").rglob("*.toml")
    newest = max(
        re.findall(r"2\d{3}-\d\d-\d\d", "".join(path.read_text(encoding="utf-8") for path in files))
    )
    assert dates["device profiles"].startswith(newest)
    assert dates["device profiles"].endswith(f" {len(list_devices())} devices")
    assert all(re.match(r"20\d\d-\d\d|schema \d", date) for date in dates.values())
