"""Names of the measured models and their families, and which of them a caller leaves out; read
without numpy, for the shell."""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from planner.base.errors import UnknownNameError
from planner.models.catalog import is_model

INDEX = Path(__file__).resolve().parents[1] / "data" / "kld_models.toml"


@cache
def measured_names() -> Mapping[str, str]:
    """Model → family: of models measured matrix by matrix, then of those whose level alone was."""
    index = _index()
    return {entry["name"]: entry["family"] for entry in (*index["models"], *index["levels"])}


def left_out_names() -> tuple[str, ...]:
    """What was measured and is not used, because the measurement is faulty."""
    return tuple(entry["name"] for entry in _index()["left_out"])


def excluded_models(names: Collection[str]) -> frozenset[str]:
    """Measured models that ``names`` mean, in any case: a model's name, or a family's, or how names
    of several begin ("DeepSeek", "GLM"), which takes all of them. A bundled model that was not
    measured, or whose figures are not used, takes none.

    Raises:
        UnknownNameError: a name that is none of these; the hint has all measured ones.
    """
    measured = measured_names()
    excluded: set[str] = set()
    for name in names:
        mine = (
            {m for m in measured if _same(m, name)}
            or {m for m, family in measured.items() if _same(family, name)}
            or {m for m in measured if _begins(m, name)}
        )
        if not mine and not is_model(name) and not any(_same(m, name) for m in left_out_names()):
            families = list(dict.fromkeys(measured.values()))
            error = UnknownNameError("measured model", name, [*families, *measured])
            error.hint = (
                "measured are the families "
                + ", ".join(families)
                + "; the models "
                + ", ".join(measured)
            )
            raise error
        excluded |= mine
    return frozenset(excluded)


@cache
def _index() -> dict[str, Any]:
    return tomllib.loads(INDEX.read_text(encoding="utf-8"))


def _begins(model: str, name: str) -> bool:
    """Whether the name of ``model`` begins with the whole word ``name``."""
    return bool(name) and f"{model.lower()}-".startswith(f"{name.lower()}-")


def _same(a: str, b: str) -> bool:
    return a.lower().replace("_", "-") == b.lower().replace("_", "-").rpartition("/")[2]
