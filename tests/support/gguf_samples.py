"""GGUF files written field by field, so that each field can be wrong by itself."""

import struct
from math import prod
from typing import Any

from support.tape import Tape

_PAIRS: dict[str, tuple[int, Any]] = {
    "general.architecture": (8, "llama"),
    "general.alignment": (4, 32),
    "llama.block_count": (4, 2),
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
_CODES = {
    0: "<B",
    1: "<b",
    2: "<H",
    3: "<h",
    4: "<I",
    5: "<i",
    6: "<f",
    7: "<?",
    10: "<Q",
    11: "<q",
    12: "<d",
}
_BIG = (0, 1, 2, 31, 2**16, 2**31, 2**32 - 1, 2**62, 2**63, 2**64 - 1)
_PARTS = (
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


def gguf_bytes(tape: Tape) -> bytes:
    """A GGUF file of a small LLaMA; the tape says which of its fields are wrong."""
    odd = tape.below(3)  # how much of it is damaged: nothing, a field now and then, often

    def maybe(value: int, count: int = 64) -> int:
        return tape.of(_BIG) if odd and tape.below(count // (1 + 3 * (odd - 1))) == 1 else value

    def text(value: str) -> bytes:
        data = value.encode()
        return struct.pack("<Q", maybe(len(data))) + data

    shapes = [
        ("token_embd.weight", (128, 64)),
        ("output_norm.weight", (64,)),
        ("output.weight", (128, 64)),
    ]
    shapes += [(f"blk.{n}.{part}.weight", shape) for n in range(2) for part, shape in _PARTS]
    pairs = list(_PAIRS.items())
    out = b"GGUF" + struct.pack(
        "<IQQ",
        tape.of((3, 3, 3, 2)) if not odd else maybe(3) & 0xFFFFFFFF,
        maybe(len(shapes)),
        maybe(len(pairs)),
    )
    for key, (kind, value) in pairs:
        if odd and tape.below(24) == 1:
            kind = tape.below(14)
        out += text(key) + struct.pack("<I", kind)
        if kind == 8:
            out += text(str(value))
        elif kind == 9:
            out += struct.pack("<IQ", tape.below(14), maybe(2)) + b"\1\0\0\0\2\0\0\0"
        elif kind in _CODES:
            number = value if isinstance(value, int | float) else 7
            number = maybe(int(number)) if kind not in (6, 12) else float(number)
            size = struct.calcsize(_CODES[kind])
            out += (
                struct.pack(_CODES[kind], number)
                if kind in (6, 12)
                else int(number).to_bytes(16, "little")[:size]
            )
    offset = 0
    for name, shape in shapes:
        kind = 1 if len(shape) > 1 else 0
        stored = (
            tape.of((0, 1, 2, 8, 12, 14, 30, 39, 4, 99)) if odd and tape.below(16) == 1 else kind
        )
        out += text(name) + struct.pack("<I", maybe(len(shape)) & 0xFFFFFFFF)
        out += b"".join(struct.pack("<Q", maybe(n)) for n in shape[::-1])
        out += struct.pack("<IQ", stored, maybe(offset))
        offset += prod(shape) * (2 if kind else 4)
    return out + b"\0" * (-len(out) % 32) + b"\0" * (offset if odd < 2 else maybe(offset) % 10**6)
