"""How the operators of a served model are timed: by sets fitted on its engine's stack and device,
by sets of another stack or device, or by a prior. The weakest of products and attention counts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cache

import numpy as np

from planner.formats.schemes import SCHEMES
from planner.hardware.profile import DeviceProfile
from planner.lookup import load_device
from planner.models.spec import ModelSpec
from planner.planning.price.ledger import FAMILIES, OPERATORS
from planner.throughput.attended import COMPRESSED
from planner.throughput.attention_fitted import Core
from planner.throughput.calibration import stacks_of
from planner.throughput.gemm import gemm_model
from planner.throughput.moe import moe_models
from planner.throughput.moe_choice import SHARDED, ExpertServer

MEASURED, COMPOSED, PRIOR = OPERATORS
BASES = {"fitted": MEASURED, "transferred": COMPOSED}
"""Words of the ledger for those of fitted models; any other is a prior."""
WORDS = {"fp8": ("fp8-tensor", "fp8-channel", "fp8-block")}
"""Schemes that a word of a recipe may mean."""
EXPERT_LAYOUTS = {"tp+ep": "ep"}
"""Layouts of experts by class of layout, where they are not sharded."""
ATTENTION = ("gqa", "mla", *COMPRESSED)
"""Kinds of attention that read a cache of entries."""


@cache
def basis(engine: str, device: str, layout: str, format_id: str, kv: str, spec: ModelSpec) -> str:
    """The word of OPERATORS for ``spec`` by ``engine`` on ``device``.

    ``layout`` is a class, ``format_id`` a scheme or a word of a recipe, ``kv`` a layout of the
    cache (empty: BF16). A device or a format that is not named has a prior, and so has an engine
    whose stack nobody measured.
    """
    schemes = WORDS.get(format_id, (format_id,))
    stacks = stacks_of(engine)
    if device in FAMILIES or not stacks or any(scheme not in SCHEMES for scheme in schemes):
        return PRIOR
    profile = load_device(device)
    experts = EXPERT_LAYOUTS.get(layout, SHARDED)
    return weakest(
        (
            *(_products(profile, scheme, stacks, engine, experts, spec) for scheme in schemes),
            *_attention(profile, stacks, kv or "bf16", spec),
        )
    )


def weakest(bases: Iterable[str]) -> str:
    """The last word of OPERATORS that ``bases`` have."""
    return max(bases, key=OPERATORS.index)


def _products(
    device: DeviceProfile,
    scheme: str,
    stacks: Sequence[str],
    engine: str,
    experts: str,
    spec: ModelSpec,
) -> str:
    """Of the experts where there are any, else of the dense linears."""
    if spec.experts is None:
        model = gemm_model(device, scheme, stacks)
        return PRIOR if model is None else BASES.get(model.basis, PRIOR)
    layer = moe_models(device, scheme, ExpertServer(tuple(stacks), engine), [experts])[0]
    return PRIOR if layer is None else BASES.get(layer.basis, PRIOR)


def _attention(
    device: DeviceProfile, stacks: Sequence[str], kv: str, spec: ModelSpec
) -> Iterator[str]:
    """Of each attention group, prompts and steps."""
    heads = np.ones(1)
    for attention in spec.attention:
        if attention.kind not in ATTENTION:
            continue
        core = Core(attention, "kv-k", device, tuple(stacks), heads, heads)
        for decode in (False, True):
            model = core.models([kv], decode)[0]
            yield PRIOR if model is None else BASES.get(model.certainty.basis, PRIOR)
