"""Fits of experts, collectives and exchanges find the parameters that made the rows."""

from collections.abc import Callable, Mapping
from itertools import product

import numpy as np
import pytest

from planner.hardware.catalog import resolve_device
from planner.hardware.profile import FittedSet
from planner.lab.calibration import collective, dispatch, moe
from planner.lab.validation.moe_rows import moe_kernels, newest
from planner.lab.validation.op_comm import collectives
from planner.lab.validation.op_moe_a2a import dispatches
from planner.throughput.forms.collective import PARAMETERS as COLLECTIVE
from planner.throughput.forms.collective import collective_seconds
from planner.throughput.forms.dispatch import PARAMETERS as DISPATCH
from planner.throughput.forms.moe import parameters_of
from planner.throughput.silicon import Chip, chip

DEVICE = resolve_device("h100-sxm")
_CHIP = chip(DEVICE)
assert _CHIP is not None
H100: Chip = _CHIP
Row = dict[str, str]


def moe_rows(shapes: list[tuple[int, int, int, int]], kernel: str) -> list[Row]:
    rows = []
    for (hidden, inter, topk, experts), tokens, (tp, ep), law in product(
        shapes,
        (1, 4, 16, 64, 256, 1024, 4096),
        ((1, 1), (2, 1), (4, 1), (1, 4)),
        ("balanced", "power_law_1.01"),
    ):
        rows.append(
            {
                "device": "h100_sxm",
                "software": "sglang 9.9",
                "kernel": kernel,
                "moe_dtype": "bfloat16",
                "num_tokens": str(tokens),
                "hidden": str(hidden),
                "inter": str(inter),
                "topk": str(topk),
                "num_experts": str(experts),
                "moe_tp": str(tp),
                "moe_ep": str(ep),
                "distribution": law,
                "latency_us": "1",
            }
        )
    return rows


def timed(rows: list[Row], seconds: np.ndarray, index: np.ndarray) -> list[Row]:
    """``rows`` with latencies ``seconds`` of the rows at ``index``."""
    out = [dict(row) for row in rows]
    for i, t in zip(index.tolist(), seconds.tolist(), strict=True):
        out[i]["latency_us"] = repr(t * 1e6)
    return out


TWO = [(2048, 768, 8, 128), (4096, 1024, 10, 512)]


@pytest.mark.parametrize("kernel", ["some_kernel", "fused_moe_triton"])
def test_expert_rows_give_their_parameters_back(kernel: str) -> None:
    rows = moe_rows(TWO, kernel)
    group = moe_kernels(rows)[0][0]
    truth = {
        p.name: p.start * 1.15 if p.start * 1.15 < p.high else p.start * 0.9
        for p in parameters_of(group.variant)
    }
    assert "l2_share" in truth
    made = timed(rows, group.predict(truth, H100), group.batch.index)
    ((device, found),) = moe.fit_tables(made)
    assert (device, found.stack, found.software) == ("h100-sxm", "sglang", "9.9")
    assert found.error.mean < 0.03
    assert found.error.held_out == len(rows)
    again = group.predict(found.parameters, H100)
    assert again == pytest.approx(group.predict(truth, H100), rel=0.03)
    for name in ("launch_seconds", "bandwidth_fraction"):
        assert found.parameters[name] == pytest.approx(truth[name], rel=0.1)


def test_each_shape_is_predicted_without_itself() -> None:
    rows = moe_rows(TWO, "some_kernel")
    group = moe_kernels(rows)[0][0]
    truth = {p.name: p.start for p in parameters_of(group.variant)}
    seconds = group.predict(truth, H100)
    odd = np.array([shape == TWO[1] for shape in group.shapes])
    made = timed(rows, np.where(odd, 3 * seconds, seconds), group.batch.index)
    ((_, found),) = moe.fit_tables(made)
    assert found.table["hidden"] == (2048.0, 4096.0)
    without = {name: found.table[name][1] for name in found.parameters}
    blind = group.predict(without, H100)[odd] / (3 * seconds[odd])
    assert np.median(blind) == pytest.approx(1 / 3, rel=0.1)  # it saw the other shape alone
    assert found.error.mean > 0.5


def test_one_shape_keeps_back_layouts() -> None:
    rows = moe_rows(TWO[:1], "some_kernel")
    group = moe_kernels(rows)[0][0]
    truth = {p.name: p.start for p in parameters_of(group.variant)}
    made = timed(rows, group.predict(truth, H100), group.batch.index)
    ((_, found),) = moe.fit_tables(made)
    assert found.error.held_out == int(group.held_out.sum()) > 0
    assert found.note == moe.BY_LAYOUT
    assert found.error.mean < 0.03


def test_more_than_a_few_shapes_are_kept_back_third_by_third() -> None:
    shapes = [(2048 + 256 * i, 768, 8, 128) for i in range(moe.FEW + 3)]
    rows = [row for row in moe_rows(shapes, "some_kernel") if row["moe_tp"] == "1"]
    group = moe_kernels(rows)[0][0]
    truth = {p.name: p.start for p in parameters_of(group.variant)}
    seconds = group.predict(truth, H100)
    thirds = moe.thirds(group.shapes)
    assert set(thirds.tolist()) == {0, 1, 2}
    made = timed(rows, np.where(thirds == 1, 2 * seconds, seconds), group.batch.index)
    ((_, found),) = moe.fit_tables(made)
    assert found.note == moe.BY_THIRD
    assert {len(found.table[name]) for name in found.parameters} == {3}
    assert set(found.table) == set(found.parameters)
    without = {name: found.table[name][1] for name in found.parameters}
    blind = group.predict(without, H100)[thirds == 1] / (2 * seconds[thirds == 1])
    assert np.median(blind) == pytest.approx(1 / 2, rel=0.1)  # it saw the other thirds alone


