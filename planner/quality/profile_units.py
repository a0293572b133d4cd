"""From errors of single matrices to errors, sensitivities and losses of units. Arithmetic only.

Matrices of one fused group (q, k and v; gate and up; the experts of a layer) make one output: their
relative errors are averaged with the power of their outputs, and experts with their share of the
tokens. Groups in a row (the two projections of an MLA query) add.

    e(unit) = Σ_groups Σ_t share_t·power_t·e_t / Σ_t share_t·power_t

How far a predicted loss of one unit may be off, by tier: the factor that 80 % of units stay in.

Measured against losses measured directly on SmolLM2-135M-Instruct; T0's bands come with its
sensitivities, by class of matrix (:mod:`planner.quality.sensitivity`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from planner.base.errors import DataError
from planner.quality.prior import Prior, module_alpha
from planner.quality.profile import ProfileUnit
from planner.quality.sensitivity.records import Sensitivities

ANCHOR = "fp8-block"
Losses = Mapping[str, float]
Key = tuple[str, int]


@dataclass(frozen=True, slots=True)
class ProfiledMatrix:
    """One measured matrix. ``power`` is that of its output, or of its weights where no input was
    known; ``output_error`` is empty then."""

    group: str
    kind: str
    layer: int
    expert: int
    elements: int
    power: float
    weight_error: Losses
    output_error: Losses = field(default_factory=dict)
    flushed: Losses = field(default_factory=dict)
    overflow: Losses = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class UnitError:
    """Errors of one unit by scheme, and how they are known."""

    error: dict[str, float]
    basis: str
    flushed: dict[str, float]
    overflow: dict[str, float]


CONSTANT_INPUTS = "weights measured; inputs: constant of format and kind"
REAL_INPUTS = "measured on real inputs"
CACHE_BASIS = "that of the attention output, times the anchor of caches"


def unit_errors(
    matrices: Iterable[ProfiledMatrix],
    constants: Mapping[str, Losses],
    shares: Mapping[tuple[int, int], float],
) -> dict[Key, UnitError]:
    """Errors by (kind, layer).

    Args:
        matrices: what was measured.
        constants: error of the inputs alone by kind and scheme, for units without real inputs.
        shares: share of the tokens by (layer, expert); an expert without one counts as the others.
    """
    units: dict[Key, list[ProfiledMatrix]] = {}
    for matrix in matrices:
        units.setdefault((matrix.kind, matrix.layer), []).append(matrix)
    return {key: _unit(unit, constants.get(key[0], {}), shares) for key, unit in units.items()}


def _unit(
    matrices: list[ProfiledMatrix],
    constants: Losses,
    shares: Mapping[tuple[int, int], float],
) -> UnitError:
    real = all(m.output_error for m in matrices)
    groups: dict[str, list[ProfiledMatrix]] = {}
    for matrix in matrices:
        groups.setdefault(matrix.group, []).append(matrix)
    names = set.intersection(*(set(m.weight_error) for m in matrices))
    error: dict[str, float] = {}
    for name in sorted(names):
        total = sum(_mean(group, name, real, shares) for group in groups.values())
        if not real:
            if name not in constants:
                continue
            total += constants[name]
        error[name] = _six(total)
    elements = sum(m.elements for m in matrices)
    return UnitError(
        error,
        REAL_INPUTS if real else CONSTANT_INPUTS,
        _share(matrices, "flushed", elements),
        _share(matrices, "overflow", elements),
    )


def _mean(
    group: Sequence[ProfiledMatrix], name: str, real: bool, shares: Mapping[tuple[int, int], float]
) -> float:
    top = bottom = 0.0
    for m in group:
        weight = m.power * shares.get((m.layer, m.expert), 1.0)
        top += weight * (m.output_error if real else m.weight_error)[name]
        bottom += weight
    return top / bottom if bottom else 0.0


def _share(matrices: Sequence[ProfiledMatrix], what: str, elements: int) -> dict[str, float]:
    totals: dict[str, float] = {}
    for m in matrices:
        for name, share in getattr(m, what).items():
            totals[name] = totals.get(name, 0.0) + share * m.elements
    return {name: _six(totals[name] / elements) for name in sorted(totals)}


def learned_alphas(sensitivities: Sensitivities, errors: Iterable[Key]) -> dict[Key, float]:
    """α of T0 by kind and layer; units that no model was measured on are left out."""
    alphas = {(kind, layer): module_alpha(sensitivities, kind, layer) for kind, layer in errors}
    return {key: alpha for key, alpha in alphas.items() if alpha is not None}


def expected_loss(
    sensitivities: Sensitivities,
    prior: Prior,
    reference: str,
    keys: Iterable[Key],
    scheme: str = ANCHOR,
) -> float:
    """What T0 expects the units ``keys`` to lose under ``scheme`` [nats].

    Raises:
        DataError: nothing of any unit.
    """
    errors = prior.error[reference]
    total = sum(
        alpha * errors[kind].get(scheme, 0.0)
        for (kind, _), alpha in learned_alphas(sensitivities, keys).items()
        if kind in errors
    )
    if total <= 0:
        raise DataError(
            f"no matrix has an error under {scheme}, so that there is no unit of loss",
            hint=f"keep {scheme} among the schemes",
        )
    return total


def module_units(
    errors: Mapping[Key, UnitError], alphas: Mapping[Key, float], basis: str
) -> list[ProfileUnit]:
    """Units of the linears; one without a sensitivity is left out."""
    return [
        ProfileUnit(
            f"{kind}.{layer}",
            kind,
            layer,
            _six(alphas[kind, layer]),
            basis,
            e.basis,
            e.error,
            {name: _six(alphas[kind, layer] * value) for name, value in e.error.items()},
            e.flushed,
            e.overflow,
        )
        for (kind, layer), e in errors.items()
        if (kind, layer) in alphas
    ]


def scaled(unit: ProfileUnit, factor: float) -> ProfileUnit:
    """``unit`` with its losses, and its α, times ``factor``."""
    return replace(
        unit,
        alpha=None if unit.alpha is None else _six(unit.alpha * factor),
        loss={name: _six(value * factor) for name, value in unit.loss.items()},
    )


def probed_units(
    errors: Mapping[Key, UnitError],
    matrices: Iterable[tuple[str, ProfiledMatrix]],
    losses: Mapping[str, Losses],
    probe: str,
    basis: str,
) -> list[ProfileUnit]:
    """Units with losses in nats, summed over their matrices, which are (tensor, what was measured).

    ``probe`` names the scheme whose loss was measured (T2): α_t = loss_t / e_t of each tensor gives
    the others; empty: losses are there for every scheme. A unit with a tensor that has no loss, or
    that the probe leaves unchanged, is left out.
    """
    sums: dict[Key, dict[str, float]] = {}
    broken: set[Key] = set()
    for tensor, m in matrices:
        key = (m.kind, m.layer)
        tensor_losses = _tensor_losses(m, losses.get(tensor), probe)
        if tensor_losses is None:
            broken.add(key)
            continue
        into = sums.setdefault(key, dict.fromkeys(tensor_losses, 0.0))
        for name in list(into):
            if name in tensor_losses:
                into[name] += tensor_losses[name]
            else:
                del into[name]
    out = []
    for key, tensor_losses in sums.items():
        if key in broken or key not in errors:
            continue
        e = errors[key]
        anchor = probe or ANCHOR
        alpha = (
            _six(tensor_losses[anchor] / e.error[anchor])
            if e.error.get(anchor) and anchor in tensor_losses
            else None
        )
        out.append(
            ProfileUnit(
                f"{key[0]}.{key[1]}",
                key[0],
                key[1],
                alpha,
                basis,
                e.basis,
                e.error,
                {name: _six(tensor_losses[name]) for name in sorted(tensor_losses)},
                e.flushed,
                e.overflow,
            )
        )
    return out


def _tensor_losses(m: ProfiledMatrix, losses: Losses | None, probe: str) -> Losses | None:
    if losses is None or not probe:
        return losses
    error = m.output_error.get(probe, 0.0)
    if not error or probe not in losses:
        return None
    return {name: losses[probe] / error * e for name, e in m.output_error.items()}


def measured_caches(
    losses: Mapping[Key, Losses], errors: Mapping[Key, Losses], basis: str
) -> list[ProfileUnit]:
    """Cache units whose losses were measured, in nats."""
    return [
        ProfileUnit(
            f"{kind}.{layer}",
            kind,
            layer,
            None,
            basis,
            basis,
            dict(errors.get((kind, layer), {})),
            {name: _six(v) for name, v in sorted(loss.items())},
        )
        for (kind, layer), loss in losses.items()
    ]


def cache_units(
    prior: Prior,
    sensitivities: Sensitivities,
    kinds: Mapping[str, Sequence[int]],
    *,
    scale: float,
    layouts: Sequence[str],
    measured: Mapping[Key, Mapping[str, float]],
    parts: Mapping[Key, Mapping[str, Mapping[str, float]]],
) -> list[ProfileUnit]:
    """Units of the caches: T0's sensitivity times ``scale``, which turns it into the profile's
    unit, and, where there are, measured errors; a question adds its length and rotation."""
    out = []
    for kind, where in kinds.items():
        constants = prior.cache_error.get(kind, {})
        for layer in where:
            alpha = prior.caches.alpha(sensitivities, kind, layer)
            if alpha is None:
                continue
            errors = measured.get((kind, layer))
            error = {k: v for k, v in (errors or constants).items() if k in layouts}
            out.append(
                ProfileUnit(
                    f"{kind}.{layer}",
                    kind,
                    layer,
                    _six(alpha * scale),
                    CACHE_BASIS,
                    "measured on real keys and values" if errors else "constant of layout and kind",
                    {k: _six(v) for k, v in error.items()},
                    {k: _six(alpha * scale * v) for k, v in error.items()},
                    parts=parts.get((kind, layer), {}),
                )
            )
    return out


def input_constants(prior: Prior, reference: str, kinds: Iterable[str]) -> dict[str, Losses]:
    """Error of the inputs alone by kind and scheme: the emulated table, whatever the weights."""
    all_schemes = prior.activation_error["bf16"]
    table = prior.activation_error.get(reference) or all_schemes
    return {kind: {**all_schemes.get(kind, {}), **table[kind]} for kind in kinds if kind in table}


def _six(value: float) -> float:
    return float(f"{value:.5e}")


@dataclass(frozen=True, slots=True)
class Band:
    """``factor`` ÷/×, and where it comes from."""

    factor: float
    basis: str


TIER_BANDS: Mapping[str, Band] = MappingProxyType(
    {
        "T1": Band(1.7, "80 % of matrices and schemes on SmolLM2-135M stay in 1.54, with a margin"),
        "quick": Band(
            2.0,
            "80 % of matrices and schemes of two models stay in 1.75 on other text, by a few "
            "backward passes; with a margin",
        ),
        "T2": Band(1.7, "80 % of matrices and schemes of two models stay in 1.56 on other text"),
        "T3": Band(1.2, "measured on these tokens; other texts differ"),
    }
)
