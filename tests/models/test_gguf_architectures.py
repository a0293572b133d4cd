"""GGUF files of further architectures: headers that llama.cpp's converter wrote for small models of
Transformers 5.24, whose parameters were counted in their safetensors files."""

import json
import re
import struct
from math import prod
from pathlib import Path

import pytest

from planner.base.errors import DataError, PlannerError, UnsupportedError
from planner.models.catalog import resolve_model
from planner.models.gguf_configs import ARCHITECTURE_CONFIGS
from planner.models.gguf_header import GgufFile, Metadata
from planner.models.gguf_names import gguf_matrices
from planner.models.inventory import Inventory
from planner.models.kv import cache_description
from planner.models.storage import stored_bytes
from planner.planning.inspect.memory import memory
from tests.models.test_gguf import header
from tests.support.theory import estimate, plan

FILES = json.loads((Path(__file__).parent / "data" / "gguf_converted.json").read_text())
LATENT = ("deepseek_v2", "deepseek_v3")


def value(key, item):
    """One pair of metadata as bytes."""
    name = struct.pack("<Q", len(key)) + key.encode()
    if isinstance(item, str):
        return name + struct.pack("<IQ", 8, len(item)) + item.encode()
    if isinstance(item, bool):
        return name + struct.pack("<I?", 7, item)
    if isinstance(item, list):
        code, form = (7, "?") if isinstance(item[0], bool) else (5, "i")
        return name + struct.pack(f"<IIQ{len(item)}{form}", 9, code, len(item), *item)
    return name + struct.pack("<II", 4, item)


def tensors_of(family):
    found = []
    for text in FILES[family]["tensors"]:
        name, kind, shape = text.split(" ")
        found.append((name, kind, tuple(map(int, shape.split("x")))))
    return found


