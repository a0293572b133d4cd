"""Family profiles as shipped: ln α of every matrix of a measured structure, ready to read.

``python -m planner.quality.sensitivity.family_profiles`` rewrites data/kld/profiles from the points
and the fit. A structure that a bundled configuration has takes all of its matrices; others have
those that were measured. The file is named after the first measured model of the structure.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache

from planner.models.catalog import model_ids, resolve_model
from planner.quality.sensitivity.kld_data import DATA, kld_models, points_of
from planner.quality.sensitivity.matching import (
    SISTER,
    find_match,
    subject_of_measured,
)
from planner.quality.sensitivity.matrices import matrices_of, structure_of
from planner.quality.sensitivity.records import KldModel, Matrix

FOLDER = DATA / "kld" / "profiles"


@cache
def family_profile(name: str) -> Mapping[tuple[str, int], float]:
    """ln α by (stem, layer) of the structure of the measured model ``name``, up to a constant;
    empty where none is shipped under that name."""
    path = FOLDER / f"{name}.json"
    if not path.is_file():
        return {}
    data: dict[str, dict[str, float]] = json.loads(path.read_text(encoding="utf-8"))
    return {(stem, int(layer)): value for stem, layers in data.items()
            for layer, value in layers.items()}


def main() -> None:
    """Write one file a structure."""
    from planner.quality.sensitivity.estimate import log_alphas

    FOLDER.mkdir(exist_ok=True)
    seen: list[object] = []
    for model in kld_models():
        if model.structure in seen:
            continue
        seen.append(model.structure)
        subject, matrices = subject_of_measured(model), profiled_matrices(model)
        match = find_match(subject, kld_models())
        assert match is not None
        assert match.kind == SISTER
        values = log_alphas(subject, match, matrices, frozenset())
        (FOLDER / f"{model.name}.json").write_text(_text(matrices, values.tolist()),
                                                   encoding="utf-8")


def profiled_matrices(model: KldModel) -> tuple[Matrix, ...]:
    """The matrices of a bundled configuration of the same structure, else those measured."""
    for name in model_ids():
        spec = resolve_model(name)
        if structure_of(spec) == model.structure:
            return matrices_of(spec)
    found = [m for point in points_of(model.name) for m in point.matrices]
    return tuple(dict.fromkeys(found))


def _text(matrices: Sequence[Matrix], values: Sequence[float]) -> str:
    by_stem: dict[str, dict[str, float]] = {}
    for matrix, value in zip(matrices, values, strict=True):
        by_stem.setdefault(matrix.stem, {})[str(matrix.layer)] = float(f"{value:.4f}")
    lines = [f'"{stem}": {json.dumps(layers)}' for stem, layers in sorted(by_stem.items())]
    return "{" + ",\n ".join(lines) + "}\n"


if __name__ == "__main__":
    main()
