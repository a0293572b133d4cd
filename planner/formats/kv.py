"""How cache entries are stored, and their exact bytes per token."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from planner.base.errors import InputError, UnknownNameError, UnsupportedError
from planner.formats.elements import element
from planner.formats.schemes import SCHEMES
from planner.formats.sizes import amortised_bytes
from planner.formats.spec import KvLayout, ScaleSpec

KV_KINDS = ("kv-k", "kv-v", "kv-latent")
INDEXER_WIDTH = 128
_INDEXER_SCALE_BYTES = 4
_SHARED_SCALE_BLOCK = 64
_SHARED_SCALE_PADDING = 8
_HEADS = ("kv-k", "kv-v")


def _plain(id: str) -> KvLayout:
    return KvLayout(
        id,
        f"{id.upper()} entries",
        id,
        None,
        KV_KINDS,
        "",
        "vLLM and TensorRT-LLM cache data types",
    )


GGML_CACHES = ("q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl")
"""Cache types of llama.cpp (-ctk, -ctv), by its names."""


GGML_CACHE_TYPES: Mapping[str, str] = MappingProxyType(
    {"bf16": "bf16", "fp16": "f16", "fp32": "f32"} | {name: name for name in GGML_CACHES}
)
"""Layout → the word of -ctk and -ctv for it."""


def _ggml(id: str) -> KvLayout:
    """A ggml type, whose blocks of 32 lie in the vector of one token and head."""
    stored = SCHEMES[f"ggml-{id}"].weight
    return KvLayout(
        id,
        f"ggml {id.upper()} entries, {stored.block_bytes} bytes of 32",
        stored.element,
        stored.scale,
        KV_KINDS,
        "",
        "ggml-org/llama.cpp common/arg.cpp: -ctk and -ctv",
        block_bytes=stored.block_bytes,
        block_type=stored.block_type,
        named_only=True,
    )


_ALL = (
    _plain("bf16"),
    _plain("fp16"),
    _plain("fp32"),
    KvLayout(
        "fp8",
        "E4M3 entries, one FP32 scale a layer",
        "e4m3fn",
        ScaleSpec("fp32", 0, 0, "amax"),
        KV_KINDS,
        "fp8",
        "vLLM and TensorRT-LLM FP8 cache; SGLang MLA pool of 576 B a token",
    ),
    KvLayout(
        "fp8-ds-mla",
        "E4M3 latent with an FP32 scale per 128, BF16 rope part",
        "e4m3fn",
        ScaleSpec("fp32", 1, 128, "amax"),
        ("kv-latent",),
        "fp8",
        "deepseek-ai/FlashMLA FP8 sparse cache, 656 B a token",
        rope_element="bf16",
    ),
    KvLayout(
        "fp8-token",
        "E4M3 entries, one FP32 scale per token and head",
        "e4m3fn",
        ScaleSpec("fp32", 1, 0, "amax"),
        KV_KINDS,
        "fp8",
        "vLLM cache data type fp8_per_token_head",
        named_only=True,
    ),
    KvLayout(
        "int8-token",
        "INT8 entries, one FP32 scale per token and head",
        "int8",
        ScaleSpec("fp32", 1, 0, "amax"),
        KV_KINDS,
        "int8",
        "per-token, per-head symmetric INT8; scale width chosen as in DeepGEMM's FP8 scales",
    ),
    KvLayout(
        "int4-token",
        "INT4 entries, an FP16 scale per token and 64 channels",
        "int4",
        ScaleSpec("fp16", 1, 64, "amax"),
        KV_KINDS,
        "int4",
        "values of KIVI (arXiv:2402.02750): per token, in groups of channels; symmetric here",
    ),
    KvLayout(
        "int4-channel",
        "INT4 keys, an FP16 scale per channel and 32 tokens",
        "int4",
        ScaleSpec("fp16", 32, 1, "amax"),
        ("kv-k",),
        "int4",
        "keys of KIVI (arXiv:2402.02750): per channel, in groups of tokens; symmetric here",
    ),
    KvLayout(
        "nvfp4",
        "E2M1 entries in blocks of 16 with E4M3 scales",
        "e2m1",
        ScaleSpec("ue4m3", 1, 16, "amax", tensor_scale=True),
        KV_KINDS,
        "nvfp4",
        "NVIDIA TensorRT-LLM NVFP4 KV cache",
    ),
    *(_ggml(name) for name in GGML_CACHES),
)

KV_LAYOUTS: Mapping[str, KvLayout] = MappingProxyType({k.id: k for k in _ALL})


def kv_layout_ids() -> tuple[str, ...]:
    """All layout ids, in catalogue order."""
    return tuple(KV_LAYOUTS)


def _spelling(name: str) -> str:
    """Case, spaces, hyphens and underscores do not matter."""
    return "".join(c for c in name.lower() if c not in "-_ ")


ENGINE_NAMES: Mapping[str, str] = MappingProxyType(
    {
        "bfloat16": "bf16",
        "float16": "fp16",
        "half": "fp16",
        "f16": "fp16",
        "float32": "fp32",
        "f32": "fp32",
        "fp8_e4m3": "fp8",
        "e4m3": "fp8",
        "e4m3fn": "fp8",
        "float8_e4m3fn": "fp8",
        "fp8_per_token_head": "fp8-token",
        "int8_per_token_head": "int8-token",
    }
)
"""Cache types of vLLM, SGLang and TensorRT-LLM that are a layout of another name."""
COMMON_CACHES: Mapping[str, str] = MappingProxyType(
    {"int8": "int8-token", "q8": "q8_0", "q4": "q4_0"}
)
"""Families → the layout that is served most: vLLM's INT8, llama.cpp's types of the most models."""
NOT_MODELLED = frozenset(
    (
        "fp8_e5m2",
        "fp8_inc",
        "mxfp8",
        "fp4_mx_block16",
        "nvfp4_ds_mla",
        "nvfp4_4over6",
        "int4_per_token_head",
        "turboquant_k8v4",
        "turboquant_4bit_nc",
        "turboquant_k3v4_nc",
        "turboquant_3bit_nc",
        "octave_k3v4",
        "octave_k3v3",
        "octave_k3v3_compact",
        "ultraquant_4bit",
    )
)
"""Cache types of vLLM 0.33 (``vllm/config/cache.py``) and SGLang 0.5.23 (``sglang/srt/arg_groups``)
whose entries are none of the layouts."""
_BY_SPELLING: Mapping[str, str] = MappingProxyType(
    {_spelling(name): id for name, id in (*ENGINE_NAMES.items(), *COMMON_CACHES.items())}
    | {_spelling(id): id for id in KV_LAYOUTS}
)


def is_common_cache(name: str) -> bool:
    """Whether ``name`` is a family's, and its layout the commonest variant."""
    return _spelling(name) in COMMON_CACHES


