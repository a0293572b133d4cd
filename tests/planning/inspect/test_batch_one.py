"""One request alone: one device, one sequence, one scheme."""

from planner.hardware.catalog import resolve_device
from planner.models.catalog import resolve_model
from planner.planning.inspect.batch_one import BatchOneRun, price_batch_one


def test_one_scheme_is_priced_on_one_device_for_one_sequence() -> None:
    how = BatchOneRun(resolve_device("l40s"), "vllm@0.32", 256, 32, 512, "bf16")
    found = price_batch_one(resolve_model("qwen2.5-0.5b"), how, scheme="fp8-channel")
    assert {
        unit.scheme for unit in found.units if unit.kind.startswith(("attention-", "mlp-"))
    } == {"fp8-channel"}
    assert (found.layout.tp, found.layout.dp, found.layout.pp) == (1, 1, 1)
