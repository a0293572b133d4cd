"""Names of the measured models with their families, read without numpy for the shell."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

INDEX = Path(__file__).resolve().parents[1] / "data" / "kld_models.toml"


@cache
def measured_names() -> Mapping[str, str]:
    """Model → family: of models measured matrix by matrix, then of those whose level alone was."""
    index = _index()
    return {entry["name"]: entry["family"] for entry in (*index["models"], *index["levels"])}


def left_out_names() -> tuple[str, ...]:
    """What was measured and is not used, because the measurement is faulty."""
    return tuple(entry["name"] for entry in _index()["left_out"])


@cache
def _index() -> dict[str, Any]:
    return tomllib.loads(INDEX.read_text(encoding="utf-8"))
