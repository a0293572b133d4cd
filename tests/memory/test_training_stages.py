"""Pipelines whose first and last stage hold fewer layers."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.base.errors import InputError
from planner.memory.training_activations import layer_tensors
from planner.memory.training_setup import TrainLayout, TrainSetup, recipe
from planner.memory.training_states import chunk_layers, stage_layers
from planner.models.catalog import resolve_model
from planner.planning.inspect.training import train

LLAMA = resolve_model("llama-3.1-8b")
EVEN = {"dp": 1, "pp": 4, "tp": 2}


def test_stages_hold_what_is_stated() -> None:
    """Megatron's layout of 32 layers on 4 stages with 7 at both ends."""
    layout = TrainLayout(pp=4, first=7, last=7)
    assert [len(chunk_layers(LLAMA, layout, stage)[0]) for stage in range(4)] == [7, 9, 9, 7]
    assert chunk_layers(LLAMA, layout, 1) == (tuple(range(7, 16)),)
    assert stage_layers(32, TrainLayout(pp=4, first=5)) == (5, 9, 9, 9)
    assert stage_layers(32, TrainLayout(pp=4, last=2)) == (10, 10, 10, 2)
    assert stage_layers(32, TrainLayout(pp=2, first=14, last=18)) == (14, 18)


def test_chunks_are_dealt_in_turn() -> None:
    layout = TrainLayout(pp=4, chunks=2, first=6, last=6)
    assert chunk_layers(LLAMA, layout, 0) == ((0, 1, 2), (16, 17, 18))
    assert chunk_layers(LLAMA, layout, 1) == ((3, 4, 5, 6, 7), (19, 20, 21, 22, 23))


@given(
    st.integers(1, 8), st.integers(1, 8), st.integers(2, 6), st.integers(1, 3), st.integers(1, 5)
)
def test_every_layer_is_on_one_stage(
    first: int, last: int, pp: int, chunks: int, each: int
) -> None:
    layout = TrainLayout(pp=pp, chunks=chunks, first=first * chunks, last=last * chunks)
    layers = (first + last + each * (pp - 2)) * chunks
    if layers > LLAMA.layers:
        return
    spec = replace(LLAMA, layers=layers)
    held = sorted(
        layer
        for stage in range(pp)
        for chunk in chunk_layers(spec, layout, stage)
        for layer in chunk
    )
    assert held == list(range(layers))


def test_fewer_layers_beside_the_head_lower_the_fullest_stage() -> None:
    even = train(LLAMA, "h100-sxm", **EVEN)
    uneven = train(LLAMA, "h100-sxm", **EVEN, first_stage_layers=7, last_stage_layers=7)
    assert even.parameters == uneven.parameters
    assert uneven.fullest.total < even.fullest.total
    assert sum(s.weights for s in even.stages) == sum(s.weights for s in uneven.stages)
    assert uneven.to_dict()["layout"]["first_stage_layers"] == 7
    assert even.to_dict()["layout"]["last_stage_layers"] is None
    same = train(LLAMA, "h100-sxm", **EVEN, first_stage_layers=8)
    assert [s.total for s in same.stages] == [s.total for s in even.stages]


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        ({"pp": 1, "first_stage_layers": 7}, "more than one pipeline stage"),
        ({"pp": 4, "first_stage_layers": 6}, "26 layers are left for 3 stages"),
        ({"pp": 2, "first_stage_layers": 14, "last_stage_layers": 14}, "hold 28 of 32"),
        ({"pp": 4, "first_stage_layers": 16, "last_stage_layers": 16}, "hold 32 of 32"),
        (
            {"pp": 4, "first_stage_layers": 7, "last_stage_layers": 7, "virtual_stages": 2},
            "virtual stages do not divide",
        ),
        ({"pp": 4, "first_stage_layers": 0}, "at least 1"),
    ],
)
def test_what_cannot_be_is_refused(flags: dict[str, int], reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        train(LLAMA, "h100-sxm", **flags)


def test_gated_delta_nets_keep_what_their_rule_saves() -> None:
    """Qwen3-Next on one device: 32 value heads of 128, 16 key heads of 128, in BF16."""
    spec = resolve_model("qwen3-next-80b-a3b")
    setup = TrainSetup(recipe("bf16"), "full", 0, 1024, 1, "none", False)
    found = {
        t.name: t.bytes_of(1, setup.recipe) for t in layer_tensors(spec, TrainLayout(), setup, 0)
    }
    assert found["convolution input"] == 2 * (2 * 16 * 128 + 32 * 128)
    assert found["queries"] == found["keys"] == found["values"] == 2 * 32 * 128
    assert found["matrices of chunks"] == 2 * 32 * 64
    assert found["decay, beta and norms"] == 4 * 4 * 32
    assert found["norm input"] == found["attention output"] == 2 * 32 * 128
    full = {t.name: t.width for t in layer_tensors(spec, TrainLayout(), setup, 3)}
    assert full["output gate"] == 16 * 256
    assert (
        train(spec, "h200-sxm", tp=8, ep=8, etp=1, dp=1, sequence_parallel=True, recompute="full")
        .stages[0]
        .activations
        > 0
    )
