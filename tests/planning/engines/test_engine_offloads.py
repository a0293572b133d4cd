"""What engines keep in host memory: rows of data, and who refuses."""

import pytest

from planner.base.errors import UnsupportedError
from planner.lookup import load_device
from planner.memory.engines.catalog import parse_engine
from planner.planning.engines.offloads import OffloadWay, offload_way


def way(engine: str, host: str = "xeon-6980p", device: str = "l40s") -> OffloadWay:
    return offload_way(parse_engine(engine), load_device(device), load_device(host))


def test_llama_cpp_keeps_layers_and_computes_there() -> None:
    found = way("llama.cpp")
    assert (found.places, found.mode, found.fetched_from) == ("layers", "computed", 32)
    assert found.schemes == ()
    assert not found.together


def test_kernels_of_ktransformers_depend_on_the_host() -> None:
    intel, amd = way("sglang"), way("sglang", "epyc-9575f")
    assert intel.places == "experts"
    assert set(intel.schemes) - set(amd.schemes) == {"int8-w8a8"}
    assert "int4-w4a16-g32" in amd.schemes
    assert "Native-Precision" in amd.reason


def test_vllm_fetches() -> None:
    found = way("vllm")
    assert (found.mode, found.places) == ("fetched", "layers")


@pytest.mark.parametrize("engine", ["tensorrt-llm", "pytorch"])
def test_others_say_who_can(engine: str) -> None:
    with pytest.raises(UnsupportedError) as caught:
        way(engine)
    assert caught.value.hint is not None
    assert "llama.cpp" in caught.value.hint
