"""The products of a latent attention module on one rank, as one engine's kernels run them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from planner.base.records import record
from planner.hardware.profile import DeviceProfile
from planner.models.spec import Attention
from planner.throughput.gemm import GemmModel, gemm_model

Array = NDArray[np.float64]


@record
class Projections:
    """The products of a module: down and up projections of queries, the latent's, the output's.

    ``expanded``: keys and values of all heads are made (dense prompts); else queries and results
    pass through the latent's matrix in BF16. ``indexer``: its query, key and weight products run
    too.
    """

    attention: Attention
    hidden: int
    scheme: str
    expanded: bool
    indexer: bool

    def gemms(
        self, tokens: Array, heads: Array, past: Array | float
    ) -> list[tuple[str, Array, Array, Array]]:
        """(scheme, rows, outputs, inputs) of each product; the down projections of queries and
        latent are one. ``past`` tokens are expanded beside the new ones."""
        a, s = self.attention, self.scheme
        rank = a.q_lora_rank or 0
        latent, width = a.kv_lora_rank, a.nope_dim + a.rope_dim
        down = rank + latent + a.rope_dim
        products = [
            (s, tokens, np.asarray(float(down)), np.asarray(float(self.hidden))),
            (s, tokens, heads * width, np.asarray(float(rank or self.hidden))),
            (s, tokens, np.asarray(float(self.hidden)), heads * a.value_dim),
        ]
        latent_rows = np.asarray(float(latent))
        if self.expanded:
            products.append((s, tokens + past, heads * (a.nope_dim + a.value_dim), latent_rows))
        else:
            products += [
                ("bf16", tokens, heads * n, latent_rows) for n in (a.nope_dim, a.value_dim)
            ]
        if self.indexer:
            wide = float(a.indexer_heads * a.indexer_dim)
            products += [
                (s, tokens, np.asarray(wide), np.asarray(float(rank or self.hidden))),
                (
                    "bf16",
                    tokens,
                    np.asarray(float(a.indexer_dim + a.indexer_heads)),
                    np.asarray(float(self.hidden)),
                ),
            ]
        return products

    def seconds(
        self,
        device: DeviceProfile,
        stacks: Sequence[str],
        tokens: Array,
        heads: Array,
        past: Array | float = 0.0,
    ) -> tuple[Array, float] | None:
        """(seconds of all products, log-space standard deviation), weights as warm as a replayed
        module leaves them; None where the device has no measured product of a scheme."""
        total, weighted, models = (
            np.zeros(np.shape(tokens * heads)),
            0.0,
            self._models(device, stacks),
        )
        if models is None:
            return None
        for scheme, m, n, k in self.gemms(tokens, heads, past):
            product = models[scheme].parts(m, n, k, cold=False).total()
            total = total + product
            weighted += float(np.sum(product)) * models[scheme].sigma
        return total, weighted / float(np.sum(total))

    def _models(self, device: DeviceProfile, stacks: Sequence[str]) -> dict[str, GemmModel] | None:
        gemm_models = {}
        for scheme in (self.scheme, "bf16"):
            model = gemm_model(device, scheme, stacks)
            if model is None:
                return None
            gemm_models[scheme] = model
        return gemm_models
