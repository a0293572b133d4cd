"""The engine matrix against the engines' own selectors: every capability, module, scheme and format
that both speak of."""

from typing import Any

import pytest

import planner
from planner.base.errors import UnsupportedError
from planner.formats.schemes import SCHEMES
from planner.hardware.profile import DeviceProfile
from planner.memory.engines.catalog import Engine, parse_engine
from planner.planning.engines.routes import route, scheme_choice
from planner.planning.engines.rules import PLAIN, containers, requantised, support_cell
from planner.planning.engines.writers import writers
from planner.throughput.kernels import WEIGHT_ONLY_OF, refusal

DEVICES = (
    "a100-sxm",
    "jetson-agx-orin-64gb",
    "l40s",
    "h100-sxm",
    "b200-sxm",
    "b300-sxm",
    "jetson-agx-thor",
    "rtx-pro-6000",
)
"""One of each compute capability."""
READ = ("vllm@0.33", "sglang@0.5.23", "tensorrt-llm@1.2")
"""The versions whose selectors were read."""
JETSON = ("jetson-agx-orin-64gb", "jetson-agx-thor")
"""What TensorRT-LLM is not said to run on."""
PLACES = [
    (name, device)
    for name in READ
    for device in DEVICES
    if device not in JETSON or not name.startswith("tensorrt")
]


def spoken_of(engine: Engine, device: DeviceProfile) -> list[tuple[str, str, str]]:
    """(scheme, group, format) that an exporter writes and the selectors were read for."""
    return [
        (s, group, c)
        for group in ("dense", "experts")
        for s in SCHEMES
        if s not in PLAIN
        for c in containers(engine)
        if c in writers() and s in writers()[c].schemes
        if scheme_choice(engine, device, s, group, c) is not None
    ]


@pytest.mark.parametrize(("name", "device_name"), PLACES)
def test_what_is_served_has_a_kernel(name: str, device_name: str) -> None:
    """What raises is refused, what was not checked is unknown, and what is weight-only although
    quantised activations are asked for is priced as its weight-only twin."""
    engine, device = parse_engine(name), planner.load_device(device_name)
    seen = 0
    for scheme, group, container in spoken_of(engine, device):
        choice = scheme_choice(engine, device, scheme, group, container)
        assert choice is not None
        if support_cell(engine, device, "scheme", scheme, group, container).status != "supported":
            continue
        seen += 1
        where = (scheme, group, container, choice.kernel)
        assert choice.path in ("native", "weight-only"), where
        found = route(engine, device, scheme, group, container)
        if (
            choice.path == "weight-only"
            and scheme in WEIGHT_ONLY_OF
            and not refusal(device, SCHEMES[WEIGHT_ONLY_OF[scheme]])
        ):
            assert found is not None, where
            assert found.runs_as == WEIGHT_ONLY_OF[scheme]
        elif choice.path == "native":
            assert found is None, where
    assert seen


@pytest.mark.parametrize(("name", "device_name"), PLACES)
def test_what_runs_as_asked_is_not_refused(name: str, device_name: str) -> None:
    """A kernel that does as the scheme asks is refused by no rule but one that says what it does
    otherwise (emulated: another scheme's activations or scales)."""
    engine, device = parse_engine(name), planner.load_device(device_name)
    for scheme, group, container in spoken_of(engine, device):
        choice = scheme_choice(engine, device, scheme, group, container)
        assert choice is not None
        said = support_cell(engine, device, "scheme", scheme, group, container)
        if choice.path == "native" and not choice.reason:
            assert said.status in ("supported", "unknown", "emulated"), (scheme, group, container)
            if said.status == "emulated":
                assert any(word in said.note for word in ("name ", "activations are quantised")), (
                    scheme,
                    group,
                    container,
                    said.note,
                )


@pytest.mark.parametrize(
    ("name", "device", "scheme", "group", "container", "status"),
    [
        # Per-tensor FP8 experts with dynamic activations are weight-only from compressed-tensors
        # and run in FP8 from other formats; integers of dense layers raise on SM 10.0 and above.
        ("vllm@0.33", "b200-sxm", "int8-w8a8", "dense", "compressed-tensors", "refused"),
        ("vllm@0.33", "b200-sxm", "int8-w8a8", "experts", "compressed-tensors", "supported"),
        ("vllm@0.33", "h100-sxm", "int8-w8a16", "experts", "compressed-tensors", "refused"),
        ("vllm@0.33", "a100-sxm", "fp8-block", "dense", "fp8", "emulated"),
    ],
)
def test_what_raises_is_refused(
    name: str, device: str, scheme: str, group: str, container: str, status: str
) -> None:
    found = support_cell(
        parse_engine(name), planner.load_device(device), "scheme", scheme, group, container
    )
    assert found.status == status


@pytest.mark.parametrize("device", ["l40s", "h100-sxm", "b200-sxm", "rtx-pro-6000"])
def test_per_tensor_experts_are_weight_only_from_one_format(device: str) -> None:
    engine, profile = parse_engine("vllm@0.33"), planner.load_device(device)
    found = route(engine, profile, "fp8-tensor", "experts", "compressed-tensors")
    assert found is not None
    assert found.runs_as == WEIGHT_ONLY_OF["fp8-tensor"]
    assert route(engine, profile, "fp8-tensor", "experts", "modelopt-mixed") is None
    assert route(engine, profile, "fp8-channel", "experts", "compressed-tensors") is None


def test_what_an_engine_requantises_unasked_is_said() -> None:
    """FP32 scales of blocks become powers of two where vLLM runs DeepGEMM."""
    engine = parse_engine("vllm@0.33")
    assert requantised(engine, planner.load_device("h100-sxm"), "fp8-block") is not None
    assert requantised(engine, planner.load_device("h100-sxm"), "fp8-block-ue8m0") is None
    assert requantised(engine, planner.load_device("l40s"), "fp8-block") is None
    plan = planner.estimate(
        "llama-3.1-8b", "h100-sxm", scheme="fp8-block", engine="vllm@0.33", context=8192, batch=4
    )
    note = next(a for a in plan.assumptions if a.key == "scales of fp8-block")
    assert "VLLM_USE_DEEP_GEMM_E8M0=0" in note.reason
    assert "VLLM_USE_DEEP_GEMM_E8M0=0" in planner.export_plan(plan).files["README.md"]


def test_block_formats_that_run_as_one_are_one_choice() -> None:
    """A plan for vLLM holds one of them: that of the release, else the first."""
    asked: dict[str, Any] = {
        "devices": 8,
        "tp": 8,
        "ep": 8,
        "batch": 32,
        "context": 8192,
        "engine": "vllm@0.33",
    }
    for model, other in (("deepseek-v3", "fp8-block-ue8m0"), ("deepseek-v3.1", "fp8-block")):
        made = planner.plan(model, "h200-sxm", exact=True, **asked)
        assert other not in {u.scheme for u in made.units}
    with pytest.raises(UnsupportedError, match="one scheme with fp8-block"):
        planner.plan("deepseek-v3", "h200-sxm", schemes=["fp8-block", "fp8-block-ue8m0"], **asked)
