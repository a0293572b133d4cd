"""The change after which a training step fits: it does fit, and the step stays the same step."""

from dataclasses import replace

import pytest

from planner.hardware.catalog import resolve_device
from planner.memory.training import COMPONENTS, rank_activations, stages_of, train_problem
from planner.memory.training_activations import layer_tensors
from planner.memory.training_advice import smallest_change
from planner.memory.training_setup import TrainLayout, TrainSetup, recipe
from planner.models.catalog import resolve_model
from planner.models.spec import ModelSpec
from planner.report.view.train import overfull
from planner.report.view.verb_words import verb_phrases

LLAMA = resolve_model("llama-3.1-8b")
H100 = resolve_device("h100-sxm")
# Nothing is left to turn on: a change is one of sizes.
SAVING = TrainSetup(
    recipe=recipe("bf16"),
    mode="full",
    zero=3,
    seq=4096,
    micro_batch=1,
    recompute="full",
    sequence_parallel=True,
)


def held(layout: TrainLayout, setup: TrainSetup, spec: ModelSpec = LLAMA) -> int:
    return max(stage.total for stage in stages_of(spec, H100, layout, setup))


@pytest.mark.parametrize(
    ("batch", "smaller"),
    [(8, (4, 2, 1)), (6, (3, 1)), (10, (5, 2, 1)), (7, (1,)), (9, (1,)), (12, (6, 3, 1))],
)
def test_smaller_micro_batches_divide_the_one_asked(batch: int, smaller: tuple[int, ...]) -> None:
    """The largest that fits is advised: halves of it, rounded down, that leave whole batches."""
    setup, layout = replace(SAVING, micro_batch=batch, micro_batches=4), TrainLayout()
    for size in smaller:
        usable = held(layout, replace(setup, micro_batch=size))
        change = smallest_change(LLAMA, H100, layout, setup, usable)
        assert change is not None
        assert (change.flags, change.total_bytes) == (f"--micro-batch {size}", usable)
    change = smallest_change(
        LLAMA, H100, layout, setup, held(layout, replace(setup, micro_batch=batch - 1))
    )
    assert change is not None
    assert change.flags == f"--micro-batch {smaller[0]}"


