"""Sparse attention, its indexer and what surrounds a core: by hand, and laws of price."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.base.errors import DataError
from planner.hardware.profile import FittedSet
from planner.lookup import load_device
from planner.throughput.forms import dsa
from planner.throughput.forms.attention_rest import (
    DECODE_PARAMETERS,
    hosted,
    rest_bytes,
    rest_parts,
)
from planner.throughput.forms.mla import LatentShape
from planner.throughput.silicon import Chip, chip

DEVICES = ("h100-sxm", "h200-sxm", "b200-sxm")


def figures(name: str = "h200-sxm") -> Chip:
    found = chip(load_device(name))
    assert found is not None
    return found


def start(operator: str, **other: float) -> dict[str, float]:
    return {p.name: p.start for p in (*dsa.parameters_of(operator), *dsa.STRUCTURE)} | other


def shape(
    batch: float = 1, length: float = 1000, heads: float = 16, past: float = 0
) -> dsa.SparseShape:
    latent = LatentShape(
        *map(np.asarray, (batch, length, heads, 2.0)),
        key=192.0,
        value=128.0,
        latent=512.0,
        rope=64.0,
        past=np.asarray(past),
    )
    return dsa.SparseShape(latent, 2048.0, 64.0, 128.0)


def whole(operator: str, parameters: dict[str, float], chip_: Chip, s: dsa.SparseShape) -> float:
    core, indexer = (
        dsa.dsa_core(parameters, chip_, operator, s),
        dsa.dsa_indexer(parameters, chip_, operator, s),
    )
    return float(core.total() + indexer.total())


@pytest.mark.parametrize(("length", "past"), [(1, 0), (7, 3), (40, 0), (40, 25), (3, 100)])
@pytest.mark.parametrize("limit", [30.0, np.inf])
def test_pairs_are_counted_one_by_one(length: int, past: int, limit: float) -> None:
    expected = sum(min(past + i, limit) for i in range(1, length + 1))
    assert float(dsa.pairs_of(shape(length=length, past=past).latent, limit)) == expected


def test_a_step_reads_every_key_and_the_chosen_entries() -> None:
    p, c = start(dsa.DECODE), figures()
    core, indexer = (
        run(p, c, dsa.DECODE, shape(64, 100_000, 64)) for run in (dsa.dsa_core, dsa.dsa_indexer)
    )
    keys = 64 * 100_000 * 132 / (p["score_fraction"] * c.bandwidth)
    assert float(indexer.memory) == pytest.approx(keys)
    entries = 64 * 2048 * 576 * 2 / (p["gather_fraction"] * c.bandwidth)
    assert float(core.busy) > entries
    longer = dsa.dsa_core(p, c, dsa.DECODE, shape(64, 200_000, 64))
    assert float(longer.total()) == pytest.approx(float(core.total()))


def test_a_kernel_pads_its_heads() -> None:
    p = start(dsa.PREFILL, tile_heads=64.0)
    few, tile, more = (
        float(dsa.dsa_core(p, figures(), dsa.PREFILL, shape(1, 8192, h)).compute)
        for h in (8, 64, 128)
    )
    assert few == pytest.approx(tile)
    assert more == pytest.approx(2 * tile)


def test_scores_over_all_sequences_of_a_batch_cost_only_where_a_stack_makes_them() -> None:
    p, wide = start(dsa.PREFILL), start(dsa.PREFILL, ragged_seconds=1e-12)
    c, alone, many = figures(), shape(1, 512, past=4096), shape(8, 512, past=4096)
    gain = [
        float(
            dsa.dsa_indexer(wide, c, dsa.PREFILL, s).total()
            - dsa.dsa_indexer(p, c, dsa.PREFILL, s).total()
        )
        for s in (alone, many)
    ]
    assert gain[1] > 60 * gain[0]


def test_the_host_is_the_floor_of_a_prompt_and_no_more() -> None:
    p = start(dsa.PREFILL)
    assert dsa.host_seconds(p, indexer=True, narrow=1.0) == pytest.approx(
        p["host_seconds"] + p["index_host_seconds"] + p["narrow_host_seconds"]
    )
    assert dsa.host_seconds(p, indexer=False, narrow=0.0) == p["host_seconds"]
    short, long = hosted(np.array([1e-5, 1e-1]), 1e-3)
    assert short == pytest.approx(1e-3)
    assert long == pytest.approx(1e-1)


def test_the_rest_grows_with_tokens_and_heads() -> None:
    p = {q.name: q.start for q in DECODE_PARAMETERS}
    s = shape(heads=16).latent
    one, two = (rest_parts(p, figures(), "mla-decode", s, tokens=np.asarray(n)) for n in (1.0, 2.0))
    each = float(two.total() - one.total())
    assert each == pytest.approx(
        p["token_seconds"]
        + float(rest_bytes(s, np.asarray(1.0))) / (p["bandwidth_fraction"] * figures().bandwidth)
    )
    assert float(rest_bytes(s, np.asarray(1.0))) == 4 * 16 * (384 + 256 + 1024 + 64)


def test_parameters_of_another_form_are_refused() -> None:
    with pytest.raises(DataError, match="dsa-decode"):
        dsa.dsa_core(start(dsa.PREFILL), figures(), dsa.DECODE, shape())


def sets() -> list[tuple[str, FittedSet]]:
    return [
        (name, fit)
        for name in DEVICES
        for fit in load_device(name).fitted.values()
        if fit.operator in (dsa.DECODE, dsa.PREFILL)
    ]


@given(
    pick=st.integers(0, 10_000),
    batch=st.integers(1, 512),
    length=st.integers(1, 40_000),
    heads=st.sampled_from([1, 8, 16, 64, 128]),
    past=st.sampled_from([0, 1, 3000, 100_000]),
    more=st.sampled_from(["batch", "length", "heads", "past"]),
    added=st.integers(1, 4096),
)
def test_more_work_never_takes_less_time(
    pick: int, batch: int, length: int, heads: int, past: int, more: str, added: int
) -> None:
    found = sets()
    device, fit = found[pick % len(found)]
    c, p = figures(device), dict(fit.parameters)
    base = {"batch": batch, "length": length, "heads": heads, "past": past}
    larger = base | {more: base[more] + added}
    before, after = (whole(fit.operator, p, c, shape(**one)) for one in (base, larger))
    assert after >= before * (1 - 1e-9)
    assert before > 0
