"""Block types of ggml as its own kernels multiply them: data/ggml.toml on a device's rates.

    t = launches + quantise + max(products, bytes / (W·e_m))
    products = m·n·k·v                       of m tokens up to the vector kernels' limit
             = ⌈m⌉·n·k·p + ⌈m / tile⌉·n·k·u  beyond: tiles

More tokens never take less time: tiles take at least the vector kernels' time at their limit on
GPUs; on CPUs, where tiles were measured, more than one token takes at least the time of one, and
the vector kernels at most that of the fewest tokens that tiles take.

v and p are seconds a product of a weight and an activation, u of unpacking a weight. Activations
are quantised once a matrix, by a kernel of its own on GPUs.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from planner.formats.schemes import scheme as scheme_by_id
from planner.formats.sizes import bits_per_element
from planner.formats.spec import Scheme
from planner.hardware.profile import DeviceProfile
from planner.messages.message import Text, message
from planner.throughput.calibration import PRIOR, Certainty
from planner.throughput.ggml_fitted import GgmlKernel, corrected_kernel
from planner.throughput.launches import copy_seconds, reduction_seconds

_DATA = Path(__file__).resolve().parent / "data" / "ggml.toml"
KERNEL = "ggml"
MOE = {
    "int8": "moe-int8",
    "w8a16": "moe-w8a16",
    "w4a16": "moe-w4a16",
    "bf16": "moe-bf16",
    "fp16": "moe-bf16",
    "fp32": "moe-bf16",
}
"""The class of grouped kernels by that of dense ones."""
ONCE = 1e18
"""Rows of a tile that holds all of them: weights are unpacked once a product."""
EVERY_ROW, BY_STEP, BY_MEAN = 0.0, 1.0, 2.0
"""Which tiles experts fill: those of a dense product, of a width by the tokens of the step, of one
by the mean of an expert's."""
FP32_BYTES = 4.0
"""Activations enter, and results leave, in FP32."""


def runs_on_ggml(scheme: Scheme) -> bool:
    """Whether ``scheme`` is a block type that ggml's kernels multiply."""
    return scheme.kernel == KERNEL


def engine_runs(engine: str) -> bool:
    """Whether ``engine`` multiplies ggml types with the kernels that are modelled here."""
    return engine in rules()["engines"]


def ggml_certainty(device: DeviceProfile) -> Certainty:
    """How sure the times are: counted and measured on one core, on no device of the catalogue; by
    achieved fractions where a back end widens weights, as any kernel without measurements."""
    if widening(device) is not None:
        return PRIOR
    return Certainty("prior", float(rules()["sigma"]), "ggml kernels by instruction counts")


def cpu_units() -> tuple[str, ...]:
    """Vector units of CPUs in the order in which ggml prefers them."""
    return tuple(dict.fromkeys(name for law in rules()["cpu"]["unit"] for name in law["names"]))


def cpu_unit(device: DeviceProfile) -> tuple[str, Mapping[str, Any]] | None:
    """(name, law) of the vector unit that ggml's kernels use on ``device``, None without a rate of
    integer products on one."""
    return next(
        (
            (name, law)
            for law in rules()["cpu"]["unit"]
            for name in law["names"]
            if (name, "int8") in device.rates
            and (not law["architectures"] or device.architecture in law["architectures"])
        ),
        None,
    )


def on_cpu(device: DeviceProfile) -> bool:
    """Whether ggml runs on the CPU of ``device``: it is one, or a chip whose only known kernels are
    those of its vector unit."""
    return device.kind == "cpu" or (
        device.compute_capability is None and cpu_unit(device) is not None
    )


def widening(device: DeviceProfile) -> Mapping[str, Any] | None:
    """The law of a back end that widens weights to 16 bits for its products, None where blocks are
    multiplied as integers."""
    return next((law for law in rules()["widening"] if device.platform in law["platforms"]), None)


def ggml_compute(device: DeviceProfile, scheme: Scheme) -> str:
    """The format that ggml multiplies ``scheme`` in on ``device``."""
    if widening(device) is None:
        return scheme.compute
    return "fp16" if device.rate("fp16") is not None else "bf16"