def kv_layout(id: str) -> KvLayout:
    """The layout ``id``, by its name, an engine's (:data:`ENGINE_NAMES`) or that of a family
    (:data:`COMMON_CACHES`); case, hyphens and underscores do not matter.

    Raises UnknownNameError for a name outside the catalogue.
    """
    known = id if id in KV_LAYOUTS else _BY_SPELLING.get(_spelling(id))
    if known is None:
        note = "an engine's cache type that is not modelled"
        raise UnknownNameError(
            "KV layout",
            id,
            ("auto", *KV_LAYOUTS),
            note=note if id.lower().replace("-", "_") in NOT_MODELLED else "",
        )
    return KV_LAYOUTS[known]


def require_kind(layout: KvLayout, kind: str) -> None:
    """Raise UnknownNameError for a kind outside KV_KINDS, UnsupportedError where it can't hold."""
    if kind not in KV_KINDS:
        raise UnknownNameError("cache kind", kind, KV_KINDS)
    if kind not in layout.applies_to:
        allowed = ", ".join(layout.applies_to)
        raise UnsupportedError(
            f"KV layout {layout.id} does not store {kind}", hint=f"{layout.id} stores {allowed}"
        )


def _stored_bytes(layout: KvLayout, width: int) -> int:
    """Bytes of one token's ``width`` elements in ``layout``.

    Raises UnsupportedError where ggml's blocks do not divide the width, as llama.cpp does.
    """
    if layout.block_bytes is None or layout.scale is None:
        return _part_bytes(layout.element, layout.scale, width)
    block = layout.scale.block_columns
    if width % block:
        raise UnsupportedError(
            f"KV layout {layout.id} does not store entries of {width} elements",
            hint=f"its blocks hold {block}: choose a layout without blocks, such as fp16",
        )
    return width // block * layout.block_bytes


