"""One block quantisation as a record: what the steps on a tile, compiled or not, are told."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from planner.formats.spec import ElementFormat, ScaleRule, ScaleSpec, TensorFormat
from planner.numerics.engines import Engine
from planner.numerics.policies import Policy
from planner.numerics.scaling import Scales, scales_of
from planner.numerics.tiles import FloatArray


@dataclass(frozen=True, slots=True)
class BlockJob:
    """One quantisation, all choices made: ``sides`` is one block, ``floor`` bounds amax below.
    ``given``: scales of all blocks that are not computed; ``tensor``: NVFP4's second level."""

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
    given: FloatArray | None = None
    tensor: np.float32 | None = None

    def scales(self, amax: FloatArray, largest: np.float32 | None = None) -> Scales:
        """The scales of blocks with these largest magnitudes, ``largest`` in the whole tensor."""
        bounded = np.maximum(amax, np.float32(self.floor)) if self.floor else amax
        return scales_of(
            bounded,
            self.spec,
            self.target,
            exponent=self.fmt.element_exponent,
            rule=self.rule,
            largest=largest,
            scaling=self.policy.scaling,
            tensor=self.tensor,
        )

    def nearest(self) -> BlockJob:
        """The same with elements rounded to nearest where they are rounded stochastically."""
        if self.rng is None:
            return self
        return replace(self, rng=None, policy=replace(self.policy, rounding="nearest"))

    @property
    def limits(self) -> tuple[np.float32, np.float32]:
        """What integers are clipped to; floats (0, 0) are left to their cast.

        Symmetric, but down to -128 under the rule half-range and in libraries.
        """
        if self.target.kind != "int":
            return np.float32(0), np.float32(0)
        top = self.target.max_finite
        symmetric = self.rule != "half-range" and self.policy.scaling == "plain"
        return np.float32(-top if symmetric else -top - 1), np.float32(top)
