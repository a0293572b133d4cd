"""Does a profile belong to a model? By structure, by released format, and by what is read of it."""

from __future__ import annotations

import hashlib

from planner.errors import DataError
from planner.models.spec import ModelSpec
from planner.quality.profile import Profile

_PLAIN = {"fp16": "bf16", "fp32": "bf16"}


def structure_sha256(spec: ModelSpec) -> str:
    """Digest of what decides the units: kinds, layers, shapes and experts of all matrices.

    It does not depend on names or stored types, so that a GGUF file and the configuration of the
    same model agree.
    """
    found: dict[tuple[str, int, tuple[int, ...], int], int] = {}
    for row in spec.rows:
        if row.part != "main" or row.copy_of is not None or not row.is_matrix:
            continue
        for layer in row.layers or (-1,):
            key = (row.kind, layer, row.shape, row.experts)
            found[key] = found.get(key, 0) + 1
    lines = [
        f"{kind} {layer} {'x'.join(map(str, shape))} {experts} {count}"
        for (kind, layer, shape, experts), count in sorted(found.items())
    ]
    head = f"{spec.layers} {spec.hidden_size} {spec.vocab_size}"
    return hashlib.sha256("\n".join([head, *lines]).encode()).hexdigest()


def check_profile(profile: Profile, spec: ModelSpec, place: str) -> tuple[str, ...]:
    """Notes on what cannot be checked, for the assumptions.

    Raises:
        DataError: the profile is of another structure, or of another release of the model.
    """
    mine = profile.model
    if mine.structure_sha256 != structure_sha256(spec):
        sizes = (f"{mine.layers} layers of width {mine.hidden_size}", f"{spec.layers} layers of "
                 f"width {spec.hidden_size}")  # fmt: skip
        raise DataError(
            f"{place}: made of {mine.id} ({sizes[0]}), which is not {spec.id} ({sizes[1]}) or "
            "differs in its matrices",
            hint="use a profile of this model's own checkpoint",
        )
    if _kind(mine.quantization) != _kind(spec.quantization):
        raise DataError(
            f"{place}: made of a checkpoint released in {mine.quantization}; {spec.id} is "
            f"{spec.quantization}, and loss counts from the release",
            hint="give the checkpoint's folder as MODEL, or profile the other release",
        )
    if mine.config_sha256 == spec.config_sha256:
        return ()
    return (
        f"made of {mine.id}: same structure, another configuration file; values of the weights "
        "cannot be compared",
    )


def _kind(quantization: str) -> str:
    return _PLAIN.get(quantization, quantization)