def _part_bytes(element_id: str, scale: ScaleSpec | None, width: int) -> int:
    """Bytes of one token's ``width`` elements with the scales that belong to that token.

    A scale over the whole tensor costs a token nothing. A scale shared by a group of tokens is
    charged in equal parts, rounded up to a whole byte per token.
    """
    if width <= 0:
        raise InputError(f"cache entry of width {width}", hint="width must be at least 1")
    total = -(-element(element_id).bits * width // 8)
    if scale is None or scale.block_rows == 0:
        return total
    blocks = -(-width // (scale.block_columns or width))
    return total + amortised_bytes(blocks * element(scale.format).bits, scale.block_rows)


def entry_bytes(layout: KvLayout, *, width: int, kind: str) -> int:
    """Bytes of one token's key (``kv-k``) or value (``kv-v``) of one head of ``width`` elements.

    Raises UnsupportedError where the layout does not store that kind; a latent entry has two
    widths and its own function, :func:`latent_bytes`.

    Raises:
        InputError: a latent entry.
    """
    require_kind(layout, kind)
    if kind not in _HEADS:
        raise InputError(f"{kind} has a latent and a rope width", hint="use latent_bytes()")
    return _stored_bytes(layout, width)


def latent_bytes(layout: KvLayout, latent_width: int, rope_width: int) -> int:
    """Bytes of one token of an MLA cache: ``latent_width`` + ``rope_width`` elements.

    The two parts carry separate scales, because their magnitudes differ; where the layout has a
    ``rope_element`` the rope part is stored unscaled in it. For 512 + 64: bf16 1152, fp8 576,
    fp8-ds-mla 656.

    Raises UnsupportedError where the layout does not store kv-latent.
    """
    require_kind(layout, "kv-latent")
    latent = _stored_bytes(layout, latent_width)
    if rope_width == 0:
        return latent
    if layout.rope_element is not None:
        return latent + _part_bytes(layout.rope_element, None, rope_width)
    return latent + _stored_bytes(layout, rope_width)


def indexer_bytes(layout_is_bf16: bool, width: int = INDEXER_WIDTH) -> int:
    """Bytes per token and layer of a sparse-attention indexer key.

    BF16 elements, or E4M3 with one FP32 scale. Width 128: 256 in BF16, 132 in FP8.
    Source: SGLang index pool, 8448 B per 64 tokens.
    """
    return 2 * width if layout_is_bf16 else width + _INDEXER_SCALE_BYTES


def shared_vector_bytes(layout_is_bf16: bool, width: int = 512, rope_width: int = 64) -> int:
    """Bytes of one entry of DeepSeek-V4's cache, a vector that is key and value of every head.

    BF16 elements, or E4M3 with an E8M0 scale for 64 elements (padded to eight bytes) beside
    ``rope_width`` BF16 elements. Width 512 with 64: 1024 in BF16, 584 in FP8.
    Source: deepseek-ai/FlashMLA, layout MODEL1.

    Raises:
        InputError: the rotary part is not smaller than the entry.
    """
    if not 0 <= rope_width < width:
        raise InputError(
            f"cache entry of width {width} with {rope_width} rotary elements",
            hint="the rotary part is smaller than the entry",
        )
    if layout_is_bf16:
        return 2 * width
    plain = width - rope_width
    scales = -(-plain // _SHARED_SCALE_BLOCK)
    padded = -(-scales // _SHARED_SCALE_PADDING) * _SHARED_SCALE_PADDING
    return plain + padded + 2 * rope_width
