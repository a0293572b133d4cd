"""One block quantisation as a record: what the steps on a tile, compiled or not, are told."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from planner.formats.spec import ElementFormat, ScaleRule, ScaleSpec, TensorFormat
from planner.numerics.engines import Engine
from planner.numerics.policies import Policy
from planner.numerics.scaling import Scales, scales_of
from planner.numerics.tiles import FloatArray


@dataclass(frozen=True, slots=True)
class BlockJob:
    """One quantisation, all choices made: ``sides`` is one block, ``floor`` bounds amax below."""

    fmt: TensorFormat
    spec: ScaleSpec
    target: ElementFormat
    policy: Policy
    rule: ScaleRule
    sides: tuple[int, int]
    floor: float
    engine: Engine
    threads: int
    rng: np.random.Generator | None

    def scales(self, amax: FloatArray, largest: np.float32 | None = None) -> Scales:
        """The scales of blocks with these largest magnitudes, ``largest`` in the whole tensor."""
        bounded = np.maximum(amax, np.float32(self.floor)) if self.floor else amax
        return scales_of(bounded, self.spec, self.target, exponent=self.fmt.element_exponent,
                         rule=self.rule, largest=largest)

    @property
    def limit(self) -> float:
        """Integers are clipped to ± this, floats (0) are left to their cast."""
        return self.target.max_finite if self.target.kind == "int" else 0.0
