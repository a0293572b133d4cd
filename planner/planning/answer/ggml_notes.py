"""What a plan says of ggml types: what times and losses rest on, and llama.cpp's own mixes."""

from __future__ import annotations

from collections.abc import Sequence
from math import exp

from planner.formats.schemes import SCHEMES
from planner.messages.message import Note, Text, message
from planner.planning.engines.mixes import engine_mixes, mix_substitutes
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
                message("assumptions.integer_products_of_llama_cpps")
                if law is None
                else message("assumptions.llama_cpps_back_end_widens", back_end=law["name"]),
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
                message("assumptions.blocks_of", schemes=", ".join(coarse), elements=256),
                message("assumptions.as_on_cpus_gpus_round"),
            )
        )
    for name in usable_mixes(question):
        mix, others = engine_mixes()[name], mix_substitutes(question.spec, name, question.imatrix)
        reasons: list[Text] = [mix.note] if mix.note else []
        if others:
            parts = tuple(
                message("structure.stands_for", name=other, other=scheme)
                for scheme, other in others
            )
            instead = message("structure.semicolons", parts=parts)
            reasons.append(message("assumptions.rows_are_no_whole_blocks_instead", instead=instead))
        if not reasons:
            continue
        out.append(
            Note(
                f"baseline {name}",
                ", ".join(schemes_of(name, question)),
                message(
                    "structure.dated",
                    text=message("structure.semicolons", parts=tuple(reasons)),
                    source=f"{mix.source.title}, {mix.source.date}",
                ),
            )
        )
    return out
