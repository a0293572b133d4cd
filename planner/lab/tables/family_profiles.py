"""Family profiles as shipped: ln α of every matrix of a measured structure, ready to read.

``python -m planner.lab.tables.family_profiles`` rewrites data/kld/profiles from the points
and the fit. A structure that a bundled configuration has takes all of its matrices; others have
those that were measured. The file is named after the first measured model of the structure.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from planner.models.catalog import model_ids, resolve_model
from planner.quality.sensitivity.features import matrices_of, structure_of
from planner.quality.sensitivity.kld_data import (
    PROFILES,
    SISTER,
    find_match,
    kld_models,
    points_of,
    subject_of_measured,
)
from planner.quality.sensitivity.records import KldModel, Matrix


def main() -> None:
    """Write one file a structure."""
    from planner.quality.sensitivity.estimate import log_alphas

    PROFILES.mkdir(exist_ok=True)
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
        (PROFILES / f"{model.name}.json").write_text(
            _text(matrices, values.tolist()), encoding="utf-8", newline="\n"
        )


def profiled_matrices(model: KldModel) -> tuple[Matrix, ...]:
    """The matrices of a bundled configuration of the same structure, else those measured."""
    for name in model_ids():
        spec = resolve_model(name)
        if structure_of(spec) == model.structure:
            return matrices_of(spec)
    matrices = [m for point in points_of(model.name) for m in point.matrices]
    return tuple(dict.fromkeys(matrices))


def _text(matrices: Sequence[Matrix], values: Sequence[float]) -> str:
    by_stem: dict[str, dict[str, float]] = {}
    for matrix, value in zip(matrices, values, strict=True):
        by_stem.setdefault(matrix.stem, {})[str(matrix.layer)] = float(f"{value:.4f}")
    lines = [f'"{stem}": {json.dumps(layers)}' for stem, layers in sorted(by_stem.items())]
    return "{" + ",\n ".join(lines) + "}\n"


if __name__ == "__main__":
    main()
