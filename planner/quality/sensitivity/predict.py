"""α of every matrix of a model: from measured sisters or relatives, or from the learned prior.

    ln α = features · β + residual of the match + offset,   Σα = level

β has the part of the family and, of a match, of the measured model. The residual is what the
points of the match say beyond their features: layer by layer of a sister, at relative depth of a
relative, shrunk by the noise of the measurement. A match of several models takes their mean.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from planner.messages.message import Message, message
from planner.models.spec import ModelSpec
from planner.quality.sensitivity.features import matrices_of
from planner.quality.sensitivity.kld_data import (
    SISTER,
    SOURCE,
    SOURCE_DATE,
    bands_of,
    family_profile,
    find_match,
    kld_models,
    known_levels,
    subject_of,
)
from planner.quality.sensitivity.level import level_for
from planner.quality.sensitivity.records import (
    KldMatch,
    KldSubject,
    Matrix,
    Sensitivities,
    TierBands,
)

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


def predict(
    subject: KldSubject, matrices: Sequence[Matrix], excluded: frozenset[str] = frozenset()
) -> Sensitivities:
    """Sensitivities of ``matrices`` of ``subject``; ``excluded`` contribute nothing."""
    match = find_match(subject, kld_models(), excluded)
    value = _log_alphas(subject, match, matrices, excluded)
    alpha = np.exp(value - value.max())
    if subject.structure.tied:
        alpha = _split_tied(matrices, alpha)
    level = level_for(subject, match, [k for k in known_levels() if k.name not in excluded])
    alpha *= level.value / math.fsum(alpha.tolist())
    rounded = tuple(map(six_digits, alpha.tolist()))
    bands = bands_of(LEARNED if match is None else match.kind)
    return Sensitivities(
        tier=LEARNED if match is None else f"family({'+'.join(match.families)})",
        text=_text(match, bands, excluded),
        matrices=tuple(matrices),
        alpha=rounded,
        bands=_class_bands(bands, match),
        pooled_band=_pooled_band(bands, match),
        level=math.fsum(rounded),
        level_band=_level_band(bands, match),
        whole_band=_loss_band(bands, match),
        mix_band=_mix_band(bands, match),
        level_basis=level.basis,
        saturation=six_digits(level.saturation),
        sources=(SOURCE,),
        date=SOURCE_DATE,
    )


def six_digits(value: float) -> float:
    """What sums and exponentials of any version of numpy agree on; figures here are known to a
    tenth at best."""
    return float(f"{value:.6g}")


def _log_alphas(
    subject: KldSubject,
    match: KldMatch | None,
    matrices: Sequence[Matrix],
    excluded: frozenset[str],
) -> Doubles:
    """The shipped profile of the match's structure where it has every matrix, else computed."""
    if match is not None and match.kind == SISTER and not excluded:
        stored = family_profile(match.models[0].name)
        stored_alphas = [stored.get((m.stem, m.layer)) for m in matrices]
        known = [value for value in stored_alphas if value is not None]
        if len(known) == len(stored_alphas):
            return np.array(known)
    from planner.quality.sensitivity.estimate import log_alphas

    return log_alphas(subject, match, matrices, excluded)


def _split_tied(matrices: Sequence[Matrix], alpha: Doubles) -> Doubles:
    """A tied matrix was measured as both: head and embedding share what it loses."""
    kinds = [m.kind for m in matrices]
    if "head" not in kinds or "embedding" not in kinds:
        return alpha
    tied_alpha = alpha[kinds.index("embedding")]
    out = alpha.copy()
    out[kinds.index("head")] = TIED_HEAD * tied_alpha
    out[kinds.index("embedding")] = (1 - TIED_HEAD) * tied_alpha
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


def _mix_band(bands: TierBands, match: KldMatch | None) -> float:
    """The band of sums over kinds, widened as those of the classes are."""
    if match is None or len(match.families) == 1:
        return bands.mix
    return max(bands.mix, bands_of(LEARNED).mix)


def _level_band(bands: TierBands, match: KldMatch | None) -> float:
    """The band of the match; of the fit where no model of the match has a level."""
    if match is None:
        return bands.level
    measured = any(m.level is not None for m in match.models)
    level_band = bands.level if measured else max(bands.level, bands_of(LEARNED).level)
    coarse = any(m.baseline not in FINE for m in match.models)
    return max(level_band, COARSE_BAND) if coarse else level_band


def _loss_band(bands: TierBands, match: KldMatch | None) -> float:
    """The band of losses of whole models; where the level is known less well than that of the
    tier, of both."""
    level_band = _level_band(bands, match)
    if level_band <= bands.level:
        return bands.whole
    return math.exp(math.hypot(math.log(bands.whole), math.log(level_band)))


FINE = ("bf16", "q8_0", "iq6_k")
COARSE_BAND = 2.0
"""Where the baseline has about 4 bits, levels are relative to that."""


def _text(match: KldMatch | None, bands: TierBands, excluded: frozenset[str]) -> Message:
    """One line: what losses rest on, and how well it predicted what was left out."""
    rank, factor = f"{bands.rank:.2f}", f"{bands.factor:.2g}"
    if match is None:
        return message(
            "assumptions.learned_from_measured_models_families",
            n=sum(m.fitted and m.name not in excluded for m in kld_models()),
            r=rank,
            f=factor,
        )
    names = (
        " and ".join(match.families)
        if len(match.families) > 1
        else ", ".join(m.name for m in match.models)
    )
    if match.kind == SISTER:
        return message("assumptions.measured_on_same_structure_left", m=names, r=rank, f=factor)
    return message("assumptions.measured_on_same_architecture_by", m=names, r=rank, f=factor)
