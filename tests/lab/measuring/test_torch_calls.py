"""Calls from Python with torch: what is timed, and that a layer makes as many calls as it says."""

import importlib.util
import itertools

import pytest

from planner.lab.measuring import torch_calls
from planner.lab.measuring.request import PartRequest, part_named
from planner.lab.measuring.torch_backend import TorchBackend

HERE = importlib.util.find_spec("torch") is not None


def test_what_is_swept_is_not_timed():
    clock = itertools.count()  # a second a reading
    told: list[str] = []
    found = torch_calls.swept(
        lambda: told.append("call"),
        lambda: told.append("sweep"),
        5.0,
        clock=lambda: float(next(clock)),
    )
    assert found.best == 1.0
    assert told[0] == "call"
    assert told[1:] == ["sweep", "call"] * found.repeats


def test_a_gpu_has_no_such_case():
    request = PartRequest("calls of torch", True, 1.0, 1, "host", 1, 1, {}, gpu="h100-sxm")
    assert list(torch_calls.listed(request, TorchBackend(None, "cuda", "h100-sxm", 1))) == []
    assert part_named("calls of torch").module == "planner.lab.measuring.torch_calls"


@pytest.mark.skipif(not HERE, reason="torch is not installed: the layer cannot be run")
def test_a_layer_makes_its_calls():
    import torch
    from torch.profiler import ProfilerActivity, profile

    request = PartRequest("calls of torch", True, 1.0, 1, "host", 1, 1, {})
    with torch.inference_mode():
        run = torch_calls.layer(torch)
        run()
        with profile(activities=[ProfilerActivity.CPU]) as seen:
            out = run()
    assert tuple(out.shape) == (1, torch_calls.HIDDEN)
    assert sum(one.cpu_parent is None for one in seen.events()) == torch_calls.CALLS
    ((_, case),) = torch_calls.listed(request, TorchBackend(torch, "cpu", "host", 1))
    row = case(0.05)
    assert 0.1 < row["latency_us"] / row["calls"] < 1000
