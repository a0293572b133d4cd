"""What a plan says of ggml types: only where it has one, and blocks of GPUs where they differ."""

from dataclasses import replace
from math import exp

import pytest
from support.questions import question_of, unit_plan

from planner.formats.schemes import SCHEMES
from planner.hardware.catalog import resolve_device
from planner.planning.answer.engine_notes import GPU_BLOCK, ggml_notes
from planner.planning.plan.notes import written
from planner.throughput.ggml import ggml_certainty, runs_on_ggml

CPU = "xeon-6980p"


def ggml_type(*, coarse: bool) -> str:
    return next(
        name
        for name, scheme in SCHEMES.items()
        if runs_on_ggml(scheme)
        and scheme.activation.scale is not None
        and (scheme.activation.scale.block_columns > GPU_BLOCK) == coarse
    )


def test_a_plan_without_ggml_types_says_nothing() -> None:
    assert ggml_notes(question_of(), [unit_plan("mlp-down", "fp8-block")]) == []


@pytest.mark.parametrize("coarse", [False, True])
@pytest.mark.parametrize("device", [CPU, "h100-sxm"])
def test_blocks_of_256_are_told_of_gpus_alone(coarse: bool, device: str) -> None:
    name = ggml_type(coarse=coarse)
    rows = [
        unit_plan("mlp-down", name),
        unit_plan("mlp-down", name, (1,)),
        unit_plan("kv-k", name, kv_layout=name),
    ]
    notes = {note.key: note.value for note in written(ggml_notes(question_of(device=device), rows))}
    factor = exp(1.2815515655446004 * ggml_certainty(resolve_device(device)).sigma)
    assert notes["ggml kernels"] == f"{name}: counted, ×/÷ {factor:.1f} each"
    assert ("ggml activations" in notes) == (coarse and device != CPU)


def test_the_mixes_of_llama_cpp_are_its_baselines() -> None:
    every = tuple(name for name, scheme in SCHEMES.items() if runs_on_ggml(scheme))
    notes = written(ggml_notes(replace(question_of(), engine="llama.cpp", schemes=every), []))
    assert {note.key for note in notes} >= {"baseline Q4_K_M"}
    assert all(note.key.startswith("baseline ") for note in notes)
