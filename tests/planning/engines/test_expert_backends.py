"""Options that name the kernels of experts, and cells of experts that no kernel serves."""

from __future__ import annotations

import pytest

from planner.base.errors import UnsupportedError
from planner.lookup import load_device
from planner.memory.engines.catalog import parse_engine
from planner.planning.engines import expert_backends
from planner.planning.engines.expert_backends import expert_backend
from planner.planning.engines.routes import scheme_choice
from planner.planning.engines.rules import support_cell
from tests.support import theory

CLASS_OF = {
    "DEEPGEMM": "DeepGemmFusedMoE",
    "TRITON": "TritonFusedMoE",
    "TRTLLM": "TRTLLMGenFusedMoE",
    "w8a8_int8": "triton",
}
"""What the engines call the kernels that an option's value names."""


def option(engine: str, device: str, scheme: str, container: str) -> tuple[str, str, str]:
    made = expert_backend(parse_engine(engine), load_device(device), scheme, container)
    return ("", "", "") if made is None else (made.option, made.value, made.need)


@pytest.mark.parametrize(
    ("engine", "device", "scheme", "container", "expected"),
    [
        (
            "tensorrt-llm@1.2",
            "b200-sxm",
            "fp8-block-ue8m0",
            "fp8",
            ("moe_config.backend", "DEEPGEMM", "required"),
        ),
        ("tensorrt-llm@1.2", "h100-sxm", "fp8-block", "fp8", ("", "", "")),
        ("tensorrt-llm@1.2", "b200-sxm", "nvfp4", "modelopt", ("", "", "")),
        (
            "tensorrt-llm@1.0",
            "h200-sxm",
            "mxfp4-w4a16",
            "mxfp4",
            ("moe_config.backend", "TRITON", "required"),
        ),
        ("tensorrt-llm@1.3", "h200-sxm", "mxfp4-w4a16", "mxfp4", ("", "", "")),
        (
            "tensorrt-llm@1.2",
            "b200-sxm",
            "mxfp4-w4a8",
            "mxfp4",
            ("moe_config.backend", "TRTLLM", "documented"),
        ),
        (
            "sglang",
            "a100-sxm",
            "int8-w8a8",
            "compressed-tensors",
            ("--quantization", "w8a8_int8", "required"),
        ),
        ("vllm", "b200-sxm", "fp8-block", "fp8", ("", "", "")),
    ],
)
def test_what_a_command_names(
    engine: str, device: str, scheme: str, container: str, expected: tuple[str, str, str]
) -> None:
    assert option(engine, device, scheme, container) == expected


def test_every_option_names_the_kernel_that_the_selectors_file_has() -> None:
    devices = {"9.0": "h100-sxm", "10.0": "b200-sxm", "8.0": "a100-sxm"}
    seen = set()
    for row in expert_backends._rows():
        engine = parse_engine(f"{row.engine}@1.2" if row.engine == "tensorrt-llm" else row.engine)
        low = row.device.partition("-")[0]
        for scheme in row.schemes:
            choice = scheme_choice(
                engine, load_device(devices[low]), scheme, "experts", row.containers[0]
            )
            assert choice is not None
            assert choice.kernel == CLASS_OF[row.backend.value]
            seen.add(row.backend.value)
    assert seen == set(CLASS_OF)


def test_a_row_without_a_need_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"expert_backends\.csv"):
        expert_backends._read({"need": "", "option": "a", "value": "b"}, {})


@pytest.mark.parametrize(
    ("engine", "device", "scheme", "container", "word"),
    [
        ("tensorrt-llm", "h100-sxm", "fp8-channel", "modelopt", "scale a row"),
        ("tensorrt-llm@1.2", "h100-sxm", "fp8-channel", "modelopt", "scale a row"),
        ("tensorrt-llm", "h100-sxm", "int4-w4a16", "modelopt", "AWQ, GPTQ"),
        ("tensorrt-llm@1.2", "l40s", "int4-w4a16", "modelopt", "AWQ, GPTQ"),
        ("tensorrt-llm", "h100-sxm", "int8-w8a8", "modelopt", "SmoothQuant"),
    ],
)
def test_experts_without_a_kernel_are_refused(
    engine: str, device: str, scheme: str, container: str, word: str
) -> None:
    made = support_cell(
        parse_engine(engine), load_device(device), "scheme", scheme, "experts", container
    )
    assert made.status == "refused"
    assert word in made.note
    assert made.source is not None


def test_dense_layers_keep_what_their_own_methods_serve() -> None:
    for scheme in ("fp8-channel", "int4-w4a16"):
        made = support_cell(
            parse_engine("tensorrt-llm"),
            load_device("h100-sxm"),
            "scheme",
            scheme,
            "dense",
            "modelopt",
        )
        assert made.status == "supported"


def test_a_plan_does_not_put_experts_where_no_kernel_is() -> None:
    with pytest.raises(UnsupportedError, match="scale a row"):
        theory.estimate(
            "qwen3-30b-a3b",
            "h100-sxm",
            scheme="fp8-channel",
            engine="tensorrt-llm@1.2",
            context=4096,
        )
