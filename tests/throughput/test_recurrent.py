"""A linear-attention layer by hand; what its state costs does not depend on the context."""

import numpy as np
import pytest

from planner.lookup import load_device
from planner.models.catalog import resolve_model
from planner.throughput.points import Phase, Points, decode_phase, prefill_phase
from planner.throughput.recurrent import recurrent_parts
from tests.support.theory import estimate

H100 = load_device("h100-sxm")
LINEAR = resolve_model("qwen3-next-80b-a3b").attention[1]


def points(slot: int, tp: int = 1) -> Points:
    one = np.ones(1)
    return Points(
        layout=np.zeros(1, dtype=np.int64), tp=one * tp, dp=one, pp=one, ep=one, slot=one * slot
    )


def seconds(phase: Phase, pts: Points) -> float:
    return float(recurrent_parts(LINEAR, H100, pts, phase).total()[0, 0])


@pytest.mark.parametrize(("slot", "tp"), [(1, 1), (64, 1), (64, 4)])
def test_a_decode_step_reads_and_writes_the_state(slot: int, tp: int) -> None:
    pts = points(slot, tp)
    state = 32 * 128 * 128 * 4 + 3 * 8192 * 2
    heads = 2 * 16 * 128 + 2 * 32 * 128  # queries, keys, values and outputs of a token, BF16
    reached = H100.achieved["attention-decode"]
    moved = slot * (2 * state + 2 * heads) / tp
    expected = 2 * reached.floor_seconds.value + moved / (
        H100.bandwidth_bytes_per_s.value * reached.bandwidth_fraction.value
    )
    assert seconds(decode_phase(pts, 1000), pts) == pytest.approx(expected)
    assert seconds(decode_phase(pts, 100_000), pts) == pytest.approx(expected)


def test_a_prompt_is_linear_in_its_length() -> None:
    pts = points(1)
    floor = 2 * H100.achieved["attention-decode"].floor_seconds.value
    short, long = (seconds(prefill_phase(pts, n, 10**6), pts) - floor for n in (4096, 32768))
    assert long / short == pytest.approx(8, rel=0.05)


def test_the_step_of_a_hybrid_grows_with_its_full_layers_alone() -> None:
    found = [
        estimate(
            "qwen3-next-80b-a3b", "h200-sxm", devices=8, tp=2, dp=4, pp=1, ep=8, batch=16, context=n
        )
        for n in (4096, 65536)
    ]
    by_kind = [
        {
            k: sum(u.decode_seconds for u in p.units if u.kind == k)
            for k in ("linear-attention", "kv-k")
        }
        for p in found
    ]
    assert by_kind[0]["linear-attention"] == by_kind[1]["linear-attention"]
    assert by_kind[1]["kv-k"] > by_kind[0]["kv-k"]
    states = [layer for layer in found[0].kv_cache.layers if layer.kind == "state"]
    assert len(states) == 36
    assert {(s.layout, s.bytes_per_token, s.fixed_bytes) for s in states} == {
        ("fp32", 0, 32 * 128 * 128 * 4 + 3 * 8192 * 2)
    }
    growth = sum(layer.bytes_per_token for layer in found[0].kv_cache.layers)
    assert growth == found[0].kv_cache.bytes_per_token == 12 * 2 * 2 * 256 * 2
