"""Variables that a server is started with, by engine, version and device."""

import pytest

import planner
from planner.export.environment import variables, variables_of, with_variables
from planner.export.serve_line import serving_command
from planner.memory.engines.catalog import parse_engine


def test_every_variable_has_its_meaning_and_source() -> None:
    assert all(row.means and row.source and len(row.date) == 7 for row in variables())


@pytest.mark.parametrize(
    ("engine", "device", "name"),
    [
        ("vllm", "mi300x", "VLLM_ROCM_USE_AITER"),
        ("vllm", "mi355x", "VLLM_ROCM_USE_AITER"),
        ("sglang", "mi300x", "SGLANG_USE_AITER"),
        ("vllm", "xeon-6980p", "VLLM_CPU_OMP_THREADS_BIND"),
        ("sglang", "xeon-6980p", "SGLANG_USE_CPU_ENGINE"),
    ],
)
def test_a_device_has_the_variables_of_its_platform(engine: str, device: str, name: str) -> None:
    plan = planner.estimate("llama-3.1-8b", "h100-sxm", devices=1)
    own = variables_of(parse_engine(engine), planner.load_device(device), plan)
    assert name in own
    assert name not in variables_of(parse_engine(engine), planner.load_device("h100-sxm"), plan)


def test_a_version_before_the_variable_does_not_get_it() -> None:
    plan, device = planner.estimate("llama-3.1-8b", "h100-sxm", devices=1), "mi300x"
    assert variables_of(parse_engine("vllm@0.6"), planner.load_device(device), plan) == {}


def test_memory_for_caches_of_a_cpu_is_the_plans_rounded_up() -> None:
    plan = planner.estimate("llama-3.1-8b", "xeon-6980p", devices=1, engine="vllm", batch=4)
    words = serving_command(plan).words
    said = next(word for word in words if word.startswith("VLLM_CPU_KVCACHE_SPACE="))
    held = int(said.partition("=")[2]) << 30
    assert held >= plan.memory_per_device.kv_cache_bytes > held - (1 << 30)


def test_variables_stand_before_those_that_are_set_already() -> None:
    assert with_variables(["server"], {}) == ["server"]
    assert with_variables(["server"], {"A": "1"}) == ["env", "A=1", "server"]
    assert with_variables(["env", "B=2", "server"], {"A": "1"}) == ["env", "A=1", "B=2", "server"]
