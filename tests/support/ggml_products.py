"""One product in a ggml type on a device, by mechanism."""

import numpy as np

from planner.formats.schemes import SCHEMES, scheme
from planner.formats.sizes import bits_per_element
from planner.hardware.catalog import resolve_device
from planner.throughput.ggml_times import ggml_arrays, ggml_parts

TYPES = tuple(name for name in SCHEMES if name.startswith("ggml-"))
H100, XEON, A100 = (resolve_device(name) for name in ("h100-sxm", "xeon-6980p", "a100-sxm"))


def one(device, name, m, n=4096, k=4096, kinds=1, experts=False, judged=None):
    """(compute, memory, launch, quantise) of one matrix [s]; ``judged``: tokens of the step."""
    kernels = ggml_arrays(device, [name], experts=experts, engine="any")
    assert kernels is not None
    rows, bytes_ = np.array([[float(m)]]), n * k * SCHEME_BITS[name] / 8
    parts = ggml_parts(
        kernels,
        rows=rows,
        judged=rows if judged is None else np.array([[float(judged)]]),
        matrices=np.ones((1, 1)),
        outputs=np.array([[float(n)]]),
        inputs=np.array([[float(k)]]),
        stored=np.array([[bytes_]]),
        kinds=kinds,
    )
    found = parts.at(0, 0)
    return (
        found["compute"],
        found["memory"],
        found["launch"],
        found["quantise"],
        float(parts.total()[0, 0]),
    )


SCHEME_BITS = {name: bits_per_element(scheme(name).weight) for name in TYPES}
