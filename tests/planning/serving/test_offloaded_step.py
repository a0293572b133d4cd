"""Experts on the host: a step is the GPU's part and the layers of experts, one after the other."""

from dataclasses import replace

import pytest

from planner.lookup import load_device, load_model
from planner.planning.serving.offloaded import OffloadedStep, offloaded_step
from planner.throughput.residency import Link

SPEC, GPU, CPU = (
    load_model("deepseek-v2-lite"),
    load_device("h100-sxm"),
    load_device("xeon-6980p"),
)
LINK = Link("pcie", 64e9, 10e-6, "")


def step(
    *,
    batch: int = 1,
    touched: float = 6.0,
    context: int = 4096,
    sockets: int = 1,
) -> OffloadedStep:
    return offloaded_step(
        SPEC, GPU, CPU, LINK, batch=batch, touched=touched, context=context, sockets=sockets
    )


def test_parts_add_up() -> None:
    found = step()
    assert found.layers == 26  # all layers but the first
    assert found.expert_seconds == pytest.approx(26 * found.layer.seconds)
    assert found.seconds == pytest.approx(found.gpu_seconds + found.expert_seconds)
    assert (found.scheme, found.dense_scheme) == ("bf16", "bf16")


def test_each_cause_moves_its_own_part() -> None:
    plain = step()
    more, longer = step(touched=12.0), step(context=65536)
    assert more.layer.seconds > 1.5 * plain.layer.seconds
    assert more.gpu_seconds == plain.gpu_seconds
    assert longer.gpu_seconds > plain.gpu_seconds
    assert longer.layer == plain.layer
    assert step(sockets=2).layer.seconds < plain.layer.seconds


def test_one_device_has_nobody_to_talk_to() -> None:
    link = GPU.links.scale_up_bytes_per_s
    assert link is not None
    slow = replace(
        GPU, links=replace(GPU.links, scale_up_bytes_per_s=replace(link, value=link.value / 1000))
    )
    alone = offloaded_step(SPEC, slow, CPU, LINK, batch=4, touched=6.0, context=4096, sockets=1)
    assert alone.gpu_seconds == step(batch=4).gpu_seconds
