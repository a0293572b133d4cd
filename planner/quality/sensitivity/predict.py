"""α of every matrix of a model: from measured sisters or relatives, or from the learned prior.

    ln α = features · β + residual of the match + offset,   Σα = level

β has the part of the family and, of a match, of the measured model. The residual is what the
points of the match say beyond their features: layer by layer of a sister, at relative depth of a
relative, shrunk by the noise of the measurement. A match of several models takes their mean.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from planner.errors import UnknownNameError
from planner.models.catalog import is_model
from planner.models.spec import ModelSpec
from planner.quality.sensitivity.hierarchy import joined
from planner.quality.sensitivity.kld_data import (
    CREDIT,
    SOURCE,
    SOURCE_DATE,
    bands_of,
    kld_models,
    known_levels,
    points_of,
)
from planner.quality.sensitivity.level import level_for
from planner.quality.sensitivity.matching import (
    SISTER,
    KldMatch,
    KldSubject,
    find_match,
    subject_of,
)
from planner.quality.sensitivity.matrices import matrices_of
from planner.quality.sensitivity.measured_names import left_out_names, measured_names
from planner.quality.sensitivity.prior_fit import (
    SPREAD,
    LearnedPrior,
    observations,
    prior_without,
)
from planner.quality.sensitivity.records import OUTSIDE, KldModel, Matrix, Sensitivities, TierBands

Doubles = npt.NDArray[np.float64]
LEARNED = "learned"
TIED_HEAD = 0.9
"""Share of the head in what a tied matrix loses; the embedding has the rest. Changed alone, the
head of SmolLM2-135M lost ten times what its embedding did at the same error (docs/evidence/
quality.md), and three models with both matrices measured show 8 to 30."""


@lru_cache(maxsize=64)
def sensitivities(spec: ModelSpec, excluded: frozenset[str] = frozenset()) -> Sensitivities:
    """What ``spec`` loses by an error in each matrix, without the measured models ``excluded``."""
    return predict(subject_of(spec), matrices_of(spec), excluded)


def excluded_models(names: Collection[str]) -> frozenset[str]:
    """Measured models that ``names`` mean, in any case: a model's name, or a family's, which takes
    all of it. A bundled model that was not measured, or whose figures are not used, takes none.

    Raises:
        UnknownNameError: a name that is none of these; the hint has all measured ones.
    """
    measured = measured_names()
    found: set[str] = set()
    for name in names:
        mine = {m for m in measured if _same(m, name)} \
            or {m for m, family in measured.items() if _same(family, name)}
        if not mine and not is_model(name) and not any(_same(m, name) for m in left_out_names()):
            families = list(dict.fromkeys(measured.values()))
            error = UnknownNameError("measured model", name, [*families, *measured])
            error.hint = "measured are the families " + ", ".join(families) + "; the models " \
                + ", ".join(measured)
            raise error
        found |= mine
    return frozenset(found)


def predict(subject: KldSubject, matrices: Sequence[Matrix],
            excluded: frozenset[str] = frozenset()) -> Sensitivities:
    """Sensitivities of ``matrices`` of ``subject``; ``excluded`` contribute nothing."""
    match = find_match(subject, kld_models(), excluded)
    prior = prior_without(excluded)
    value = _matched(prior, match, subject, matrices) if match is not None \
        else prior.predict(matrices, subject.structure, _unmatched(prior, subject, excluded))
    alpha = np.exp(value - value.max())
    if subject.structure.tied:
        alpha = _split_tied(matrices, alpha)
    level = level_for(subject, match, [k for k in known_levels() if k.name not in excluded])
    alpha *= level.value / alpha.sum()
    bands = bands_of(LEARNED if match is None else match.kind)
    return Sensitivities(
        tier=LEARNED if match is None else f"family({'+'.join(match.families)})",
        text=_text(match, bands, excluded), matrices=tuple(matrices), alpha=tuple(alpha.tolist()),
        bands=_class_bands(bands, match), pooled_band=_pooled_band(bands, match),
        level=level.value, level_band=_level_band(bands, match),
        mix_band=bands.mix, level_basis=level.basis, saturation=level.saturation,
        sources=(SOURCE,), date=SOURCE_DATE)


def family_part(prior: LearnedPrior, family: str) -> Doubles:
    """Coefficients with the family's part, or the shared ones where no model of it was fitted."""
    return prior.fit.families.get(family, prior.fit.shared)


def _unmatched(prior: LearnedPrior, subject: KldSubject, excluded: frozenset[str]) -> Doubles:
    """Coefficients without a match: those of the family where the architecture is one's."""
    family = next((m.family for m in kld_models() if m.name not in excluded
                   and subject.architecture in m.architectures), "")
    return family_part(prior, family)


