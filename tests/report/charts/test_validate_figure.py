"""The figure of predicted against measured."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import pytest

from planner.cli.main import run
from planner.plot.draw import chart_svg
from planner.report.charts.error_charts import MOST, PredictedPanel, panels, predicted_chart


def svg(drawn: list[PredictedPanel]) -> str:
    return chart_svg(*map(predicted_chart, drawn), title="Predicted against measured", size=8)


def rows(count: int, *, table: str = "op_x", predicted: float | None = 2e-6) -> list[object]:
    return [
        SimpleNamespace(
            table=table,
            metric="latency",
            device=f"d{i % 2}",
            measured=1e-6 * (1 + i),
            predicted=None if predicted is None else predicted * (1 + i),
            low=1.5e-6 * (1 + i),
            high=3e-6 * (1 + i),
            regime="held-out",
        )
        for i in range(count)
    ]


@pytest.mark.exhaustive
def test_a_panel_a_table_and_the_same_bytes() -> None:
    drawn = panels([*rows(5), *rows(3, table="op_y"), *rows(2, table="op_z", predicted=None)])
    assert [p.table for p in drawn] == ["op_x", "op_y"]
    text = svg(drawn)
    assert text == svg(drawn)
    root = ElementTree.fromstring(text)
    assert root.tag.endswith("svg")
    for words in ("op_x, 5 rows", "op_y, 3 rows", "measured latency [s]", "d0"):
        assert words in text


@pytest.mark.exhaustive
def test_many_rows_are_thinned_and_said_so() -> None:
    text = svg(panels(rows(3 * MOST)))
    assert f"1 in 3 of {3 * MOST} rows" in text


def test_nothing_to_draw() -> None:
    with pytest.raises(ValueError, match="nothing"):
        svg([])


def test_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "errors.svg"
    assert run(["validate", "--only", "op_gemm", "--plot", str(target)]) == 0
    assert "op_gemm" in target.read_text(encoding="utf-8")
    out, err = capsys.readouterr()
    assert "op_gemm, held-out" in out
    assert "sample" in err


@pytest.mark.sample(1)
@pytest.mark.parametrize("name", ["errors.png", "missing/errors.svg"])
def test_bad_names(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["validate", "--only", "op_gemm", "--plot", str(tmp_path / name)]) == 2
    assert capsys.readouterr().err.startswith("error: --plot")
