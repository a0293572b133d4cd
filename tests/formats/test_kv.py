"""Cache entries against the published record sizes."""

import pytest

from planner.base.errors import InputError, UnknownNameError, UnsupportedError
from planner.formats.kv import (
    GGML_CACHES,
    KV_LAYOUTS,
    entry_bytes,
    indexer_bytes,
    kv_layout,
    kv_layout_ids,
    latent_bytes,
)


def test_the_layouts_so_far_keep_their_order():
    known = ["bf16", "fp16", "fp32", "fp8", "fp8-ds-mla", "int8-token", "int4-token",
             "int4-channel", "nvfp4", *GGML_CACHES]  # fmt: skip
    assert [id for id in kv_layout_ids() if id in known] == known


@pytest.mark.parametrize(("id", "size"), [
    ("bf16", 1152), ("fp16", 1152), ("fp32", 2304), ("fp8", 576), ("fp8-ds-mla", 656),
    ("int8-token", 512 + 4 + 64 + 4), ("int4-token", 256 + 8 * 2 + 32 + 2),
    ("nvfp4", 256 + 32 + 32 + 4),
])  # fmt: skip
def test_latent_of_deepseek_v3(id, size):
    assert latent_bytes(kv_layout(id), 512, 64) == size


@pytest.mark.parametrize(("id", "size"), [
    ("bf16", 256), ("fp32", 512), ("fp8", 128), ("int8-token", 132), ("int4-token", 64 + 2 * 2),
    ("int4-channel", 64 + 8), ("nvfp4", 64 + 8),
])  # fmt: skip
def test_keys_of_width_128(id, size):
    assert entry_bytes(kv_layout(id), width=128, kind="kv-k") == size


def test_ragged_widths_round_up():
    assert entry_bytes(kv_layout("int4-channel"), width=24, kind="kv-k") == 12 + 2
    assert entry_bytes(kv_layout("int4-token"), width=80, kind="kv-v") == 40 + 2 * 2
    assert entry_bytes(kv_layout("nvfp4"), width=17, kind="kv-v") == 9 + 2
    assert latent_bytes(kv_layout("int8-token"), 512, 0) == 516


def test_what_does_not_apply_is_refused():
    with pytest.raises(UnsupportedError, match="kv-v"):
        entry_bytes(kv_layout("int4-channel"), width=128, kind="kv-v")
    with pytest.raises(UnsupportedError, match="kv-k"):
        entry_bytes(kv_layout("fp8-ds-mla"), width=128, kind="kv-k")
    with pytest.raises(UnsupportedError, match="kv-latent"):
        latent_bytes(kv_layout("int4-channel"), 512, 64)
    with pytest.raises(InputError, match="latent"):
        entry_bytes(kv_layout("bf16"), width=576, kind="kv-latent")
    with pytest.raises(UnknownNameError):
        entry_bytes(kv_layout("bf16"), width=576, kind="kv-q")
    with pytest.raises(InputError, match="width 0"):
        entry_bytes(kv_layout("bf16"), width=0, kind="kv-k")
    with pytest.raises(UnknownNameError):
        kv_layout("fp7")


def test_spellings_and_conversions():
    assert kv_layout("FP8_DS_MLA") is KV_LAYOUTS["fp8-ds-mla"]
    compute = {k.id: k.compute for k in KV_LAYOUTS.values()}
    assert compute == {"bf16": "", "fp16": "", "fp32": "", "fp8": "fp8", "fp8-ds-mla": "fp8",
                       "fp8-token": "fp8", "int8-token": "int8", "int4-token": "int4",
                       "int4-channel": "int4", "nvfp4": "nvfp4",
                       **dict.fromkeys(GGML_CACHES, "")}  # fmt: skip


@pytest.mark.parametrize(("id", "block"), [
    ("q8_0", 34), ("q5_1", 24), ("q5_0", 22), ("q4_1", 20), ("q4_0", 18), ("iq4_nl", 18),
])  # fmt: skip
def test_types_of_llama_cpp_are_blocks_of_32_by_its_own_names(id, block):
    layout = kv_layout(id.upper())
    assert layout.id == id
    assert layout.named_only
    assert layout.stored.block_bytes == block
    assert entry_bytes(layout, width=128, kind="kv-k") == 4 * block
    assert latent_bytes(layout, 512, 64) == 18 * block
    with pytest.raises(UnsupportedError, match="80 elements"):
        entry_bytes(layout, width=80, kind="kv-v")


def test_indexer_record():
    assert indexer_bytes(False) == 132
    assert indexer_bytes(True) == 256
    assert indexer_bytes(False, 64) == 68
