"""What an attention module does beside its products and its core: norms, rotary embedding, the
cache write, concatenations, and in prompts the host.

    rest  = floor + token·m + 4·m·h·(2·key + 2·value + 2·latent + rope)/(memory·W)
    whole = ((products + core + rest)⁸ + (host + narrow host)⁸)^⅛

m tokens, h heads of a rank, widths in elements. ``host`` is what launching the kernels of a prompt
takes where no graph is replayed; a served prompt's floor is the engine's (data/engine_policy.toml),
so that planning leaves it out.

Parameters carry their unit behind the name used here.
Source: fits of this project to the attention-module tables of aiconfigurator-core 0.12.0, groups of
(heads, batch) held out.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from planner.throughput.forms.base import Parameter, Parameters, checked_parameters, power_sum
from planner.throughput.forms.mla import LatentShape
from planner.throughput.roofline import Parts, parts
from planner.throughput.silicon import Chip

Array = NDArray[np.float64]

OPERATOR = "attention-rest"
HOST_EXPONENT = 8.0

DECODE_PARAMETERS = (
    Parameter("floor_seconds", 3e-6, 1e-8, 3e-4, "s", device=True),
    Parameter("token_seconds", 5e-8, 1e-10, 1e-6, "s"),
    Parameter("bandwidth_fraction", 0.5, 0.02, 5.0, device=True),
)
PREFILL_PARAMETERS = (
    *DECODE_PARAMETERS,
    Parameter("host_seconds", 3e-4, 1e-7, 5e-3, "s", prior=3.0),
    Parameter("narrow_host_seconds", 1e-4, 1e-7, 5e-3, "s", prior=3.0),
)


def parameters_of(operator: str) -> tuple[Parameter, ...]:
    """The parameters beside ``operator``, a core of a decode step or of a prompt."""
    return DECODE_PARAMETERS if operator.endswith("decode") else PREFILL_PARAMETERS


def rest_parts(
    parameters: Parameters, chip: Chip, operator: str, shape: LatentShape, *, tokens: Array
) -> Parts:
    """Seconds beside ``operator``'s core by mechanism, broadcast shape of ``shape``'s arrays; the
    host is left out. ``tokens`` [of the call] pass through the module.

    Raises:
        DataError: ``parameters`` are not those of this form.
    """
    p = checked_parameters(parameters, parameters_of(operator), f"{OPERATOR} {operator}")
    memory = rest_bytes(shape, tokens) / (p["bandwidth_fraction"] * chip.bandwidth)
    memory = memory + p["token_seconds"] * tokens
    return parts(
        compute=np.zeros(()), memory=memory, launch=np.asarray(p["floor_seconds"]), busy=memory
    )


def rest_bytes(s: LatentShape, tokens: Array) -> Array:
    """Bytes of what grows with heads (see module docstring)."""
    return np.asarray(
        4.0 * tokens * s.heads * (2.0 * s.key + 2.0 * s.value + 2.0 * s.latent + s.rope)
    )


def host_seconds(parameters: Parameters, *, narrow: float) -> float:
    """What launching the kernels of a prompt takes where no graph is replayed. ``narrow``: how
    many kernels a product's format adds, 1 for block-scaled FP8, 2 for NVFP4."""
    return parameters["host_seconds"] + narrow * parameters["narrow_host_seconds"]


def hosted(seconds: Array, host: Array | float) -> Array:
    """Seconds of a call whose kernels take ``seconds`` and whose launches take ``host``."""
    return power_sum(seconds, np.asarray(host) * np.ones(np.shape(seconds)), HOST_EXPONENT)
