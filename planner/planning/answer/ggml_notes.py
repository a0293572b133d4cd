"""What a plan says of ggml types: what times and losses rest on, and llama.cpp's own mixes."""

from __future__ import annotations

from collections.abc import Sequence
from math import exp

from planner.formats.schemes import SCHEMES
from planner.messages.message import Note, message
from planner.planning.engines.mixes import engine_mixes, stood_in
from planner.planning.plan.record import UnitPlan
from planner.planning.price.measured_errors import Z80
from planner.planning.question.named import schemes_of, usable_mixes
from planner.planning.question.question import Question
from planner.throughput.ggml import ggml_certainty, runs_on_ggml, widening

GPU_BLOCK = 32
"""Activations that share a scale on GPUs, beside any type."""


def ggml_notes(question: Question, units: Sequence[UnitPlan]) -> list[Note]:
    """Nothing where a plan has no ggml type and its engine no mix."""
    # What stays as released may be told by its element alone.
    used = dict.fromkeys(
        u.scheme
        for u in units
        if u.kv_layout is None and u.scheme in SCHEMES and runs_on_ggml(SCHEMES[u.scheme])
    )
    out = []
    if used:
        law, factor = widening(question.device), exp(Z80 * ggml_certainty(question.device).sigma)
        out.append(
            Note(
                "ggml kernels",
                message("assumptions.counted_each", used=", ".join(used), factor=f"{factor:.1f}"),
                (
                    "integer products of llama.cpp's own kernels"
                    if law is None
                    else f"llama.cpp's {law['name']} back end widens weights to 16 bits and "
                    f"keeps activations "
                    "there: losses are at most these"
                )
                + ", by instruction counts on this device's "
                "rates; none was measured here (docs/guide/ggml.md)",
            )
        )
    coarse = [
        name
        for name in used
        if (scale := SCHEMES[name].activation.scale) is not None and scale.block_columns > GPU_BLOCK
    ]
    if coarse and question.device.kind != "cpu" and widening(question.device) is None:
        out.append(
            Note(
                "ggml activations",
                f"{', '.join(coarse)}: blocks of 256",
                message("assumptions.as_on_cpus_gpus_round"),
            )
        )
    for name in usable_mixes(question):
        mix, others = engine_mixes()[name], stood_in(question.spec, name, question.imatrix)
        instead = "; ".join(f"{other} for {scheme}" for scheme, other in others)
        if not mix.note and not instead:
            continue
        out.append(
            Note(
                f"baseline {name}",
                ", ".join(schemes_of(name, question)),
                "; ".join(
                    filter(None, (mix.note, instead and f"rows are no whole blocks: {instead}"))
                )
                + f" ({mix.source.title}, {mix.source.date})",
            )
        )
    return out
