"""Counts of the bundled models against published figures, to the element and to the byte."""

import csv
import json
import re
from pathlib import Path

import pytest

from planner.models.catalog import model_ids, resolve_model, spec_from_bytes
from planner.models.inventory import Inventory, expand
from planner.units import GIB

# id: main model, active with embedding, without input embedding, without embedding and head.
PUBLISHED = {
    "deepseek-v2-lite": (15_706_484_224, 2_661_150_208, 2_451_435_008, 2_241_719_808),
    "deepseek-v2": (235_741_434_880, 21_375_800_320, 20_851_512_320, 20_327_224_320),
    "deepseek-v3": (671_026_419_200, 37_552_297_472, 36_625_618_432, 35_698_939_392),
    "deepseek-r1": (671_026_419_200, 37_552_297_472, 36_625_618_432, 35_698_939_392),
    "deepseek-v3.2": (671_877_944_064, 38_403_822_336, 37_477_143_296, 36_550_464_256),
    "llama-3.1-8b": (8_030_261_248, 8_030_261_248, 7_504_924_672, 6_979_588_096),
    "llama-3.1-70b": (70_553_706_496, 70_553_706_496, 69_503_033_344, 68_452_360_192),
    "llama-3.1-405b": (405_853_388_800, 405_853_388_800, 403_752_042_496, 401_650_696_192),
    "qwen3-8b": (8_190_735_360, 8_190_735_360, 7_568_405_504, 6_946_075_648),
    "qwen3-32b": (32_762_123_264, 32_762_123_264, 31_984_210_944, 31_206_298_624),
    "qwen3-30b-a3b": (30_532_122_624, 3_353_032_704, 3_041_867_776, 2_730_702_848),
    "qwen3-235b-a22b": (235_093_634_560, 22_190_763_520, 21_568_433_664, 20_946_103_808),
    "mixtral-8x7b": (46_702_792_704, 12_879_925_248, 12_748_853_248, 12_617_781_248),
}
# Columns of the published table for each module kind of the main model.
COLUMNS = {
    "embedding": ("embedding",),
    "head": ("lm_head",),
    "router": ("router",),
    "norm": ("norm",),
    "indexer": ("indexer",),
    "attention-out": ("attn.o_proj",),
    "mla-kv": ("attn.kv_a_proj_with_mqa", "attn.kv_b_proj"),
}


def _published(facts: Path) -> dict[str, dict[str, str]]:
    with (facts / "param_counts.csv").open() as file:
        header, *lines = csv.reader(file)
    source = header.index("hf_total_source")
    rows = {}
    for line in lines:
        extra = len(line) - len(header)  # a comma in the source that is not quoted
        whole = [*line[:source], ",".join(line[source : source + extra + 1])]
        rows[line[0]] = dict(zip(header, whole + line[source + extra + 1 :], strict=True))
    return rows


@pytest.mark.parametrize("model_id", PUBLISHED)
def test_parameters_are_the_published_ones(model_id):
    inventory = Inventory(resolve_model(model_id))
    active = inventory.parameters_active
    assert (inventory.parameters_total, *active.values()) == PUBLISHED[model_id]
    assert list(active) == [
        "with_embedding", "without_input_embedding", "without_embedding_and_head",
    ]  # fmt: skip


def test_every_bundled_model_has_a_published_count():
    assert set(model_ids()) == set(PUBLISHED)


@pytest.mark.parametrize("model_id", PUBLISHED)
def test_sums_by_kind_equal_the_published_columns(model_id, facts):
    row = _published(facts)[model_id]
    kinds = Inventory(resolve_model(model_id)).parameters_by_kind

    def column(*names: str) -> int:
        return sum(int(row[name]) for name in names)

    assert sum(kinds.values()) == column("total")
    for kind, names in COLUMNS.items():
        assert kinds.get(kind, 0) == column(*names), kind
    queries = "mla-q" if "mla-q" in kinds else "attention-qkv"
    assert kinds[queries] == column(
        "attn.q_proj", "attn.q_a_proj", "attn.q_b_proj", "attn.k_proj", "attn.v_proj"
    )
    for prefix, name in (("experts", "routed_experts"), ("shared", "shared_expert")):
        assert kinds.get(prefix + "-gate-up", 0) + kinds.get(prefix + "-down", 0) == column(name)
    assert kinds.get("mlp-gate-up", 0) + kinds.get("mlp-down", 0) == column("dense_mlp")


def test_deepseek_v3_checkpoint_to_the_byte():
    inventory = Inventory(resolve_model("deepseek-v3"))
    assert inventory.elements_by_dtype == {
        "BF16": 3_918_786_560, "F32": 41_555_600, "F8_E4M3": 680_571_043_840,
    }  # fmt: skip
    assert inventory.payload_bytes == 688_574_839_360
    assert inventory.tensor_count == 91_991
    assert sum(inventory.elements_by_dtype.values()) == 684_531_386_000
    assert inventory.parameters_mtp == 13_463_426_304
    assert inventory.parameters_mtp_unique == 11_610_068_224


