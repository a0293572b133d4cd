"""benchmarks/served_plans.py: plans of engines written, parsed by their readers and read back."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from planner.models.catalog import model_ids

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "served_plans.py"
SMALL = [
    ("llama-3.2-1b", "h100-sxm", 1, "vllm@0.25"),
    ("llama-3.2-1b", "b200-sxm", 1, "vllm"),
    ("llama-3.2-1b", "rtx-pro-6000", 1, "tensorrt-llm"),
    ("llama-3.2-1b", "xeon-6980p", 1, "sglang"),
    ("deepseek-v2-lite", "jetson-agx-orin-64gb", 1, "vllm"),
]


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("served_plans", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["served_plans"] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.sample(1)
@pytest.mark.parametrize("pair", SMALL, ids=lambda pair: pair[1] + "-" + pair[3])
def test_a_plan_is_proved_written_and_read_back(
    pair: tuple[str, str, int, str], script: ModuleType
) -> None:
    row = script.served(*pair)
    assert row.back == "same"
    assert "gain" in script.plans_table([row])
    assert pair[1] in script.schemes_table([row])


@pytest.mark.sample(1)
@pytest.mark.oracle
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("pair", SMALL, ids=lambda pair: pair[1] + "-" + pair[3])
def test_its_reader_parses_it(pair: tuple[str, str, int, str], script: ModuleType) -> None:
    row = script.served(*pair)
    if row.parsed.startswith("not parsed"):
        pytest.skip(row.parsed)
    assert row.parsed[0].isalpha()


def test_the_pairs_are_those_of_the_page(script: ModuleType) -> None:
    assert {model for model, *_ in script.PAIRS} <= set(model_ids())
    page = (SCRIPT.parents[1] / "docs" / "evidence" / "plans.md").read_text(encoding="utf-8")
    assert f"<!-- {script.MARK}: begin -->" in page
    for model, device, devices, engine in script.PAIRS:
        row = next(
            line
            for line in page.splitlines()
            if line.startswith(f"| {model} | ") and f"× {device} |" in line
        )
        assert script.words(engine) in row
        assert devices is None or f"| {devices} × " in row
