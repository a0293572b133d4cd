"""Fits of gated delta kernels: known parameters come back."""

from itertools import product

import numpy as np
import pytest

from planner.hardware.catalog import resolve_device
from planner.lab.calibration.linear_attention import fit_tables, problems
from planner.throughput.forms.delta import DeltaShape, delta_parts
from planner.throughput.silicon import chip

TRUE = {
    "fused_recurrent_gated_delta_rule": (
        "recurrent",
        {"floor_seconds": 5e-6, "bandwidth_fraction": 0.7, "cached_factor": 1.8},
    ),
    "chunk_gated_delta_rule_flashinfer": (
        "chunk",
        {
            "floor_seconds": 5e-6,
            "load_seconds": 6e-6,
            "step_seconds": 2.5e-6,
            "bandwidth_fraction": 0.6,
            "slots": 1.0,
            "compute_fraction": 1.0,
            "fused": 1.0,
        },
    ),
}


def table(kernel: str) -> list[dict[str, str]]:
    variant, parameters = TRUE[kernel]
    figures = chip(resolve_device("h100-sxm"))
    assert figures is not None
    rows = []
    for k, ratio, b, s in product((1, 2, 4, 8, 16), (1, 2, 4), (1, 16, 256), (1, 512, 8192)):
        shape = DeltaShape(
            np.asarray(float(b)),
            np.asarray(float(s)),
            np.asarray(float(k)),
            np.asarray(float(k * ratio)),
            128.0,
            128.0,
        )
        seconds = float(delta_parts(parameters, figures, variant, shape, cold=False).total())
        rows.append(
            {
                "device": "h100_sxm",
                "software": "vllm 9",
                "kernel": kernel,
                "batch": f"{b}",
                "seq_len": f"{s}",
                "d_conv": "4",
                "k_heads": f"{k}",
                "k_dim": "128",
                "v_heads": f"{k * ratio}",
                "v_dim": "128",
                "latency_us": repr(seconds * 1e6),
            }
        )
    return rows


@pytest.mark.parametrize("kernel", list(TRUE))
def test_known_parameters_come_back(kernel: str) -> None:
    [(device, found)] = fit_tables(table(kernel))
    assert (device, found.operator, found.variant) == (
        "h100-sxm",
        "linear-attention",
        TRUE[kernel][0],
    )
    assert found.error.mean < 0.02
    for name, value in TRUE[kernel][1].items():
        assert found.parameters[name] == pytest.approx(value, rel=0.2), name


def test_few_rows_are_not_fitted() -> None:
    assert problems(table("fused_recurrent_gated_delta_rule")[:20]) == []