def test_deepseek_v32_with_and_without_scales():
    inventory = Inventory(resolve_model("deepseek-v3.2"))
    stored = sum(inventory.elements_by_dtype.values())
    scales = sum(pattern.elements for pattern in inventory.patterns if pattern.is_scale)
    assert stored == 685_396_921_376
    assert stored - scales == 685_355_329_792
    assert inventory.parameters_total + inventory.parameters_mtp == 685_355_329_792
    assert inventory.spec.quantization == "fp8-block-ue8m0"
    assert inventory.spec.attention[0].indexer_topk == 2048


@pytest.mark.parametrize(
    ("model_id", "file_bytes"),
    [
        ("deepseek-v2", 471_486_512_925),
        ("qwen3-235b-a22b", 470_191_875_096),
        ("qwen3-30b-a3b", 61_066_575_648),
        ("llama-3.1-8b", 16_060_556_376),
        ("llama-3.1-70b", 141_107_497_872),
        ("llama-3.1-405b", 811_706_916_800),
        ("deepseek-v3", 688_586_727_753),
    ],
)
def test_published_file_sizes_leave_only_headers(model_id, file_bytes):
    inventory = Inventory(resolve_model(model_id))
    per_tensor = (file_bytes - inventory.payload_bytes) / inventory.tensor_count
    assert 90 < per_tensor < 150


def test_deepseek_v3_layout_matches_row_by_row(facts):
    pattern_of = re.compile(r"(?<=layers\.)\d+")
    counted: dict[tuple[str, str, str], int] = {}
    for tensor in expand(resolve_model("deepseek-v3")):
        name = re.sub(r"(?<=experts\.)\d+", "E", pattern_of.sub("N", tensor.name))
        key = (name, "x".join(map(str, tensor.shape)), tensor.dtype)
        counted[key] = counted.get(key, 0) + 1
    with (facts / "models" / "deepseek-v3.checkpoint_layout.csv").open() as file:
        published = {
            (pattern_of.sub("N", row["tensor"]), row["shape"], row["dtype"]): int(row["count"])
            for row in csv.DictReader(file)
        }
    assert counted == published


def test_kimi_k2_is_deepseek_v3_with_other_sizes(facts):
    text = (facts / "models" / "kimi-k2-instruct.json").read_bytes()
    spec = spec_from_bytes(
        text, "config.json", model_id="kimi-k2-instruct", public_name="kimi", source="test",
        source_kind="file",
    )  # fmt: skip
    inventory = Inventory(spec)
    row = _published(facts)["kimi-k2-instruct"]
    assert inventory.parameters_total == int(row["total"])
    assert inventory.parameters_active["with_embedding"] == int(row["active_with_embedding"])
    assert inventory.payload_bytes == 1_029_173_249_888


def test_bundled_configurations_are_the_published_values(facts):
    from planner.models import catalog

    folder = Path(catalog.__file__).parent / "configs"
    for model_id in model_ids():
        bundled = json.loads((folder / f"{model_id}.json").read_text())
        assert bundled == json.loads((facts / "models" / f"{model_id}.json").read_text())


def test_routed_experts_at_eight_way_expert_parallelism():
    rows = resolve_model("deepseek-v3").rows
    routed = [row for row in rows if row.part == "main" and row.kind.startswith("experts-")]
    assert {row.layers[0] for row in routed} == {3}
    elements = sum(row.elements * row.copies for row in routed)
    assert elements == 58 * 256 * 44_040_192
    assert elements / 8 == 76.125 * GIB  # published as 76.13 GiB


def test_deepseek_v3_constants_of_one_layer():
    rows = {row.name.split("}.", 1)[-1]: row for row in resolve_model("deepseek-v3").rows
            if row.part == "main"}  # fmt: skip
    sizes = {
        "self_attn.q_a_proj.weight": 11_010_048, "self_attn.q_b_proj.weight": 37_748_736,
        "self_attn.kv_a_proj_with_mqa.weight": 4_128_768, "self_attn.kv_b_proj.weight": 16_777_216,
        "self_attn.o_proj.weight": 117_440_512, "mlp.gate.weight": 1_835_008,
        "mlp.gate.e_score_correction_bias": 256, "model.embed_tokens.weight": 926_679_040,
    }  # fmt: skip
    for name, elements in sizes.items():
        assert rows[name].elements == elements, name
    assert rows["self_attn.kv_a_proj_with_mqa.weight"].scale_shape == (5, 56)
    assert rows["mlp.gate_proj.weight"].layers == (0, 1, 2)
