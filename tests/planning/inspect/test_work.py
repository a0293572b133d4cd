"""FLOP and bytes of units, counted by hand for a dense linear."""

import pytest
from support.questions import plan_of, question_of

from planner.lookup import load_device, load_model
from planner.planning.inspect.roofline import unit_device, unit_work
from planner.quality.prior import load_prior

SCHEMES = ("bf16",)


def test_a_linear_is_two_flop_a_weight_and_token() -> None:
    plan = plan_of(schemes=SCHEMES, kv="bf16")
    spec = load_model("qwen2.5-0.5b")
    found = unit_work(question_of(schemes=SCHEMES, kv="bf16"), plan, load_prior())
    shape = next(row.shape for row in spec.rows if row.name.endswith("down_proj.weight"))
    for (kind, layers), work in found.items():
        if kind != "mlp-down":
            continue
        weights = shape[0] * shape[1] * len(layers)
        assert work.decode_flop == pytest.approx(2 * weights * plan.workload.batch)
        assert work.prefill_flop == pytest.approx(2 * weights * plan.workload.isl)
        assert 2 * weights < work.decode_bytes < 2.1 * weights
    assert sum(len(layers) for kind, layers in found if kind == "mlp-down") == spec.layers


def test_every_unit_of_the_plan_is_counted() -> None:
    plan = plan_of(schemes=SCHEMES, kv="bf16")
    found = unit_work(question_of(schemes=SCHEMES, kv="bf16"), plan, load_prior())
    assert set(found) == {(u.kind, u.layers) for u in plan.units}
    assert all(w.decode_bytes >= 0 and w.decode_flop >= 0 for w in found.values())


def test_a_unit_device_has_no_speed_of_its_own() -> None:
    device = unit_device(load_device("h100-sxm"))
    assert device.bandwidth_bytes_per_s.value == 1.0
    assert {rate.dense.value for rate in device.rates.values()} == {1.0}
    assert {a.floor_seconds.value for a in device.achieved.values()} == {0.0}
    assert {a.compute_fraction.value for a in device.achieved.values()} == {1.0}
    assert not device.fitted