def test_one_layout_keeps_back_numbers_of_tokens() -> None:
    rows = [
        {**row, "num_tokens": str(tokens)}
        for tokens in range(1, 60)
        for row in moe_rows(TWO[:1], "some_kernel")[:1]
    ]
    group = moe_kernels(rows)[0][0]
    assert 0 < group.held_out.sum() < len(rows) / 2
    truth = {p.name: p.start for p in parameters_of(group.variant)}
    made = timed(rows, group.predict(truth, H100), group.batch.index)
    ((_, found),) = moe.fit_tables(made)
    assert found.error.held_out == int(group.held_out.sum())


def test_the_newest_version_of_a_kernel_that_has_enough_rows_counts() -> None:
    rows = [
        {**row, "software": software}
        for software in ("sglang 0.5.9", "sglang 0.5.14")
        for row in moe_rows(TWO, "some_kernel")
    ]
    few = [{**row, "software": "sglang 0.6.0"} for row in moe_rows(TWO, "some_kernel")[:40]]
    other = [{**row, "software": "sglang 0.4.0"} for row in moe_rows(TWO, "old_kernel")]
    found = newest(moe_kernels([*rows, *few, *other])[0])
    assert [(one.batch.software, one.variant) for one in found] == [
        ("sglang 0.5.14", "some-kernel:bf16"),
        ("sglang 0.4.0", "old-kernel:bf16"),
    ]


def comm_rows(op: str, mode: str, software: str) -> list[Row]:
    return [
        {
            "device": "h100_sxm",
            "software": software,
            "op": op,
            "mode": mode,
            "dtype": "bfloat16",
            "num_gpus": str(n),
            "message_elements": str(2**i),
            "latency_us": "1",
        }
        for n in (2, 4, 8)
        for i in range(8, 28)
    ]


@pytest.mark.parametrize(
    ("op", "mode", "software"),
    [("custom_allreduce", "TRTLLM", "trtllm 9.9"), ("all_gather", "NCCL", "nccl 9.9")],
)
def test_collective_rows_give_table_and_formula(op: str, mode: str, software: str) -> None:
    rows = comm_rows(op, mode, software)
    group = collectives(rows)[0][0]
    truth = {p.name: p.start * 0.9 for p in COLLECTIVE}
    seconds = collective_seconds(truth, group.op, H100.link_bytes_per_s, group.ranks, group.size)
    pairs = collective.fit_tables(timed(rows, seconds, group.batch.index))
    table, formula = (fit for _, fit in pairs)
    assert formula.variant == f"{table.variant}:formula"
    assert table.kind == "measured"
    assert formula.error.mean < 0.02
    assert table.error.mean < 0.02
    assert set(table.table) == {"bytes", "ranks_2", "ranks_4", "ranks_8"}
    for name in ("launch_seconds", "large_fraction"):
        assert formula.parameters[name] == pytest.approx(truth[name], rel=0.1)


def test_the_newest_version_of_a_collective_counts() -> None:
    rows = comm_rows("all_reduce", "NCCL", "nccl 2.9.1") + comm_rows(
        "all_reduce", "NCCL", "nccl 2.10.0"
    )
    times = [{**row, "latency_us": str(10 + i % 60)} for i, row in enumerate(rows)]
    assert {fit.software for _, fit in collective.fit_tables(times)} == {"2.10.0"}


def test_exchange_rows_give_their_parameters_back() -> None:
    shapes = (
        (7168, 8, 256),
        (4096, 6, 128),
        (6144, 8, 384),
        (5120, 4, 64),
        (3072, 8, 256),
        (2048, 8, 128),
    )
    rows = [
        {
            "device": "h100_sxm",
            "software": "sglang 9.9",
            "comm_backend": "deepep_ll",
            "phase": "dispatch",
            "comm_dtype": "",
            "ep_size": "",
            "node_num": "1",
            "hidden_size": str(h),
            "topk": str(k),
            "num_experts": str(e),
            "num_tokens": str(2**i),
            "sms": "",
            "latency_us": "1",
        }
        for h, k, e in shapes
        for i in range(11)
    ]
    group = dispatches(rows)[0][0]
    truth = {p.name: p.start for p in DISPATCH}
    made = timed(rows, group.predict(truth, group.variant, DEVICE), group.batch.index)
    ((_, found),) = dispatch.fit_tables(made)
    assert found.variant == "deepep-ll:dispatch:fp8"
    assert found.error.mean < 0.02
    assert found.parameters["link_fraction"] == pytest.approx(truth["link_fraction"], rel=0.05)


Fits = Callable[[list[Row]], list[tuple[str, FittedSet]]]


@pytest.mark.parametrize(
    ("fits", "row"),
    [
        (moe.fit_tables, moe_rows(TWO[:1], "k")[0]),
        (collective.fit_tables, comm_rows("all_reduce", "NCCL", "nccl 1.0")[0]),
    ],
)
def test_unknown_devices_and_single_rows_are_not_fitted(fits: Fits, row: Mapping[str, str]) -> None:
    assert fits([dict(row)]) == []
    assert fits([{**row, "device": "abacus"}] * 90) == []
