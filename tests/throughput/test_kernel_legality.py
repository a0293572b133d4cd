"""Which scheme runs where, on which path, and why not."""

import pytest

from planner.base.errors import UnsupportedError
from planner.formats.schemes import scheme, scheme_ids
from planner.hardware.catalog import list_devices, resolve_device
from planner.hardware.profile import DeviceProfile
from planner.throughput.ggml import ggml_compute, widening
from planner.throughput.kernels import kernel, legal_schemes, refusal

NO_GGML = ("tpu", "neuron", "gaudi")
"""Platforms that llama.cpp has no back end for."""
DEVICES = {d.id: d for d in list_devices([])}
FP8 = ("fp8-tensor", "fp8-channel", "fp8-block", "fp8-block-ue8m0")


def device(name: str) -> DeviceProfile:
    return resolve_device(name, [])


@pytest.mark.parametrize(
    "name", ["a100-sxm", "jetson-agx-orin-64gb", "jetson-orin-nano-8gb", "drive-orin-x"]
)
@pytest.mark.parametrize("scheme_id", FP8)
def test_ampere_has_no_fp8(name: str, scheme_id: str) -> None:
    why = refusal(device(name), scheme(scheme_id))
    assert "fp8" in why.lower()
    with pytest.raises(UnsupportedError, match=scheme_id) as caught:
        kernel(device(name), scheme_id)
    assert why in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize("name", [d for d in DEVICES if d.startswith("xeon")])
def test_fp8_on_a_xeon_is_software_at_the_conversion_rate(name: str) -> None:
    xeon = device(name)
    assert xeon.rate("fp8") is None
    found = kernel(xeon, "fp8-block")
    bf16 = xeon.rate("bf16")
    assert bf16 is not None
    assert found.path == "software"
    assert found.peak_flop_per_s == bf16.dense.value
    assert found.conversion_elements_per_s == xeon.conversion["fp8"].value
    assert kernel(xeon, "bf16").conversion_elements_per_s == float("inf")


@pytest.mark.parametrize("name", sorted(DEVICES))
def test_every_refusal_has_a_reason_and_every_legal_scheme_a_kernel(name: str) -> None:
    found = DEVICES[name]
    legal, refused = legal_schemes(found, scheme_ids())
    assert sorted([*legal, *refused]) == sorted(scheme_ids())
    assert all(reason.strip() for reason in refused.values())
    for scheme_id in legal:
        for experts in (False, True):
            k = kernel(found, scheme_id, experts=experts)
            assert k.peak_flop_per_s > 0
            assert 0 < k.compute_fraction <= 1
            assert 0 < k.bandwidth_fraction <= 1
            assert k.floor_seconds >= 0
            assert k.conversion_elements_per_s > 0
            assert (k.path in ("native", "storage")) == (
                k.conversion_elements_per_s == float("inf")
            )


@pytest.mark.parametrize("name", sorted(DEVICES))
def test_storage_formats_run_in_ggml_alone(name: str) -> None:
    legal, refused = legal_schemes(DEVICES[name], scheme_ids())
    assert "storage" in refused["mxfp6"]
    for scheme_id in ("ggml-q8_0", "ggml-q4_0", "ggml-q4_k", "ggml-q6_k"):
        law = widening(DEVICES[name])
        able = (
            scheme_id not in law["without"]
            if law is not None
            else DEVICES[name].rate("int8") is not None and DEVICES[name].platform not in NO_GGML
        )
        assert (scheme_id in legal) == able
        if scheme_id in legal:
            assert kernel(DEVICES[name], scheme_id).path == "storage"


@pytest.mark.parametrize("name", sorted(DEVICES))
def test_native_paths_use_a_rate_that_the_profile_states(name: str) -> None:
    found = DEVICES[name]
    legal, _ = legal_schemes(found, scheme_ids())
    for scheme_id in legal:
        k = kernel(found, scheme_id)
        key = (
            "bf16"
            if k.path == "software"
            else ggml_compute(found, scheme(scheme_id))
            if k.path == "storage"
            else scheme(scheme_id).compute
        )
        rates = [r.dense.value for (_, f), r in found.rates.items() if f == key]
        assert k.peak_flop_per_s == max(rates)
        assert all(
            r.sparse is None or r.sparse.value != k.peak_flop_per_s
            for (_, f), r in found.rates.items()
            if f == key
        )
