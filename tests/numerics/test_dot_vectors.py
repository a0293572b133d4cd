"""The public dot-product vectors: regenerated, and read through the public reader."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from planner.numerics.dot_reference import dot_reference
from planner.numerics.unit_catalog import unit

FOLDER = Path(__file__).resolve().parents[1] / "golden" / "vectors"


def _module(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"vectors_{name}", FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SETS: list[tuple[dict[str, Any], dict[str, np.ndarray]]] = list(_module("reader").read("dots"))
FUSED = [s for s in SETS if s[0]["promote_every"] is None and unit(s[0]["unit"]).kind == "fused"]


def test_the_generator_gives_the_committed_bytes() -> None:
    text, data = _module("make_dots").files()
    assert text == (FOLDER / "dots.json").read_text(encoding="utf-8")
    assert data == (FOLDER / "dots.bin").read_bytes()


def test_units_and_formats_are_covered() -> None:
    assert len({d["unit"] for d, _ in SETS}) >= 9
    assert {d["format"] for d, _ in SETS} == {"e4m3fn", "e5m2", "bf16", "fp16"}
    assert any(d["promote_every"] for d, _ in SETS)


@pytest.mark.parametrize("one", FUSED, ids=lambda s: f"{s[0]['unit']}-{s[0]['format']}")
def test_outputs_equal_the_exact_reference(
    one: tuple[dict[str, Any], dict[str, np.ndarray]],
) -> None:
    about, arrays = one
    rule = unit(about["unit"]).rule(about["format"], about["format"], "fp32")
    a, b, y = arrays["a"], arrays["b"], arrays["y"]
    for row, column in ((0, 0), (1, 2), (3, 3)):
        bits = dot_reference(
            a[row].tolist(), b[:, column].tolist(), 0, rule, about["format"], about["format"]
        )
        assert bits == int(y[row, column])
