"""The products of latent attention: which they are, and that joined ones launch once."""

import numpy as np
import pytest

from planner.lookup import load_device
from planner.models.catalog import resolve_model
from planner.placement.modules import modules
from planner.throughput.attention_module import Projections
from planner.throughput.elementwise_kernels import measured_share
from planner.throughput.gemm import gemm_model
from planner.throughput.indexer import indexer_certainty, indexer_parts
from planner.throughput.points import Points, decode_phase, prefill_phase

H200 = load_device("h200-sxm")
SPARSE = resolve_model("deepseek-v3.2")
ONE = np.ones(1)


def points(slot: int, tp: int = 8) -> Points:
    return Points(np.zeros(1, dtype=np.int64), ONE * tp, ONE, ONE, ONE, ONE * slot)


def test_a_dense_prompt_expands_what_the_cache_holds() -> None:
    dense = resolve_model("deepseek-v3")
    products = Projections(
        dense.attention[0], dense.hidden_size, "fp8-block", expanded=True, indexer=False
    )
    found = [
        (s, m.item(), n.item(), k.item())
        for s, m, n, k in products.gemms(100 * ONE, 16 * ONE, 50.0)
        for m in [np.asarray(m)]
    ]
    assert found == [
        ("fp8-block", 100, 2112, 7168),
        ("fp8-block", 100, 3072, 1536),
        ("fp8-block", 100, 7168, 2048),
        ("fp8-block", 150, 4096, 512),
    ]


def test_a_sparse_step_is_absorbed_and_has_an_indexer() -> None:
    products = Projections(
        SPARSE.attention[0], SPARSE.hidden_size, "fp8-block", expanded=False, indexer=True
    )
    names = [(s, n.item(), k.item()) for s, _, n, k in products.gemms(ONE, 128 * ONE, 0.0)]
    assert names[3:] == [
        ("bf16", 16384, 512),
        ("bf16", 16384, 512),
        ("fp8-block", 8192, 1536),
        ("bf16", 192, 7168),
    ]
    done = products.seconds(H200, ["vllm"], ONE, 128 * ONE)
    assert done is not None
    assert done[0].shape == (1,)
    assert products.seconds(load_device("jetson-agx-thor-t5000"), ["vllm"], ONE, ONE) is None


def test_products_of_one_input_are_joined() -> None:
    kinds = {m.kind: [g.joined for g in m.gemms] for m in modules(SPARSE)}
    assert kinds["mla-q"] == [False, False]
    assert kinds["mla-kv"] == [True, False]
    assert kinds["indexer"] == [False, False, True]
    lite = modules(resolve_model("deepseek-v2-lite"))
    assert [g.joined for m in lite if m.kind == "mla-kv" for g in m.gemms] == [False, False]


def test_a_joined_product_costs_less_than_a_kernel() -> None:
    from planner.throughput.linear import _fitted

    module = next(m for m in modules(SPARSE) if m.kind == "mla-kv")
    model = gemm_model(H200, "bf16", ["vllm"])
    assert model is not None
    gemms = [(ONE * 576, ONE * 7168, ONE * 576 * 7168), (ONE * 4096, ONE * 512, ONE * 4096 * 512)]
    m = np.full((1, 1), 64.0)
    joined = float(_fitted(module, gemms, model.form, m, np.asarray(2.0)).total().item())
    apart = sum(
        float(model.parts(m, n, k).total().item())
        for n, k in (
            (np.asarray(576.0), np.asarray(7168.0)),
            (np.asarray(4096.0), np.asarray(512.0)),
        )
    )
    assert joined == pytest.approx(apart - float(model.form.launch))


@pytest.mark.parametrize("stack", ["vllm", "sglang", "trtllm"])
def test_the_indexer_is_the_engines_own(stack: str) -> None:
    sparse = SPARSE.attention[0]
    assert indexer_certainty(sparse, H200, [stack], decode=True).basis == "fitted"
    pts = points(64)
    times = [
        float(indexer_parts(sparse, H200, pts, decode_phase(pts, n), [stack]).total().item())
        for n in (100, 8192, 131072)
    ]
    assert times == sorted(times)
    assert times[-1] > 64 * 131072 * 132 / H200.bandwidth_bytes_per_s.value
    one, two = (
        float(indexer_parts(sparse, H200, pts, prefill_phase(pts, n, 8192), [stack]).total().item())
        for n in (8192, 32768)
    )
    assert two > 4 * one


def test_an_indexer_without_tables_is_a_prior() -> None:
    pts = points(8)
    sparse = SPARSE.attention[0]
    assert indexer_certainty(sparse, H200, [], decode=True).basis == "prior"
    assert float(indexer_parts(sparse, H200, pts, decode_phase(pts, 5000)).total().item()) > 0


def test_what_was_measured_with_the_core_is_not_priced_again() -> None:
    assert measured_share(SPARSE, H200, ["vllm"]) == 1.0
    assert measured_share(resolve_model("deepseek-v3"), H200, ["trtllm"]) == 1.0
    assert measured_share(resolve_model("deepseek-v3"), H200, ["sglang"]) == 0.0
    assert measured_share(resolve_model("qwen3-32b"), H200, ["vllm"]) == 0.0
    assert measured_share(SPARSE, H200, []) == 0.0
