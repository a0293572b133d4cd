"""Sound GGUF files of a LLaMA with two layers of width 64, whose matrices have any type."""

import struct
from collections.abc import Callable
from math import prod

from planner.models.storage import stored_bytes

CODES = {"F32": 0, "F16": 1, "Q4_0": 2, "Q8_0": 8, "BF16": 30}
PAIRS = {
    "general.architecture": (8, "llama"),
    "llama.context_length": (4, 2048),
    "llama.embedding_length": (4, 64),
    "llama.feed_forward_length": (4, 96),
    "llama.attention.head_count": (4, 4),
    "llama.attention.head_count_kv": (4, 2),
    "llama.attention.key_length": (4, 16),
    "llama.attention.value_length": (4, 16),
    "llama.attention.layer_norm_rms_epsilon": (6, 1e-5),
    "llama.rope.freq_base": (6, 1e4),
    "llama.vocab_size": (4, 128),
}
PARTS = (
    ("attn_q", (64, 64)),
    ("attn_k", (32, 64)),
    ("attn_v", (32, 64)),
    ("attn_output", (64, 64)),
    ("ffn_gate", (96, 64)),
    ("ffn_up", (96, 64)),
    ("ffn_down", (64, 96)),
    ("attn_norm", (64,)),
    ("ffn_norm", (64,)),
)


def small_gguf(type_of: Callable[[str], str] = lambda name: "BF16", *, layers: int = 2) -> bytes:
    """The file; ``type_of`` gives the type of each matrix by its tensor's name."""
    shapes: dict[str, tuple[int, ...]] = {
        "token_embd.weight": (128, 64),
        "output_norm.weight": (64,),
        "output.weight": (128, 64),
    }
    shapes |= {f"blk.{n}.{part}.weight": shape for n in range(layers) for part, shape in PARTS}
    pairs = {**PAIRS, "llama.block_count": (4, layers)}
    out = b"GGUF" + struct.pack("<IQQ", 3, len(shapes), len(pairs))
    for key, (kind, value) in pairs.items():
        out += _text(key) + struct.pack("<I", kind)
        out += (
            _text(value)
            if isinstance(value, str)
            else struct.pack("<f" if kind == 6 else "<I", value)
        )
    offset, data = 0, 0
    for name, shape in shapes.items():
        word = type_of(name) if len(shape) > 1 else "F32"
        out += _text(name) + struct.pack("<I", len(shape))
        out += b"".join(struct.pack("<Q", n) for n in shape[::-1])
        out += struct.pack("<IQ", CODES[word], offset)
        data = offset + stored_bytes(word, prod(shape))
        offset = -(-data // 32) * 32
    return out + b"\0" * (-len(out) % 32) + b"\0" * offset


def _text(value: str) -> bytes:
    return struct.pack("<Q", len(value)) + value.encode()