def write(path, family, change=lambda tensors: tensors, **metadata):
    pairs = FILES[family]["metadata"] | metadata
    placed, offset = [], 0
    for name, kind, shape in change(tensors_of(family)):
        placed.append((name, kind if kind != "MXFP4" else 39, shape[::-1], offset))
        offset += -(-stored_bytes(kind, prod(shape)) // 32) * 32
    body = header({}, placed, counts=(len(placed), len(pairs)))
    data = body[:24] + b"".join(value(*pair) for pair in pairs.items()) + body[24:]
    with path.open("wb") as file:
        file.write(data)
        file.truncate(-(-len(data) // 32) * 32 + offset)
    return resolve_model(str(path))


@pytest.mark.parametrize("family", FILES)
def test_a_converted_model_has_its_parameters_and_bytes(tmp_path, family):
    spec = write(tmp_path / "m.gguf", family)
    found = Inventory(spec)
    assert found.parameters_total == FILES[family]["parameters"]
    assert found.payload_bytes == sum(
        stored_bytes(kind, prod(shape)) for _, kind, shape in tensors_of(family)
    )
    assert spec.quantization == "bf16"


def test_every_architecture_has_a_file():
    named = {entry["metadata"]["general.architecture"] for entry in FILES.values()}
    assert named == set(ARCHITECTURE_CONFIGS)


@pytest.mark.parametrize("family", FILES)
def test_what_quantises_is_named_whether_read_from_a_file_or_a_configuration(tmp_path, family):
    """llama-quantize 0.5.0-dev typed exactly these of eighteen of the files (Q8_0 and Q4_0)."""
    named = {one.name for one in gguf_matrices(write(tmp_path / "m.gguf", family))}
    plain = {name for name, kind, shape in tensors_of(family) if kind == "BF16"} - named
    stems = {re.sub(r"^blk\.\d+\.|\.weight$", "", name) for name in plain}
    assert stems <= {
        "altup_proj",
        "altup_unembd_proj",
        "altup_router",
        "laurel_l",
        "laurel_r",
        "per_layer_model_proj",
    }
    kept = {
        kind for name, kind, _ in tensors_of(family) if name in named and "ffn_gate_inp" not in name
    }
    assert kept == {"BF16"}


def test_structures(tmp_path):
    """Windows, latents and states are those of the configurations the files were made from."""

    def layers(family):
        spec = write(tmp_path / "m.gguf", family)
        return {(a.kind, a.window): a.layers for a in spec.attention}

    assert layers("gpt_oss") == {("gqa", 0): (1, 3), ("gqa", 64): (0, 2)}
    assert layers("gemma3_text") == {("gqa", 0): (5,), ("gqa", 64): (0, 1, 2, 3, 4, 6)}
    assert layers("gemma4") == {("gqa", 0): (2, 3), ("gqa", 64): (0, 1)}
    assert layers("qwen3_next") == {("gqa", 0): (3,), ("linear", 0): (0, 1, 2)}
    assert layers("gemma2") == {("gqa", 0): (1, 3), ("gqa", 64): (0, 2)}
    assert (
        layers("cohere2")
        == layers("exaone4")
        == layers("olmo3")
        == {("gqa", 0): (3,), ("gqa", 64): (0, 1, 2)}
    )
    assert layers("mimo_v2") == {("gqa", 0): (0, 3), ("gqa", 65): (1, 2)}
    assert (
        layers("granitemoehybrid")
        == layers("jamba")
        == layers("lfm2_moe")
        == {("gqa", 0): (2,), ("linear", 0): (0, 1, 3)}
    )
    assert layers("mamba2") == {("linear", 0): (0, 1)}
    assert layers("nemotron_h_latent") == {("gqa", 0): (2,), ("linear", 0): (0,)}
    spec = write(tmp_path / "m.gguf", "deepseek_v3")
    a = spec.attention[0]
    assert (a.kind, a.q_lora_rank, a.kv_lora_rank, a.nope_dim, a.rope_dim, a.value_dim) == (
        "mla",
        48,
        32,
        16,
        16,
        32,
    )
    assert len(cache_description(spec)) == 4


@pytest.mark.parametrize(
    ("family", "rule", "kept"),
    [
        ("granitemoehybrid", "mamba2", (2048, 480)),
        ("nemotron_h", "mamba2", (2048, 576)),
        ("jamba", "mamba1", (2048, 384)),
        ("lfm2", "conv", (0, 128)),
    ],
)
def test_states(tmp_path, family, rule, kept):
    """What a sequence keeps in a layer: 8 heads of 16 × 16 states, or 128 channels of 16."""
    found = [a for a in write(tmp_path / "m.gguf", family).attention if a.kind == "linear"]
    assert {(a.rule, a.state_elements, a.conv_elements) for a in found} == {(rule, *kept)}
    assert {a.state_dtype for a in found} <= {"fp32", "bf16", ""}


@pytest.mark.parametrize(("family", "first"), [("gemma3n", 5), ("gemma4_e", 4)])
def test_borrowed_caches(tmp_path, family, first):
    """Layers that attend to the keys of earlier ones have none; older files store them unread."""
    spec = write(tmp_path / "m.gguf", family)
    assert {n for a in spec.attention if a.borrows for n in a.layers} == set(
        range(first, spec.layers)
    )
    older = write(
        tmp_path / "o.gguf", family, lambda t: [*t, ("blk.7.attn_k.weight", "BF16", (64, 64))]
    )
    assert Inventory(older).parameters_total == Inventory(spec).parameters_total
    assert [
        row.part for row in older.rows if row.layers == (7,) and row.name.endswith("attn_k.weight")
    ] == ["unused"]


def test_prediction_layers_that_the_metadata_names(tmp_path):
    """MiMo-V2's configuration says nothing of the three that its files have."""

    def predicting(tensors):
        after = [
            (n.replace("blk.2.", f"blk.{layer}."), k, s)
            for layer in (4, 5, 6)
            for n, k, s in tensors
            if n.startswith("blk.2.")
        ]
        return [
            *tensors,
            *after,
            *((f"blk.{n}.nextn.eh_proj.weight", "BF16", (64, 128)) for n in (4, 5, 6)),
        ]

    plain = write(tmp_path / "m.gguf", "mimo_v2")
    spec = write(
        tmp_path / "m.gguf",
        "mimo_v2",
        predicting,
        **{
            "mimo2.block_count": 7,
            "mimo2.nextn_predict_layers": 3,
            "mimo2.attention.head_count_kv": [2, 4, 4, 2, 4, 4, 4],
            "mimo2.attention.sliding_window_pattern": [0, 1, 1, 0, 1, 1, 1],
        },
    )
    assert (spec.mtp_layers, plain.mtp_layers) == (3, 0)
    assert Inventory(spec).parameters_total == Inventory(plain).parameters_total
    assert plain.not_counted != () == spec.not_counted


def test_experts_in_mxfp4_are_priced_as_they_lie(tmp_path):
    def fp4(tensors):
        return [(n, "MXFP4" if n.endswith("exps.weight") else k, s) for n, k, s in tensors]

    spec = write(tmp_path / "m.gguf", "gpt_oss", fp4)
    assert spec.quantization == "ggml-mxfp4"
    assert (
        estimate(str(tmp_path / "m.gguf"), "h100-sxm", devices=1, context=512, batch=1) is not None
    )


@pytest.mark.parametrize("family", LATENT)
def test_keys_and_values_of_a_latent_may_be_one_tensor(tmp_path, family):
    """Older files: attn_kv_b in place of attn_k_b and attn_v_b."""

    def joined(tensors):
        found = []
        for name, kind, shape in tensors:
            if "attn_v_b" in name:
                continue
            if "attn_k_b" in name:
                value = next(s for n, _, s in tensors if n == name.replace("attn_k_b", "attn_v_b"))
                shape = (shape[0] * (shape[2] + value[1]), shape[1])
                name = name.replace("attn_k_b", "attn_kv_b")
            found.append((name, kind, shape))
        return found

    spec = write(tmp_path / "m.gguf", family, joined)
    assert Inventory(spec).parameters_total == FILES[family]["parameters"]


def without(name):
    return lambda tensors: [one for one in tensors if one[0] != name]


def other(name, shape):
    return lambda tensors: [(n, k, shape if n == name else s) for n, k, s in tensors]


@pytest.mark.parametrize(
    ("family", "change", "reason"),
    [
        ("gpt_oss", without("blk.1.ffn_up_exps.weight"), "blk.1.ffn_up_exps.weight is missing"),
        ("phi3", other("blk.0.ffn_up.weight", (96, 64)), "mlp-gate-up of layer 0"),
        ("deepseek_v3", other("blk.0.attn_k_b.weight", (4, 32, 32)), "mla-kv of layer 0"),
        ("qwen3_next", lambda t: [*t, ("blk.0.hook.weight", "F32", (8,))], "is not known"),
        ("gemma3_text", lambda t: [*t, ("blk.99.attn_q.weight", "F32", (8, 8))], "beyond the last"),
        ("nemotron_h", without("blk.0.ssm_in.weight"), "layer 0 has no block"),
        ("granitemoehybrid", without("blk.0.ssm_in.weight"), "blk.0.ssm_in.weight is missing"),
        ("mimo_v2", other("blk.1.attn_k.weight", (64, 64)), "attention-qkv of layer 1"),
        ("lfm2", other("blk.0.shortconv.in_proj.weight", (96, 64)), "linear-attention of layer 0"),
        ("jamba", without("blk.1.ffn_gate_inp.weight"), "ffn_gate.weight is missing"),
    ],
)
def test_files_that_are_not_what_they_say(tmp_path, family, change, reason):
    with pytest.raises(PlannerError, match=reason):
        write(tmp_path / "m.gguf", family, change)


def test_metadata_that_is_missing_or_no_number(tmp_path):
    with pytest.raises(DataError, match="sliding_window is 'many'"):
        write(tmp_path / "m.gguf", "gpt_oss", **{"gpt-oss.attention.sliding_window": "many"})
    with pytest.raises(DataError, match="a whole number is needed"):
        write(
            tmp_path / "m.gguf",
            "granitemoehybrid",
            **{"granitehybrid.attention.head_count_kv": "2"},
        )
    for few in ([2], [2, 2, 2]):
        with pytest.raises(DataError, match="for each of 4 layers is needed"):
            write(
                tmp_path / "m.gguf",
                "granitemoehybrid",
                **{"granitehybrid.attention.head_count_kv": few},
            )
    file = GgufFile(3, {"a.words": ("many", "few"), "a.parts": (0.5, 1.5)}, ())
    for key in ("words", "parts"):
        with pytest.raises(DataError, match="for each of 2 layers is needed"):
            Metadata(file, "a", tmp_path).each(key, 2)
    for family, name in (("gpt_oss", "gpt-oss"), ("gemma2", "gemma2"), ("lfm2", "lfm2")):
        with pytest.raises(DataError, match="gives 4294967295 layers"):
            write(tmp_path / "m.gguf", family, **{f"{name}.block_count": 2**32 - 1})
    with pytest.raises(PlannerError, match="num_hidden_layers"):
        write(tmp_path / "m.gguf", "phi3", **{"phi3.block_count": 0})


@pytest.mark.parametrize("architecture", ["clip", "rwkv7", "mamba"])
def test_what_is_no_known_language_model(tmp_path, architecture):
    with pytest.raises(UnsupportedError, match=r"projector|not mapped"):
        write(tmp_path / "m.gguf", "phi3", **{"general.architecture": architecture})


def test_split_parts_of_a_further_architecture(tmp_path):
    """The first part has the metadata; any part names the model."""
    half = len(tensors_of("gpt_oss")) // 2
    split = {"split.count": 2, "split.no": 0}
    names = [tmp_path / f"m-{number:05d}-of-00002.gguf" for number in (1, 2)]
    with pytest.raises(DataError, match="00002-of-00002"):
        write(names[0], "gpt_oss", lambda tensors: tensors[:half], **split)
    spec = write(names[1], "gpt_oss", lambda tensors: tensors[half:], **split)
    assert Inventory(spec).parameters_total == FILES["gpt_oss"]["parameters"]


VISION = [
    ("v.patch_embd.weight", "F16", (32, 3, 14, 14)),
    ("v.position_embd.weight", "F32", (9, 32)),
    *(
        (f"v.blk.{n}.{stem}.weight", "F16", (32, 32))
        for n in (0, 1)
        for stem in ("attn_q", "attn_k", "attn_v", "attn_out")
    ),
    *((f"v.blk.{n}.ln1.weight", "F32", (32,)) for n in (0, 1)),
    ("mm.0.weight", "F16", (64, 32)),
]


def projector(path, tensors=None, architecture="clip"):
    placed, offset = [], 0
    for name, kind, shape in VISION if tensors is None else tensors:
        placed.append((name, kind, shape[::-1], offset))
        offset += -(-stored_bytes(kind, prod(shape)) // 32) * 32
    body = header({"general.architecture": architecture}, placed)
    with path.open("wb") as file:
        file.write(body)
        file.truncate(-(-len(body) // 32) * 32 + offset)


def test_a_projector_beside_the_model_is_its_encoder(tmp_path):
    alone = Inventory(write(tmp_path / "m.gguf", "gemma4"))
    assert alone.spec.not_counted != ()
    projector(tmp_path / "mmproj-m-f16.gguf")
    both = Inventory(resolve_model(str(tmp_path / "m.gguf")))
    assert both.parameters_vision == sum(prod(shape) for _, _, shape in VISION)
    assert both.parameters_total == alone.parameters_total
    assert both.spec.not_counted == ()
    assert both.payload_bytes - alone.payload_bytes == sum(
        stored_bytes(kind, prod(shape)) for _, kind, shape in VISION
    )
    loaded = memory(str(tmp_path / "m.gguf"), with_vision=True, context=64)
    plain = memory(str(tmp_path / "m.gguf"), context=64)
    assert (
        loaded.parts.stages[0].weights_bytes - plain.parts.stages[0].weights_bytes
        == both.payload_bytes - alone.payload_bytes
    )


def test_several_projectors_are_told_and_not_guessed(tmp_path):
    write(tmp_path / "m.gguf", "gemma3_text")
    for name in ("mmproj-a.gguf", "mmproj-b.gguf"):
        projector(tmp_path / name)
    spec = resolve_model(str(tmp_path / "m.gguf"))
    assert "2 projectors" in spec.not_counted[-1]
    assert Inventory(spec).parameters_vision == 0


@pytest.mark.parametrize(
    ("tensors", "architecture", "reason"),
    [
        (None, "llama", "is no projector"),
        ([("v.{0}", "F32", (8,))], "clip", "no name of a projector"),
        ([("v.blk.1.x" * 40, "F32", (8,))], "clip", "no name of a projector"),
    ],
)
def test_a_projector_that_is_none(tmp_path, tensors, architecture, reason):
    projector(tmp_path / "mmproj.gguf", tensors, architecture)
    with pytest.raises(DataError, match=reason):
        write(tmp_path / "m.gguf", "phi3")


def test_a_model_without_keys_and_values_is_priced_and_its_plan_refused(tmp_path):
    path = str(tmp_path / "m.gguf")
    write(tmp_path / "m.gguf", "mamba2")
    ask = {"devices": 1, "context": 256}
    assert {u.kind for u in estimate(path, "l40s", batch=1, **ask).units} >= {"linear-attention"}
    with pytest.raises(UnsupportedError, match="no layer keeps keys or values"):
        plan(path, "l40s", engine="llama.cpp", **ask)
