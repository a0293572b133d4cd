"""Names of tables that contain a known model's name and mean another: all aliases walked."""

import pytest

from planner.lab.validation.memory_rows import format_rule, read_row
from planner.lab.validation.names import format_name, model_name, stated_sizes
from planner.memory.resident import as_released
from planner.models.catalog import catalog
from planner.models.inventory import Inventory

NAMES = [
    (entry.id, name)
    for entry in catalog().values()
    for name in (entry.id, entry.public_name, *entry.aliases)
]
DERIVED = (
    "-Distill-Qwen-1.5B",
    "-Distill-Llama-70B",
    "-0528-Qwen3-0.6B",
    "-Mini-2B",
    "-VL-3B",
    "-EAGLE3",
    "_MTP",
)


def test_every_alias_is_its_own_model() -> None:
    wrong = {}
    for own, name in NAMES:
        found = model_name(name)
        if found is None or found.spec.id != own:
            wrong[name] = found and found.spec.id
    assert wrong == {}


@pytest.mark.sample(2)
@pytest.mark.parametrize("ending", DERIVED)
def test_no_derived_name_is_its_namesake(ending: str) -> None:
    meant = model_name(ending)  # what the ending alone names
    wrong = {}
    for own, name in NAMES:
        found = model_name(name + ending)
        if found is not None and found.spec.id == own and (meant is None or meant.spec.id != own):
            wrong[name + ending] = own
    assert wrong == {}


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("deepseek-ai/DeepSeek-R1-0528-Qwen3-8B", 8_190_735_360),
        ("deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B", 1_777_088_000),
        ("deepseek-ai/DeepSeek-R1-Distill-Qwen-32B", 32_763_876_352),
        ("deepseek-ai/DeepSeek-R1-Distill-Llama-8B", 8_030_261_248),
    ],
)
def test_models_that_carry_another_name(name: str, parameters: int) -> None:
    found = model_name(name)
    assert found is not None
    assert Inventory(found.spec).parameters_total == parameters


def test_a_derived_release_has_its_own_formats() -> None:
    for name, expected in (
        ("deepseek-ai/DeepSeek-V4-Flash", "deepseek-v4-flash"),
        ("sgl-project/DeepSeek-V4-Flash-FP8", "deepseek-v4-flash-fp8"),
    ):
        found = model_name(name)
        assert found is not None
        assert found.spec.id == expected


@pytest.mark.parametrize("dtype", ["deepseek_v4_fp8", "FP8", "MXFP4"])
def test_a_release_of_two_schemes_is_as_released(dtype: str) -> None:
    """V4's experts are FP4 and the rest FP8; engines print either."""
    text = dict.fromkeys(
        (
            "source",
            "gpu_memory_utilization",
            "max_model_len",
            "block_size",
            "raw_line",
            "kv_dtype",
            "n_devices",
            "notes",
        ),
        "",
    )
    row = read_row(
        0,
        text
        | {
            "engine": "vllm",
            "engine_version": "0.19 (V1)",
            "model": "deepseek-ai/DeepSeek-V4-Flash",
            "checkpoint_dtype": dtype,
            "device": "B200",
            "tp": "4",
            "pp": "1",
            "dp": "1",
            "ep": "1",
            "quantity": "weights_gib_per_gpu",
            "value": "40",
            "unit": "GiB",
            "confidence": "high",
        },
    )
    assert row is not None
    assert row.model is not None
    assert format_rule(row, row.model.spec) is as_released


def test_sizes_in_names() -> None:
    assert stated_sizes("Qwen3-30B-A3B") == ((30e9, False),)
    assert stated_sizes("Mixtral 8x7B v0.1") == ((56e9, True),)
    assert stated_sizes("SmolLM2-135M") == ((135e6, False),)
    assert stated_sizes("gemma-3n-E4B v2B3") == ()


@pytest.mark.parametrize(
    ("text", "notes", "group"),
    [
        ("AWQ int4 (g64)", "", 64),
        ("AWQ", "group_size: 64", 64),
        ("AWQ int4", "gpu 64", 0),
    ],
)
def test_groups_of_a_table(text: str, notes: str, group: int) -> None:
    found = format_name(text, notes)
    assert found is not None
    assert found.group == group
