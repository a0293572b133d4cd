"""DeepSeek-V4's attention: no table measures it; what stands for it obeys laws, and says so."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.examples import examples

from planner.formats.kv import kv_layout
from planner.lookup import load_device
from planner.models.catalog import bundled_model
from planner.models.spec import Attention
from planner.placement.cache_entries import head_entry_bytes
from planner.placement.layout import Layout
from planner.placement.modules import modules
from planner.throughput.attended import decode_entries, prompt_pairs
from planner.throughput.attention import decode_parts, layout_certainty, prefill_parts
from planner.throughput.attention_kernels import UNMEASURED, attention_model
from planner.throughput.compressor import QUERY_BYTES, overlapped_core
from planner.throughput.forms import dsa
from planner.throughput.forms.mla import LatentShape
from planner.throughput.indexer import indexer_certainty, indexer_parts
from planner.throughput.linear import all_reduces
from planner.throughput.points import Points, decode_phase, points, prefill_phase

FLASH, PRO = bundled_model("deepseek-v4-flash"), bundled_model("deepseek-v4-pro")
KINDS = {a.kind: a for a in FLASH.attention}
DEVICES = [load_device(name) for name in ("b200-sxm", "h200-sxm", "b300-sxm", "l40s")]
B200, H200 = DEVICES[:2]
STACKS = [("vllm",), ("sglang",), ("trtllm",), ()]


def at(batch: int, tp: int = 1) -> Points:
    return points([Layout(tp=tp)], [(0, batch)])


def step(
    a: Attention,
    device: object,
    stacks: tuple[str, ...],
    batch: int,
    length: float,
    layout: str = "fp8-ds-mla",
    tp: int = 1,
) -> float:
    pts = at(batch, tp)
    phase = decode_phase(pts, length)
    return float(
        decode_parts(
            a,
            "kv-latent",
            [layout],
            device,
            pts,
            phase,  # type: ignore[arg-type]
            stacks,
        ).total()[0, 0]
    )


def prompt(a: Attention, device: object, stacks: tuple[str, ...], length: int) -> float:
    pts = at(1)
    phase = prefill_phase(pts, length, length)
    return float(
        prefill_parts(
            a,
            "kv-latent",
            ["fp8-ds-mla"],
            device,
            pts,  # type: ignore[arg-type]
            phase,
            stacks,
        ).total()[0, 0]
    )


def test_what_a_query_reads() -> None:
    assert {kind: float(decode_entries(a, 8192)) for kind, a in KINDS.items()} == {
        "swa": 128,
        "hca": 128 + 64,
        "csa": 128 + 512,
    }
    assert float(decode_entries(KINDS["csa"], 1024)) == 128 + 256
    assert head_entry_bytes(KINDS["csa"], kv_layout("fp8-ds-mla"), "kv-latent") == 584


@pytest.mark.parametrize("stacks", STACKS)
@given(
    st.sampled_from(sorted(KINDS)),
    st.sampled_from(DEVICES),
    st.integers(1, 2**20),
    st.integers(1, 512),
    st.sampled_from([1, 2, 8]),
)
@settings(max_examples=examples(20, 200), deadline=None)
def test_a_step_rises_with_context_and_batch_and_is_no_faster_than_its_bytes(
    stacks: tuple[str, ...], kind: str, device: object, length: int, batch: int, tp: int
) -> None:
    a = KINDS[kind]
    here = step(a, device, stacks, batch, float(length), tp=tp)
    read = batch * float(decode_entries(a, length)) * 584
    assert here >= read / device.bandwidth_bytes_per_s.value  # type: ignore[attr-defined]
    assert step(a, device, stacks, batch, 2.0 * length, tp=tp) >= here
    assert step(a, device, stacks, 2 * batch, float(length), tp=tp) > here
    scored = at(batch), decode_phase(at(batch), float(length))
    if a.indexer_heads:
        one = indexer_parts(a, device, *scored, stacks).total()[0, 0]  # type: ignore[arg-type]
        keys = batch * length / a.ratio * 132
        assert one >= keys / device.bandwidth_bytes_per_s.value * 0.99  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_prompt_grows_with_its_pairs_and_is_no_faster_than_its_products(kind: str) -> None:
    a = KINDS[kind]
    for device in (B200, H200):
        rate = device.rate("bf16")
        assert rate is not None
        for stacks in STACKS:
            times = [prompt(a, device, stacks, n) for n in (1024, 8192, 65536)]
            assert times == sorted(times)
            least = a.heads * float(prompt_pairs(a, 65536)) * 4 * a.head_dim / rate.dense.value
            assert times[-1] >= least


def test_the_entries_of_long_contexts_cost_where_they_are_read() -> None:
    """A wrong sign, or entries that are left out, would turn one of these around."""
    for stacks in STACKS:
        short, long = (
            {k: step(a, B200, stacks, 64, length) for k, a in KINDS.items()}
            for length in (8192.0, 2.0**20)
        )
        assert long["swa"] == short["swa"]
        assert long["csa"] == short["csa"]
        assert long["hca"] > 2 * short["hca"]
        assert short["swa"] < short["hca"] < short["csa"]


def test_the_core_by_hand() -> None:
    a, batch, length = KINDS["hca"], 32, 131072.0
    model = attention_model(B200, dsa.DECODE, "fp8-ds-mla", ["sglang"], compressed=True)
    assert model is not None
    own = {
        **model.parameters,
        "token_seconds": 0.0,
        "rest_fraction": np.inf,
        "gather_fraction": min(model.parameters["gather_fraction"], 1.0),
        "floor_seconds": B200.achieved["attention-decode"].floor_seconds.value,
    }
    one = np.ones((1, 1))
    shape = LatentShape(
        one * batch,
        one * (128 + length / 128),
        one * a.heads,
        one * 584 / 512,
        key=512,
        value=512,
        latent=512,
        rope=0,
    )
    expected = dsa.dsa_core(own, model.chip, dsa.DECODE, dsa.SparseShape(shape, np.inf, 0.0, 0.0))
    assert step(a, B200, ("sglang",), batch, length) == pytest.approx(
        float(expected.total()[0, 0]) * model.lent, rel=1e-12
    )


def test_the_indexer_scores_a_key_for_four_tokens() -> None:
    """That of DeepSeek-V3.2 over a quarter of the keys, but for what it takes by query."""
    a = KINDS["csa"]
    sparse = bundled_model("deepseek-v3.2").attention[0]
    same = replace(sparse, indexer_heads=a.indexer_heads, indexer_dim=a.indexer_dim)
    pts = at(64)
    for stacks in STACKS[:3]:
        one, other = (
            indexer_parts(x, B200, pts, decode_phase(pts, n), stacks).total()[0, 0]
            for x, n in ((a, 131072.0), (same, 32768.0))
        )
        assert one == pytest.approx(other, rel=1e-12)


def test_how_sure_its_times_are() -> None:
    for a in (*FLASH.attention, *PRO.attention):
        for device in DEVICES:
            for stacks in STACKS:
                how = layout_certainty(a, "kv-latent", "fp8-ds-mla", device, stacks, decode=True)
                assert how.basis == "prior"
                assert how.sigma >= UNMEASURED.sigma
                if a.indexer_heads:
                    scored = indexer_certainty(a, device, stacks, decode=True)
                    assert (scored.basis, scored.sigma >= UNMEASURED.sigma) == ("prior", True)


def test_what_runs_beside_the_core_by_its_bytes() -> None:
    a, pts = KINDS["hca"], at(64, tp=2)
    found = overlapped_core(a, B200, pts, decode_phase(pts, 8192.0), 584.0)
    small = B200.achieved["elementwise"]
    moved = 64 * 32 * 512 * QUERY_BYTES
    assert float(found.total()[0, 0]) == pytest.approx(
        small.floor_seconds.value
        + moved / (B200.bandwidth_bytes_per_s.value * small.bandwidth_fraction.value)
    )
    chunk = overlapped_core(a, B200, pts, prefill_phase(pts, 8192, 8192), 584.0)
    plain = overlapped_core(
        replace(a, kind="swa", ratio=1), B200, pts, prefill_phase(pts, 8192, 8192), 584.0
    )
    assert float(chunk.total()[0, 0]) > float(plain.total()[0, 0])


def test_compressors_are_modules_of_their_own() -> None:
    found = {len(m.layers): m for m in modules(FLASH) if m.kind == "compressor"}
    assert {n: m.gemms[0].members for n, m in found.items()} == {
        21: ((1024, 4096), (1024, 4096)),
        20: ((512, 4096), (512, 4096)),
    }
    assert all(m.released_as == "bf16" for m in found.values())
    latent = next(m for m in modules(FLASH) if m.kind == "mla-kv")
    assert [g.members for g in latent.gemms] == [((512, 4096),)]


def test_a_layer_of_two_halves_is_reduced_twice() -> None:
    out = next(m for m in modules(FLASH) if m.kind == "attention-out")
    assert all_reduces(out) == 1
    both = replace(out, gemms=(*out.gemms, *out.gemms))
    assert all_reduces(both) == 2
    assert all_reduces(replace(both, kind="experts-down")) == 1
