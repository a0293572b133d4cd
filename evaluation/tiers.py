"""From sensitivities and emulated errors to predicted losses, and how far to trust them.

    loss(unit, scheme) = α(unit) · e(unit, scheme),   loss(plan) = Σ over units

Arrays are (units, schemes) unless said otherwise; losses in nats of mean KL for decoders.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import exp, log

import numpy as np
import numpy.typing as npt

from planner.base.errors import InputError
from planner.lab.probe.emulate import Quantizer, output_error, power, prepare
from planner.lab.probe.loader import layer_inputs
from planner.lab.probe.model import Doubles, ProbeModel, Tokens
from planner.numerics.engines import Engine


@dataclass(frozen=True, slots=True)
class Errors:
    """Of one unit under each recipe: relative output error power e, mean square of ΔY, relative
    error power of the weights."""

    output: Doubles
    output_mean_square: Doubles
    weight: Doubles


def unit_errors(
    model: ProbeModel,
    tokens: Tokens,
    recipes: Sequence[Quantizer],
    *,
    units: Collection[str] | None = None,
    engine: Engine = "numpy",
) -> Iterator[tuple[str, Errors]]:
    """(unit, its errors) on real inputs: e = ‖ΔY‖² / ‖Y‖², ΔY emulated value by value.

    ``units``: only these.
    """
    for name, x in layer_inputs(model, tokens):
        if units is not None and name not in units:
            continue
        weight = model.weight(name)
        y = x @ weight.T
        total, weight_power = power(y), power(weight)
        rows = []
        for recipe in recipes:
            unit = prepare(weight, recipe, engine)
            s = recipe.input_scale
            w_hat = unit.weight if s is None else unit.weight / s
            changed = power(output_error(x, weight, unit, engine))
            rows.append((changed / total, changed / y.size, power(w_hat - weight) / weight_power))
        yield name, Errors(*np.array(rows).T)


def alpha_from_probe(loss: Doubles, error: Doubles) -> Doubles:
    """Tier T2: α = loss / e of one probe scheme, by unit.

    Raises InputError where the probe changes nothing: it must be coarser than the checkpoint.
    """
    if not (error > 0).all() or not (loss > 0).all():
        raise InputError(
            "the probe scheme leaves units unchanged",
            hint="choose a coarser one, such as int4-w4a16-g32",
        )
    return loss / error


def predicted(alpha: Doubles, error: Doubles) -> Doubles:
    """α · e; α (units,), e (units, schemes)."""
    return alpha[:, None] * error


def band_factor(prediction: Doubles, measured: Doubles, share: float = 0.8) -> float:
    """The factor f such that ``share`` of measured losses lie within prediction ×/÷ f."""
    ratios = np.abs(np.log(measured / prediction))
    return exp(float(np.quantile(ratios, share)))


def inside(prediction: Doubles, measured: Doubles, factor: float) -> float:
    """Share of measured losses within prediction ×/÷ ``factor``."""
    return float(np.mean(np.abs(np.log(measured / prediction)) <= log(factor)))


def rank_correlation(a: npt.ArrayLike, b: npt.ArrayLike) -> float:
    """Spearman's ρ; ties share their mean rank."""
    x, y = _ranks(np.asarray(a, dtype=np.float64)), _ranks(np.asarray(b, dtype=np.float64))
    x, y = x - x.mean(), y - y.mean()
    return float((x @ y) / np.sqrt((x @ x) * (y @ y)))


def rank_scores(prediction: Doubles, measured: Doubles) -> tuple[float, float]:
    """(ρ pooled over units and schemes, mean over schemes of ρ within one)."""
    pooled = rank_correlation(prediction.ravel(), measured.ravel())
    within = [rank_correlation(prediction[:, s], measured[:, s]) for s in range(measured.shape[1])]
    return pooled, float(np.mean(within))


def as_table(rows: Mapping[str, Doubles], units: Sequence[str]) -> Doubles:
    """Rows by unit id → (units, …) in the order of ``units``."""
    return np.stack([rows[u] for u in units])


def _ranks(values: Doubles) -> Doubles:
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    middle: Doubles = (ends - (counts - 1) / 2).astype(np.float64)
    return middle[place.ravel()]
