"""Other devices that hold a model: the least memory of those that do, none where none does."""

from dataclasses import replace

from support.questions import question_of

from planner.lookup import load_device
from planner.planning.infeasible.larger_devices import larger_devices, wider

BIG = [load_device(name) for name in ("b200-sxm", "h200-sxm", "l40s")]


def test_the_least_memory_that_holds_it_is_named() -> None:
    question = question_of("llama-3.1-70b", uniform="bf16")
    total = 150 << 30
    assert larger_devices(question, BIG, total) == "1 × b200-sxm"  # 180 GB against 192 and 282
    assert larger_devices(question, BIG[1:], total) == "4 × l40s"
    assert larger_devices(question, BIG[1:2], total) == "2 × h200-sxm"
    assert larger_devices(question, [], total) == ""
    assert larger_devices(question, BIG, 1 << 60) == ""


def test_the_device_itself_and_unreleased_ones_are_left_out() -> None:
    question = question_of("llama-3.1-70b", uniform="bf16")
    own = load_device("h100-sxm")
    assert larger_devices(question, [own], 150 << 30) == ""
    planned = [replace(device, status="announced") for device in BIG]
    assert larger_devices(question, planned, 150 << 30) == ""


def test_wider_has_all_that_the_device_offers() -> None:
    narrow = question_of(schemes=("bf16",), kv="bf16")
    full = wider(narrow)
    assert full is not None
    assert set(full.schemes) > {"bf16"}
    assert set(full.kv) > {"bf16"}
    assert wider(full) is None