def ggml_refusal(device: DeviceProfile, scheme: Scheme) -> Text:
    """Why ggml cannot multiply ``scheme`` on ``device``; empty if it can."""
    compute = ggml_compute(device, scheme)
    if device.rate(compute) is None:
        return device.why_not(compute)
    if on_cpu(device):
        return (
            ""
            if cpu_unit(device) is not None
            else message(
                "devices.no_integer_products_of_ggml", d=device.id, units=", ".join(cpu_units())
            )
        )
    law = widening(device)
    built = any(device.platform in row.get("platforms", ()) for row in rules()["gpu"]["mma"])
    if device.compute_capability is None and law is None and not built:
        return message("devices.no_kernels_of_ggml", d=device.id)
    if scheme.id not in rules()["gpu"]["instructions"]:
        return message("devices.ggml_has_no_kernels_for", scheme=scheme.id)
    if law is not None and scheme.id in law["without"]:
        return message("devices.back_end_does_not_multiply", name=law["name"], scheme=scheme.id)
    return "" if device.rate("fp32") is not None else device.why_not("fp32")


def classes(device: DeviceProfile, scheme: Scheme) -> tuple[str, str]:
    """(class of a matrix product, class that reads the weights) in a profile's achieved figures."""
    if not runs_on_ggml(scheme):
        return scheme.kernel, scheme.kernel
    return (
        ggml_compute(device, scheme),
        "w8a16" if bits_per_element(scheme.weight) > 6 else "w4a16",
    )


def ggml_kernel(device: DeviceProfile, scheme_id: str, *, experts: bool) -> GgmlKernel:
    """The kernels of a type on a device that :func:`ggml_refusal` has nothing against: as its own
    rows say where it has fitted sets, else as counted."""
    counted = counted_kernel(device, scheme_id, experts=experts)
    apart = experts and on_cpu(device) and _path(device, scheme_id) in ("dot", "llamafile")
    return corrected_kernel(device, scheme_id, counted, apart=apart)


def _path(device: DeviceProfile, scheme_id: str) -> str:
    chosen = cpu_unit(device)
    assert chosen is not None
    return str(chosen[1]["products"][scheme_id]["path"])


def counted_kernel(device: DeviceProfile, scheme_id: str, *, experts: bool) -> GgmlKernel:
    """The kernels of a type on a device by data/ggml.toml and the device's rates alone. On GPUs
    experts of few tokens are the dense vector kernel with a list of rows
    (:data:`rules`, gpu.experts): its launch, and its share of the bandwidth."""
    scheme = scheme_by_id(scheme_id)
    launched, reading = classes(device, scheme)
    product = MOE[launched] if experts else launched
    if experts and on_cpu(device):
        launched, reading = product, MOE[reading]
    made = _on_cpu if on_cpu(device) else _on_gpu if widening(device) is None else _widening
    figures = made(device, scheme.id, product, experts)
    bandwidth = device.bandwidth_bytes_per_s.value
    share = device.achieved[reading].bandwidth_fraction.value
    return GgmlKernel(
        **figures,
        memory=1.0 / (bandwidth * share),
        launch=device.achieved[launched].floor_seconds.value
        if on_cpu(device)
        else reduction_seconds(device),
        activation_bytes=bits_per_element(scheme.activation) / 8,
    )


def _on_gpu(device: DeviceProfile, name: str, product: str, experts: bool) -> dict[str, float]:
    law = rules()["gpu"]
    vector, matrix = device.rate("fp32"), device.rate("int8")
    assert vector is not None
    assert matrix is not None
    count = law["instructions"][name]
    # Experts fill whole tiles (`expert_tile`): servers' grouped kernels reach less for theirs.
    reached = device.achieved[ggml_compute(device, scheme_by_id(name))].compute_fraction.value
    tiles = "scale" in count
    per_flop = _by_capability(device, law["issue"])["per_flop"]
    issued = vector.dense.value * per_flop * device.achieved["fp32"].compute_fraction.value
    multiplied = matrix.dense.value * _by_capability(device, law["mma"])["share"] * reached
    if not tiles:
        multiplied = _fp16_rate(device)
    plain = device.achieved["elementwise"]
    moved = FP32_BYTES + bits_per_element(scheme_by_id(name).activation) / 8
    bandwidth = device.bandwidth_bytes_per_s.value * plain.bandwidth_fraction.value
    return {
        "vector": count["vector"] / issued,
        "vector_rows": float(law["vector_rows"]),
        "tile": 2.0 / multiplied + count.get("scale", 0.0) / issued,
        "least_rows": 1.0,
        "step": float(law["tile_step"]),
        "unpack": count["unpack"] / issued,
        "tile_rows": float(law["tile_rows"]) if tiles else ONCE,
        "quantise": moved / bandwidth,
        "least_quantised": 0.0,
        "quantise_launch": copy_seconds(device),
        "expert_tile": _expert_tile(device) if experts else EVERY_ROW,
    }


