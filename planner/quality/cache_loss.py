"""The loss of cached keys, values and latents, a sum over layers: one law for every verb.

    loss = Σ share(kind) · α · e(layout, rotated) · (entries / reference)^growth

α is the sensitivity of the layer's attention output and e the emulated error of that output with
the unit alone quantised (:mod:`planner.quality.cache_error`); ``share`` says how much of α an error
from the cache weighs, less where most layers keep a recurrent state beside which the cache says
little. What a token reads was itself computed from earlier quantised entries, so the loss grows
with the entries that are attended: those of the context, or of the window where it is shorter.
States are never quantised and lose nothing. The floor of any change (:mod:`planner.quality.floor`)
comes with a quantised cache as with weights, once.

Constants, with the pairs that they rest on: data/priors.toml, ``python -m evaluation.caches``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from planner.base.identity_cache import cached_by_identity
from planner.base.records import record

if TYPE_CHECKING:
    from planner.quality.sensitivity.records import Sensitivities

PLAIN_CACHES = ("bf16", "fp16", "fp32")
"""Layouts that are not quantised: an unchanged cache, whose loss is 0."""
STATES = "linear-attention"
"""The kind of the projections of layers that keep a recurrent state."""


@record
class CacheLaw:
    """The constants. ``share`` by cache kind, ``beside_states`` its factor in models with recurrent
    layers, ``growth`` the power of entries over ``entries``; ``band_factor`` ÷/× of their loss."""

    share: Mapping[str, float]
    beside_states: float
    growth: float
    entries: float
    band_factor: float

    def alpha(self, sensitivities: Sensitivities, kind: str, layer: int) -> float | None:
        """Nats per unit of error of a cache unit in a layer at ``entries`` entries; None where the
        layer has no attention output, or the kind none of the law's."""
        out = sensitivities.by_unit.get(("attention-out", layer))
        if out is None or kind not in self.share:
            return None
        beside = _has_states(sensitivities)
        return self.share[kind] * out * (self.beside_states if beside else 1.0)

    def length_factor(self, context: int, window: int = 0) -> float:
        """How much more is lost over ``context`` tokens than at ``entries``; ``window`` of the
        layer, 0 for none."""
        entries = min(context, window) if window else context
        return math.pow(max(1, entries) / self.entries, self.growth)


@cached_by_identity(16)
def _has_states(sensitivities: Sensitivities) -> bool:
    """Whether a model has recurrent layers."""
    return any(name == STATES for name, _ in sensitivities.by_unit)


def law_of(caches: Mapping[str, object]) -> CacheLaw:
    """The law in the table ``caches`` of priors.toml."""
    numbers = {key: float(value) for key, value in caches.items() if isinstance(value, int | float)}
    return CacheLaw(
        {kind: value for kind, value in numbers.items() if kind.startswith("kv-")},
        numbers["beside_states"],
        numbers["growth"],
        numbers["entries"],
        numbers["band_factor"],
    )
