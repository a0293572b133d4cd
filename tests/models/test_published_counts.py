"""Counts of the bundled models against published figures, to the element and to the byte."""

import csv
import json
import re
from pathlib import Path

import pytest

from planner.base.units import GIB
from planner.models.catalog import model_ids, resolve_model
from planner.models.configuration import spec_from_bytes
from planner.models.inventory import Inventory, expand

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
# Bundled since before names of common sizes: those that the table counts, and their variants.
FIRST = model_ids()[: model_ids().index("llama-2-7b")]
# Columns of the published table for each module kind of the main model.
COLUMNS = {
    "embedding": ("embedding",),
    "head": ("lm_head",),
    "router": ("router",),
    "norm": ("norm",),
    "indexer": ("indexer",),
    "attention-out": ("attn.o_proj", "attn.c_proj", "attn.o_a_proj", "attn.o_b_proj"),
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


def test_every_counted_model_equals_the_table(facts):
    """All 53 models of the table: the total and the three conventions of active parameters."""
    table = _published(facts)
    assert len(table) == 53
    for model_id, row in table.items():
        inventory = Inventory(resolve_model(model_id))
        found = (inventory.parameters_total, *inventory.parameters_active.values())
        assert found == tuple(int(row[name]) for name in (
            "total", "active_with_embedding", "active_excl_input_embedding",
            "active_excl_embed_and_head")), model_id  # fmt: skip
    variants = set(FIRST) - set(table)
    assert variants == {
        "deepseek-v3.1-nvfp4", "deepseek-v3.2-nvfp4", "deepseek-v4-flash-fp8",
        "deepseek-v4-pro-fp8", "deepseek-v4-pro-nvfp4", "glm-5-fp8", "glm-5.3", "kimi-k2.5",
        "qwen3-235b-a22b-fp8", "qwen3-30b-a3b-fp8", "qwen3-32b-fp8",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("variant", "original"),
    [
        ("deepseek-v3.1-nvfp4", "deepseek-v3"), ("deepseek-v3.2-nvfp4", "deepseek-v3.2"),
        ("deepseek-v4-flash-fp8", "deepseek-v4-flash"), ("deepseek-v4-pro-fp8", "deepseek-v4-pro"),
        ("deepseek-v4-pro-nvfp4", "deepseek-v4-pro"), ("glm-5-fp8", "glm-5"),
        ("kimi-k2.5", "kimi-k2-instruct"), ("qwen3-235b-a22b-fp8", "qwen3-235b-a22b"),
        ("qwen3-30b-a3b-fp8", "qwen3-30b-a3b"), ("qwen3-32b-fp8", "qwen3-32b"),
    ],
)  # fmt: skip
def test_a_quantised_release_has_the_parameters_of_its_original(variant, original):
    found, other = Inventory(resolve_model(variant)), Inventory(resolve_model(original))
    assert found.parameters_by_kind == other.parameters_by_kind
    assert found.parameters_active == other.parameters_active
    assert found.parameters_mtp == other.parameters_mtp


@pytest.mark.parametrize(
    ("model_id", "prediction"),
    [
        ("glm-4.5", 5_539_962_272), ("glm-4.5-air", 3_616_573_568), ("glm-5", 9_952_920_576),
        ("deepseek-v3", 13_463_426_304),
    ],
)  # fmt: skip
def test_prediction_layers_explain_the_published_totals(model_id, prediction):
    assert Inventory(resolve_model(model_id)).parameters_mtp == prediction


def test_the_prediction_layer_of_qwen35_is_that_of_qwen3_next(facts):
    """Published files of Qwen3-Next hold 1,650,471,424 parameters more than its main model."""
    config = json.loads((facts / "models" / "qwen3.5-35b-a3b.json").read_text())
    text = config["text_config"]
    text |= {"num_experts": 512, "num_experts_per_tok": 10, "vocab_size": 151936}
    spec = spec_from_bytes(
        json.dumps(config).encode(), "config.json", model_id="x", public_name="x", source="test",
        source_kind="file",
    )  # fmt: skip
    assert text["hidden_size"] == 2048
    assert Inventory(spec).parameters_mtp == 1_650_471_424


@pytest.mark.parametrize(
    ("model_id", "payload"),
    [
        ("kimi-k2-instruct", 1_029_173_249_888), ("gpt-oss-20b", 13_761_264_768),
        ("gpt-oss-120b", 65_248_815_744), ("deepseek-v3.1", 688_574_839_360),
        ("glm-5-fp8", 756_162_687_872),
    ],
)  # fmt: skip
def test_payload_of_quantised_releases(model_id, payload):
    assert Inventory(resolve_model(model_id)).payload_bytes == payload


@pytest.mark.parametrize(
    ("model_id", "size"),
    [("deepseek-v4-flash", 147_169_738_752), ("deepseek-v4-pro", 822_054_223_872)],
)
def test_fp4_experts_of_deepseek_v4(model_id, size):
    routed = [pattern for pattern in Inventory(resolve_model(model_id)).patterns
              if pattern.part == "main" and pattern.kind.startswith("experts-")]  # fmt: skip
    assert sum(pattern.bytes for pattern in routed) == size
    assert {pattern.dtype for pattern in routed} == {"I8", "F8_E8M0"}


def test_minimax_counts_its_scales():
    inventory = Inventory(resolve_model("minimax-m2.5"))
    assert sum(inventory.elements_by_dtype.values()) == 228_703_644_928
    assert inventory.parameters_total == 228_689_764_864


def test_the_prediction_layer_of_deepseek_v4_flash_is_the_published_file():
    """Types and shapes of the header of the last of 46 files, as public listings have them."""
    spec = resolve_model("deepseek-v4-flash")
    tensors = {t.name: (t.dtype, t.shape) for t in expand(spec) if t.name.startswith("mtp.0.")}
    assert len(tensors) == 1575
    for name, dtype, shape in (
        ("attn.wq_a.weight", "F8_E4M3", (1024, 4096)), ("attn.wq_a.scale", "F8_E8M0", (8, 32)),
        ("attn.wq_b.weight", "F8_E4M3", (32768, 1024)), ("attn.wkv.weight", "F8_E4M3", (512, 4096)),
        ("attn.wo_a.weight", "F8_E4M3", (8192, 4096)), ("attn.wo_b.scale", "F8_E8M0", (32, 64)),
        ("e_proj.weight", "F8_E4M3", (4096, 4096)), ("h_proj.scale", "F8_E8M0", (32, 32)),
        ("attn.attn_sink", "F32", (64,)), ("attn.q_norm.weight", "BF16", (1024,)),
        ("norm.weight", "BF16", (4096,)), ("ffn.gate.weight", "BF16", (256, 4096)),
        ("ffn.gate.bias", "F32", (256,)), ("hc_attn_fn", "F32", (24, 16384)),
        ("hc_ffn_base", "F32", (24,)), ("hc_attn_scale", "F32", (3,)),
        ("hc_head_fn", "F32", (4, 16384)), ("hc_head_scale", "F32", (1,)),
        ("ffn.experts.255.w1.weight", "I8", (2048, 2048)),
        ("ffn.experts.128.w2.scale", "F8_E8M0", (4096, 64)),
        ("ffn.shared_experts.w2.scale", "F8_E8M0", (32, 16)),
    ):  # fmt: skip
        assert tensors["mtp.0." + name] == (dtype, shape), name


def test_tensors_of_deepseek_v4_pro_in_published_listings():
    tensors = {t.name: (t.dtype, t.shape) for t in expand(resolve_model("deepseek-v4-pro"))}
    for name, dtype, shape in (
        ("layers.0.attn.compressor.wkv.weight", "BF16", (512, 7168)),
        ("layers.2.attn.compressor.wkv.weight", "BF16", (1024, 7168)),
        ("layers.2.attn.indexer.compressor.wkv.weight", "BF16", (256, 7168)),
        ("layers.0.attn.compressor.ape", "F32", (128, 512)),
        ("layers.2.attn.compressor.ape", "F32", (4, 1024)),
        ("layers.2.attn.indexer.wq_b.weight", "F8_E4M3", (8192, 1536)),
        ("layers.2.attn.indexer.weights_proj.weight", "BF16", (64, 7168)),
        ("layers.1.ffn.gate.tid2eid", "I64", (129280, 6)),
        ("layers.9.attn.wo_a.weight", "F8_E4M3", (16384, 4096)),
        ("layers.9.ffn.experts.383.w1.weight", "I8", (3072, 3584)),
        ("layers.9.ffn.experts.383.w1.scale", "F8_E8M0", (3072, 224)),
        ("layers.9.hc_attn_fn", "F32", (24, 28672)), ("mtp.0.hc_head_fn", "F32", (4, 28672)),
    ):  # fmt: skip
        assert tensors[name] == (dtype, shape), name
    biases = [name for name in tensors if name.endswith("ffn.gate.bias")]
    assert len(biases) == 59
    assert "layers.2.ffn.gate.bias" not in tensors


COUNTED = tuple(name for name in FIRST if not name.endswith(("-nvfp4", "-fp8"))
                and name not in ("kimi-k2.5", "glm-5.3"))  # fmt: skip


@pytest.mark.parametrize("model_id", COUNTED)
def test_sums_by_kind_equal_the_published_columns(model_id, facts):
    row = _published(facts)[model_id]
    kinds = Inventory(resolve_model(model_id)).parameters_by_kind

    def column(*names: str) -> int:
        return sum(int(row[name]) for name in names)

    assert sum(kinds.values()) == column("total")
    if not model_id.startswith("deepseek-v4"):
        for kind, names in COLUMNS.items():
            assert kinds.get(kind, 0) == column(*names), kind
    queries = "mla-q" if "mla-q" in kinds else "attention-qkv"
    assert kinds[queries] == column(
        "attn.q_proj",
        "attn.q_a_proj",
        "attn.q_b_proj",
        "attn.k_proj",
        "attn.v_proj",
        "attn.qkv_proj",
        "attn.c_attn",
        "attn.sinks",
    )
    for prefix, name in (("experts", "routed_experts"), ("shared", "shared_expert")):
        assert kinds.get(prefix + "-gate-up", 0) + kinds.get(prefix + "-down", 0) == column(name)
    assert kinds.get("mlp-gate-up", 0) + kinds.get("mlp-down", 0) == column("dense_mlp")
    assert kinds.get("linear-attention", 0) == column("linear_attn")


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


def test_bundled_configurations_are_the_published_values(facts):
    from planner.models import catalog

    folder = Path(catalog.__file__).parent / "configs"
    for model_id in FIRST:
        bundled = json.loads((folder / f"{model_id}.json").read_text())
        assert bundled == json.loads((facts / "models" / f"{model_id}.json").read_text())


def test_later_verbatim_configurations_are_the_published_files(facts):
    from planner.models import catalog

    folder = Path(catalog.__file__).parent / "configs"
    for model_id in model_ids()[len(FIRST) :]:
        entry = catalog.catalog()[model_id]
        if entry.source_kind == "verbatim":
            name = f"{entry.public_name.replace('/', '--')}_config.json"
            published = json.loads((facts / "models_more" / name).read_text())
            assert json.loads((folder / f"{model_id}.json").read_text()) == published


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
