"""Figures of a device that a plan rests on: those of its formats, links only where ranks talk."""

from dataclasses import replace

from support.questions import plan_of

from planner.lookup import load_device
from planner.planning.inspect.provenance import premises

DEVICE = load_device("h100-sxm")


def test_figures_are_those_of_the_profile() -> None:
    found = {(p.name, p.of): p for p in premises(plan_of(), DEVICE)}
    bandwidth = found["bandwidth", ""]
    own = DEVICE.bandwidth_bytes_per_s
    assert (bandwidth.value, bandwidth.unit, bandwidth.source, bandwidth.kind, bandwidth.date) == (
        own.value,
        own.unit,
        own.source,
        own.kind,
        own.date,
    )
    rate = DEVICE.rate("bf16")
    assert rate is not None
    assert found["rate", "bf16"].value == rate.dense.value
    assert found["capacity", ""].value == DEVICE.capacity_bytes.value


def test_rates_are_those_of_the_plans_formats() -> None:
    wide = plan_of(schemes=("bf16",))
    assert {p.of for p in premises(wide, DEVICE) if p.name == "rate"} == {"bf16"}
    narrow = plan_of(schemes=("bf16", "fp8-block"))
    assert "fp8-block" in {u.scheme for u in narrow.units}
    assert len([p for p in premises(narrow, DEVICE) if p.name == "rate"]) == 2


def test_a_link_is_a_premise_where_ranks_share_a_replica() -> None:
    plan = plan_of()
    far = DEVICE.scale_up_devices + 1

    def links(count: int, replicas: int = 1) -> set[str]:
        asked = replace(
            plan,
            device=replace(plan.device, count=count),
            layout=replace(plan.layout, replicas=replicas),
        )
        return {p.name for p in premises(asked, DEVICE)} & {"scale-up", "scale-out"}

    assert links(1) == set()
    assert links(8, replicas=8) == set()
    assert links(2) == links(DEVICE.scale_up_devices) == {"scale-up"}
    assert links(far) == {"scale-up", "scale-out"}