def _matched(prior: LearnedPrior, match: KldMatch, subject: KldSubject,
             matrices: Sequence[Matrix]) -> Doubles:
    found = []
    for model in match.models:
        family = family_part(prior, model.family)
        own = prior.fit.models.get(model.name, family)
        near = carried(match.distance)
        beta = family + near * (own - family)
        value = prior.predict(matrices, subject.structure, beta)
        found.append(value + near * _residuals(prior, model, own, subject, matrices))
    centred = [v - v.mean() for v in found]
    return np.asarray(np.mean(centred, axis=0))


def carried(distance: float) -> float:
    """Share of a measured model's own part, and of its residuals, that holds for another size,
    |ln(ratio of parameters)| = ``distance`` away: 1 for a sister, 0.8 at twice, 0.3 at six times
    the parameters. Chosen by the sizes of one family that predict each other."""
    return 1 / (1 + (distance / 1.3) ** 3)


def _residuals(prior: LearnedPrior, model: KldModel, beta: Doubles, subject: KldSubject,
               matrices: Sequence[Matrix]) -> Doubles:
    """What the points of ``model`` say beyond ``beta`` for each matrix of ``subject``: the value at
    the same place of the matrix of the same name, between layers interpolated; 0 without one."""
    seen = observations(model, prior.columns)
    left = seen.y - joined(seen.x, seen.first, beta)
    weight = 1 / (seen.variance + SPREAD**2)
    left = (left - np.average(left, weights=weight)) * SPREAD**2 * weight
    by_stem: dict[str, dict[int, float]] = {}
    for point, value in zip(points_of(model.name), left.tolist(), strict=True):
        for matrix in point.matrices:
            by_stem.setdefault(matrix.stem, {})[matrix.layer] = value
    return np.array([_at(by_stem.get(m.stem, {}), m.layer, model.structure.layers,
                         subject.structure.layers) for m in matrices])


def _at(values: Mapping[int, float], layer: int, theirs: int, ours: int) -> float:
    """The value at the relative depth of ``layer``; both ends fall on ends."""
    if not values:
        return 0.0
    if layer == OUTSIDE:
        return values.get(OUTSIDE, 0.0)
    at = layer * (theirs - 1) / max(1, ours - 1)
    places = sorted(k for k in values if k != OUTSIDE)
    return float(np.interp(at, places, [values[k] for k in places])) if places else 0.0


def _split_tied(matrices: Sequence[Matrix], alpha: Doubles) -> Doubles:
    """A tied matrix was measured as both: head and embedding share what it loses."""
    kinds = [m.kind for m in matrices]
    if "head" not in kinds or "embedding" not in kinds:
        return alpha
    whole = alpha[kinds.index("embedding")]
    out = alpha.copy()
    out[kinds.index("head")] = TIED_HEAD * whole
    out[kinds.index("embedding")] = (1 - TIED_HEAD) * whole
    return out


def _class_bands(bands: TierBands, match: KldMatch | None) -> Mapping[str, float]:
    """Bands by class; two families that match equally well widen them to the learned prior's."""
    if match is None or len(match.families) == 1:
        return bands.classes
    wide = bands_of(LEARNED).classes
    return {name: max(factor, wide[name]) for name, factor in bands.classes.items()}


def _pooled_band(bands: TierBands, match: KldMatch | None) -> float:
    """The band of all classes together, widened as those of the classes are."""
    if match is None or len(match.families) == 1:
        return bands.factor
    return max(bands.factor, bands_of(LEARNED).factor)


def _level_band(bands: TierBands, match: KldMatch | None) -> float:
    """The band of the match; of the fit where no model of the match has a level."""
    if match is None:
        return bands.level
    measured = any(m.level is not None for m in match.models)
    found = bands.level if measured else max(bands.level, bands_of(LEARNED).level)
    coarse = any(m.baseline not in FINE for m in match.models)
    return max(found, COARSE_BAND) if coarse else found


FINE = ("bf16", "q8_0", "iq6_k")
COARSE_BAND = 2.0
"""Where the baseline has about 4 bits, levels are relative to that."""


def _text(match: KldMatch | None, bands: TierBands, excluded: frozenset[str]) -> str:
    """One line: what losses rest on, and how well it predicted what was left out."""
    how = f"left out: rank correlation {bands.rank:.2f}, 80 % within ×/÷ {bands.factor:.2g}"
    if match is None:
        count = sum(m.name not in excluded for m in kld_models())
        return f"learned from {count} measured models; families {how} ({CREDIT})"
    names = " and ".join(match.families) if len(match.families) > 1 \
        else ", ".join(m.name for m in match.models)
    kind = "same structure" if match.kind == SISTER else "same architecture, by relative depth"
    return f"measured on {names} ({kind}; {how}; {CREDIT})"


def _same(a: str, b: str) -> bool:
    return a.lower().replace("_", "-") == b.lower().replace("_", "-").rpartition("/")[2]