def _expert_tile(device: DeviceProfile) -> float:
    by_mean = rules()["gpu"]["tile_by_mean"]["architectures"]
    return BY_MEAN if device.architecture in by_mean else BY_STEP


def _widening(device: DeviceProfile, name: str, product: str, experts: bool) -> dict[str, float]:
    """Few tokens by vector code on the widened weights, more by tiles that widen them first;
    activations are not quantised."""
    law, vector = widening(device), device.rate("fp32")
    assert law is not None
    assert vector is not None
    count = rules()["gpu"]["instructions"][name]
    issued = vector.dense.value * law["per_flop"] * device.achieved[product].compute_fraction.value
    return {
        "vector": (law["multiply"] + count["unpack"]) / issued,
        "vector_rows": float(law["vector_rows"]),
        "tile": 2.0 / _fp16_rate(device),
        "least_rows": 1.0,
        "step": float(law["tile_step"]),
        "unpack": count["unpack"] / issued,
        "tile_rows": float(law["tile_rows"]),
        "quantise": 0.0,
        "least_quantised": 0.0,
        "quantise_launch": 0.0,
        "expert_tile": EVERY_ROW,
    }


def _fp16_rate(device: DeviceProfile) -> float:
    """FLOP/s of products whose weights were widened to FP16."""
    rate = device.rate("fp16") or device.rate("bf16")
    assert rate is not None
    return rate.dense.value * device.achieved["bf16"].compute_fraction.value


def _on_cpu(device: DeviceProfile, name: str, product: str, experts: bool) -> dict[str, float]:
    law = rules()["cpu"]
    chosen = cpu_unit(device)
    assert chosen is not None
    unit, figures = chosen
    cycles = device.rates[unit, "int8"].dense.value / 2.0 / figures["peak_products"]
    count = figures["products"][name]
    cores = device.silicon.multiprocessors.value if device.silicon is not None else 1.0
    path = "dot" if experts and count["path"] == "llamafile" else count["path"]
    many = count["one"] if path == "dot" else count["many"]
    cpu_figures = {
        "vector": 1.0 / (count["one"] * cycles),
        "vector_rows": float(law["paths"][path]),
        "tile": 1.0 / (many * cycles),
        "least_rows": 1.0,
        "step": 0.0,
        "unpack": 1.0 / (count["unpack"] * cycles) if path == "tiled" else 0.0,
        "tile_rows": ONCE,
        # Of repacked blocks, as with AMX, a row is quantised by one core.
        "quantise": 1.0 / (count["quantise"] * cycles),
        "quantise_launch": 0.0,
        "least_quantised": cores if path == "repacked" else 0.0,
        "expert_tile": EVERY_ROW,
    }
    amx = device.rates.get(("amx", "int8"))
    if experts or amx is None or name not in law["amx_types"]:
        return cpu_figures
    share = min(law["amx_share"], device.achieved[product].compute_fraction.value)
    return cpu_figures | {
        "vector": 1.0 / (law["amx_products"] * cycles),
        "vector_rows": 1.0,
        "tile": 2.0 / (amx.dense.value * share),
        "least_rows": float(law["amx_least_rows"]),
        "unpack": 0.0,
        "quantise": 1.0 / (law["amx_quantise"] * cycles),
        "least_quantised": cores,
    }


def _by_capability(device: DeviceProfile, rows: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The first row whose ranges of compute capability, or whose platforms, hold the device."""
    here = _version(device.compute_capability or "0")
    for row in rows:
        if device.compute_capability is None and device.platform in row.get("platforms", ()):
            return row
        ends = [span.partition("-") for span in row["capability"].split()]
        if any(
            _version(low) <= here and (not high or here <= _version(high)) for low, _, high in ends
        ):
            return row
    return rows[-1]


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("."))


@cache
def rules() -> Mapping[str, Any]:
    """data/ggml.toml."""
    return tomllib.loads(_DATA.read_text(encoding="utf-8"))
