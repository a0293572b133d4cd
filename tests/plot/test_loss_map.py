"""The heat map of layers and kinds: what is drawn where, and what is refused."""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import planner
from planner import plot
from planner.base.errors import InputError, UnknownNameError
from planner.quality.sensitivity.kld_data import CREDIT


@cache
def frame(model: str, names: str = "module") -> pd.DataFrame:
    return planner.sensitivity(model, names=names)


def stack(axes: Axes) -> np.ma.MaskedArray[Any, Any]:
    """The values of the layers, kinds by layers."""
    return max((c.get_array() for c in axes.collections if c.get_array() is not None), key=np.size)


def labels(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.get_yticklabels()]


@pytest.mark.parametrize(
    ("model", "layers"),
    [("llama-3.1-8b", 32), ("deepseek-v3.2", 61), ("qwen3-235b-a22b", 94), ("gpt2", 12)],
)
def test_cells_are_the_rows_of_the_frame(model: str, layers: int) -> None:
    axes = plot.sensitivity(model)
    rows, values = frame(model), stack(axes)
    kinds = [label.split(",")[0].split(" ")[0] for label in labels(axes)]
    assert values.shape == (len(kinds), layers)
    inside = rows[rows["layer"].notna()]
    assert values.count() == len(inside)
    for row in inside.itertuples():
        assert values[kinds.index(str(row.kind)), row.layer] == row.alpha
    alone = [
        c for c in axes.collections if c.get_array() is not None and np.size(c.get_array()) == 1
    ]
    assert sorted(float(np.ravel(c.get_array())[0]) for c in alone) == sorted(
        rows[rows["layer"].isna()]["alpha"]
    )
    assert model in axes.get_title(loc="left")
    assert rows["tier"][0] in axes.get_title(loc="left")
    assert CREDIT in axes.get_xlabel()


@pytest.mark.sample(1)
@pytest.mark.parametrize("model", ["llama-3.1-8b", "deepseek-v3.2", "qwen3-235b-a22b"])
def test_labels_do_not_overlap(model: str) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    axes = plot.sensitivity(model)
    figure = axes.get_figure(root=True)
    assert figure is not None
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    whole = figure.bbox
    for ticks in (axes.get_xticklabels(), axes.get_yticklabels()):
        boxes = [t.get_window_extent(canvas.get_renderer()) for t in ticks]  # type: ignore[no-untyped-call]
        assert all(not a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
        assert all(b.x0 >= 0 and b.x1 <= whole.x1 and b.y0 >= 0 for b in boxes)


def test_shares_add_up_and_derived_kinds_have_none() -> None:
    found = labels(plot.sensitivity("deepseek-v3.2"))
    assert {label for label in found if "derived" in label} == {
        "router, derived",
        "indexer, derived",
    }
    shares = [
        float(label.rpartition(" ")[2].rstrip("%")) for label in found if "derived" not in label
    ]
    assert sum(shares) == pytest.approx(100, abs=0.6)


def test_a_frame_of_tensors_is_drawn_by_kind(tmp_path: Path) -> None:
    by_kind, by_tensor = (
        stack(plot.sensitivity(frame("deepseek-v3", names))) for names in ("module", "gguf")
    )
    np.testing.assert_allclose(by_kind.filled(0), by_tensor.filled(0), rtol=1e-9)
    frame("deepseek-v3").to_csv(tmp_path / "x.csv", index=False)
    again = stack(plot.sensitivity(pd.read_csv(tmp_path / "x.csv")))
    np.testing.assert_allclose(by_kind.filled(0), again.filled(0), rtol=1e-9)


def test_a_model_as_record_and_axes_of_your_own() -> None:
    mine = Figure().add_subplot()
    assert plot.sensitivity(planner.load_model("smollm2-135m"), ax=mine) is mine
    assert mine.has_data()


def test_one_value_alone_is_drawn() -> None:
    one = frame("gpt2").tail(1)
    assert labels(plot.sensitivity(one)) == ["head 100.0%"]


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda f: f.drop(columns=["alpha", "tier"]), "no column alpha, tier"),
        (lambda f: f.head(0), "no rows"),
        (lambda f: f.assign(alpha=0.0), "alpha of embedding is 0"),
        (lambda f: f.assign(alpha=float("nan")), "alpha of embedding is nan"),
    ],
)
def test_another_frame_is_refused(change: Any, match: str) -> None:
    with pytest.raises(InputError, match=match):
        plot.sensitivity(change(frame("gpt2")))


def test_what_is_of_a_plan_alone_is_refused() -> None:
    with pytest.raises(InputError, match="hardware_dir is for a plan"):
        plot.sensitivity("gpt2", hardware_dir="folder")
    with pytest.raises(UnknownNameError, match="no-such-model"):
        plot.sensitivity("no-such-model")
