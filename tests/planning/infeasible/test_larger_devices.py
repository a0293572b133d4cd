"""Other devices and engines with a plan: the least memory of those, none where there are none."""

from dataclasses import replace

from planner.lookup import load_device
from planner.planning.infeasible.case import unserved_case
from planner.planning.infeasible.larger_devices import larger_devices, other_engine
from tests.support import theory

BIG = [load_device(name) for name in ("b200-sxm", "h200-sxm", "l40s")]
CASE = unserved_case(
    theory.ask("llama-3.1-70b", "h100-sxm", devices=1, context=2048, schemes=["bf16"], kv="bf16")
)
TOTAL = 150 << 30


def test_the_least_memory_with_a_plan_is_named() -> None:
    assert larger_devices(CASE, BIG, TOTAL) == "1 × b200-sxm"  # 180 GB against 192 and 282
    assert larger_devices(CASE, BIG[1:], TOTAL) == "4 × l40s"
    assert larger_devices(CASE, BIG[1:2], TOTAL) == "2 × h200-sxm"
    assert larger_devices(CASE, [], TOTAL) == ""
    assert larger_devices(CASE, BIG, 1 << 60) == ""


def test_the_limits_hold_there_too() -> None:
    slow = unserved_case(
        theory.ask(
            "llama-3.1-70b",
            "h100-sxm",
            devices=1,
            context=2048,
            schemes=["bf16"],
            kv="bf16",
            tpot_seconds=0.025,
        )
    )
    assert larger_devices(slow, BIG, TOTAL) == "2 × h200-sxm"  # one b200 takes longer than that
    assert larger_devices(slow, BIG[2:], TOTAL) == ""


def test_the_device_itself_and_unreleased_ones_are_left_out() -> None:
    own = load_device("h100-sxm")
    assert larger_devices(CASE, [own], TOTAL) == ""
    planned = [replace(device, status="announced") for device in BIG]
    assert larger_devices(CASE, planned, TOTAL) == ""


def test_another_engine_is_one_that_serves_what_was_named() -> None:
    packed = unserved_case(
        theory.ask("llama-3.2-1b", "h100-sxm", devices=1, engine="vllm", kv="bf16")
    )
    assert other_engine(packed) not in ("", "vllm")
    none = unserved_case(
        theory.ask("llama-3.1-405b", "h100-sxm", devices=1, engine="vllm", schemes=["bf16"])
    )
    assert other_engine(none) == ""