@pytest.mark.parametrize(
    ("dp", "factors"), [(2, (2,)), (3, ()), (4, (2, 4)), (6, (2,)), (8, (2, 4, 8)), (12, (2, 4))]
)
def test_a_new_split_is_of_the_same_devices_and_samples(dp: int, factors: tuple[int, ...]) -> None:
    """Stages take over copies where they divide them, the fewest that fit; a copy then reads as
    many more micro-batches. Copies that nothing divides are left, and gradients divided instead."""
    layout = TrainLayout(dp=dp)
    setup = replace(SAVING, zero=1, micro_batches=1)
    for factor in factors:
        split = replace(layout, pp=factor, dp=dp // factor)
        usable = held(split, replace(setup, micro_batches=factor))
        change = smallest_change(LLAMA, H100, layout, setup, usable)
        assert change is not None
        assert (change.flags, change.total_bytes) == (
            f"--pp {factor}" + f" --dp {dp // factor}",
            usable,
        )
    if not factors:
        usable = held(layout, replace(setup, zero=2))
        change = smallest_change(LLAMA, H100, layout, setup, usable)
        assert change is not None
        assert (change.flags, change.total_bytes) == ("--zero 2", usable)


@pytest.mark.parametrize(("cp", "factors"), [(3, ()), (6, (2,)), (8, (2, 8)), (64, (4, 16, 64))])
def test_experts_are_dealt_to_ranks_that_hold_the_same(cp: int, factors: tuple[int, ...]) -> None:
    """Context-parallel ranks hold all experts alike: a doubling of ep that divides them, the first
    that fits; an odd number is left, and gradients are divided instead."""
    spec, layout = resolve_model("qwen3-30b-a3b"), TrainLayout(cp=cp)
    setup = replace(SAVING, zero=1, seq=3 * 4096)
    for factor in factors:
        usable = held(replace(layout, ep=factor), setup, spec)
        change = smallest_change(spec, H100, layout, setup, usable)
        assert change is not None
        assert (change.flags, change.total_bytes) == (f"--ep {factor}", usable)
    if not factors:
        change = smallest_change(
            spec, H100, layout, setup, held(layout, replace(setup, zero=2), spec)
        )
        assert change is not None
        assert change.flags == "--zero 2"


def test_turns_of_an_interleaved_schedule_are_whole() -> None:
    """Megatron hands out pp micro-batches at a time, so that pp divides them."""
    setup = replace(SAVING, micro_batches=None)
    for pp, passes in ((4, 8), (4, 4), (2, 6)):
        layout = TrainLayout(pp=pp, chunks=2)
        assert train_problem(LLAMA, layout, replace(setup, micro_batches=passes)) == ""
        assert "micro-batches" in train_problem(
            LLAMA, layout, replace(setup, micro_batches=passes + 1)
        )
        assert (
            train_problem(
                LLAMA, replace(layout, chunks=1), replace(setup, micro_batches=passes + 1)
            )
            == ""
        )
    assert train_problem(LLAMA, TrainLayout(pp=4, chunks=2), setup) == ""


@pytest.mark.parametrize(("tp", "etp"), [(1, 1), (4, 4), (4, 1)])
def test_adapters_of_experts_by_hand(tp: int, etp: int) -> None:
    """Qwen3-30B-A3B: queries, keys, values; gate, up and down of every expert, 8 of them a token,
    rank 16; a rank holds etp/tp copies of its tokens."""
    spec = resolve_model("qwen3-30b-a3b")
    setup = replace(
        SAVING,
        mode="lora",
        lora_rank=16,
        recompute="none",
        lora_kinds=frozenset({"experts-gate-up", "experts-down", "attention-qkv"}),
    )
    layout = TrainLayout(tp=tp, etp=etp, ep=tp // etp)
    found = {t.name: t for t in layer_tensors(spec, layout, setup, 3)}
    assert found["adapters"].elements(1000) == 16 * 3 * 1000
    assert found["expert adapters"].elements(1000) == 16 * 3 * 8 * 1000 * etp // tp


def test_the_indexer_of_latent_attention_by_hand() -> None:
    """DeepSeek-V3.2: 64 indexer heads of 128, a weight for each, and one key."""
    found = {
        t.name: t
        for t in layer_tensors(
            resolve_model("deepseek-v3.2"), TrainLayout(), replace(SAVING, recompute="none"), 5
        )
    }
    assert found["indexer queries and keys"].elements(1) == 64 * 128 + 64 + 128


def test_experts_of_adapters_are_those_of_several() -> None:
    """A row of two experts is routed: its adapters lie with the expert's tokens."""
    spec = resolve_model("mixtral-8x7b")
    two = replace(
        spec, rows=tuple(replace(row, experts=2) if row.experts > 1 else row for row in spec.rows)
    )
    setup = replace(
        SAVING,
        mode="lora",
        lora_rank=8,
        recompute="none",
        lora_kinds=frozenset({"experts-gate-up", "experts-down"}),
    )
    for one in (spec, two):
        found = {t.name: t for t in layer_tensors(one, TrainLayout(), setup, 0)}
        assert "adapters" not in found
        assert found["expert adapters"].elements(100) == 8 * 3 * 2 * 100


def test_savings_are_turned_on_in_the_order_of_what_they_cost() -> None:
    """Each alone where it is enough: the sequence divided over tensor-parallel ranks, the optimizer
    over copies, then layers made again; nothing is divided over a single device."""
    plain = TrainSetup(
        recipe=recipe("bf16"),
        mode="full",
        zero=0,
        seq=4096,
        micro_batch=1,
        recompute="none",
        sequence_parallel=False,
        kernel="plain",
    )
    wide, alone = TrainLayout(tp=2, dp=3), TrainLayout()
    for layout, words, setup in (
        (wide, "--sequence-parallel", replace(plain, sequence_parallel=True)),
        (wide, "--zero 1", replace(plain, zero=1)),
        (alone, "--recompute selective", replace(plain, recompute="selective")),
        (alone, "--recompute full", replace(plain, recompute="full")),
    ):
        usable = held(layout, setup)
        change = smallest_change(LLAMA, H100, layout, plain, usable)
        assert change is not None
        assert (change.flags, change.total_bytes) == (words, usable)
    both = held(alone, replace(plain, recompute="full")) - 1
    change = smallest_change(LLAMA, H100, alone, plain, both)
    assert change is not None
    assert change.flags.startswith("--devices")
    pair = replace(plain, zero=1, recompute="selective")
    change = smallest_change(LLAMA, H100, TrainLayout(dp=3), plain, held(TrainLayout(dp=3), pair))
    assert change is not None
    assert change.flags == "--zero 1 --recompute selective"


@pytest.mark.parametrize("tp", [1, 2, 16])
def test_norms_of_heads_are_kept_by_head(tp: int) -> None:
    """Qwen3-8B: 32 query heads are divided, 8 key heads copied beyond their number, 128 wide."""
    found = {
        t.name: t.elements(100)
        for t in layer_tensors(
            resolve_model("qwen3-8b"), TrainLayout(tp=tp), replace(SAVING, recompute="none"), 3
        )
    }
    assert found["q norm input"] == 100 * 32 * 128 // tp
    assert found["k norm input"] == 100 * max(8 // tp, 1) * 128


@pytest.mark.parametrize(
    ("zero", "layout", "name"),
    [
        (3, TrainLayout(dp=64), "activations"),
        (0, TrainLayout(), "moments"),
        (1, TrainLayout(dp=64), "weights"),
    ],
)
def test_the_largest_component_is_named(zero: int, layout: TrainLayout, name: str) -> None:
    """Adam's moments take 8 bytes a parameter, weights and gradients 2 each; 64 ranks share what is
    divided."""
    setup = replace(
        SAVING,
        zero=zero,
        recompute="none" if zero == 3 else "full",
        seq=4096,
        micro_batch=4 if zero == 3 else 1,
    )
    (stage,) = stages_of(LLAMA, H100, layout, setup)
    assert stage.largest == name
    assert all(getattr(stage, name) >= getattr(stage, other) for other in COMPONENTS)
    assert sum(getattr(stage, other) for other in COMPONENTS) == stage.total


def test_the_shortfall_names_the_largest_and_whether_it_is_too_large_alone() -> None:
    (stage,) = stages_of(LLAMA, H100, TrainLayout(), replace(SAVING, zero=0))
    assert stage.largest == "moments"
    t = verb_phrases("train", "en")
    alone, largest = overfull(t, stage, stage.moments - 1), overfull(t, stage, stage.moments)
    assert alone == "optimizer moments alone exceed the device"
    assert largest == "optimizer moments are the largest part"


@pytest.mark.parametrize("dropout", [False, True])
def test_the_ends_of_the_stack_keep_what_is_theirs(dropout: bool) -> None:
    """4,096 tokens of 4,096 in BF16: a mask of a byte behind the embedding, where there is dropout;
    the last norm's and the head's inputs and FP32 logits at the end."""
    setup = replace(SAVING, dropout=dropout)
    layer = 4096 * 4096 * 2  # with everything else made again
    first, middle, last = (
        rank_activations(LLAMA, TrainLayout(pp=4), replace(setup, micro_batches=1), stage).kept
        - 8 * layer
        for stage in (0, 1, 3)
    )
    assert first == (4096 * 4096 if dropout else 0)
    assert middle == 0
    assert last == 4096 * (2 * 4096 * 2 + 128_256 * 4)
