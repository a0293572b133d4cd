"""SGLang's own parser and resolution on launch commands, without its GPUs.

    ENGINE/bin/python engine_sglang.py CASES.json VERDICTS.json

Runs in SGLang's environment and imports nothing of the planner. PyTorch answers for each device
what its driver would; extensions that only a GPU build has are empty. A command goes through
``prepare_server_args`` and the resolution that a launch runs (``resolve_once``; in older versions
the constructor), which computes fractions, chunks and graphs.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.metadata
import os
import sys
import types
from pathlib import Path
from typing import Any, ClassVar

sys.path.insert(0, str(Path(__file__).resolve().parent))

import engine_side

MIB = 1 << 20
EMPTY = ("sgl_kernel", "triton", "flashinfer", "deep_gemm", "deep_ep", "tilelang", "aiter")
"""Packages of a GPU build that may be absent here; a stand-in takes every name."""


class Nothing(types.ModuleType):
    """A module in which every name is there, and does nothing."""

    __path__: ClassVar[list[str]] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if name[0].isupper():
            return _Members(name, (), {"__init__": lambda self, *given, **named: None})
        return _Any(name)


class _Members(type):
    """A class that has every member, as an enumeration of a GPU build has its own."""

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Any(name)


class _Any:
    """Takes a call, a decoration, an attribute."""

    def __init__(self, name: str = "") -> None:
        self._name = name

    def __call__(self, *given: Any, **named: Any) -> Any:
        if len(given) == 1 and not named and callable(given[0]):
            return given[0]
        return self

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Any(name)

    def __getitem__(self, key: Any) -> Any:
        return self


class Absent(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Stand-ins for packages that are not installed."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name.partition(".")[0] not in EMPTY:
            return None
        return importlib.machinery.ModuleSpec(name, self, is_package=True)

    def create_module(self, spec: Any) -> Any:
        return Nothing(spec.name)

    def exec_module(self, module: Any) -> None:
        pass


def stand_in(device: dict[str, Any]) -> None:
    """Let PyTorch answer for ``device`` what its driver would."""
    os.environ |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
    sys.meta_path.append(Absent())  # after what is installed
    import torch

    if device["kind"] == "cpu":
        os.environ["SGLANG_USE_CPU_ENGINE"] = "1"
        return
    rocm = device["platform"] == "rocm"
    torch.version.cuda = None if rocm else "13.0"
    torch.version.hip = "7.0.0" if rocm else None
    cuda = torch.cuda
    cuda.is_available = lambda: True
    cuda.is_initialized = lambda: False
    cuda.current_device = lambda: 0
    cuda._lazy_init = lambda: None
    of_device(device)


def of_device(device: dict[str, Any]) -> None:
    """Let PyTorch's device be ``device``."""
    import torch

    if device["kind"] == "cpu":
        return
    major, minor = (int(n) for n in (device["capability"] or "9.4").split("."))
    total = int(device["memory_bytes"])
    properties = types.SimpleNamespace(
        total_memory=total,
        multi_processor_count=132,
        major=major,
        minor=minor,
        name=device["device"],
        gcnArchName="gfx950" if "35" in device["device"] else "gfx942",
    )
    cuda = torch.cuda
    cuda.device_count = lambda: int(device["devices_per_node"])
    cuda.get_device_capability = lambda index=None: (major, minor)
    cuda.get_device_name = lambda index=None: properties.name
    cuda.get_device_properties = lambda index=None: properties
    cuda.mem_get_info = lambda index=None: (total, total)
    from sglang.srt.utils import common

    common.get_nvgpu_memory_capacity = lambda: total / MIB
    common.get_amdgpu_memory_capacity = lambda: total / MIB
    if hasattr(common, "_get_device_sm_via_nvml"):
        common._get_device_sm_via_nvml = lambda: major * 10 + minor


def group(device: dict[str, Any]) -> object:
    """Devices that one process answers for: of one compute capability."""
    rocm = device["platform"] == "rocm" and device["device"]
    return device["kind"], device["platform"], device["capability"], rocm


def resolved(words: list[str]) -> dict[str, Any]:
    """What SGLang makes of a command: every field after resolution."""
    from sglang.srt import server_args

    start = words.index("sglang.launch_server") + 1
    read = server_args.prepare_server_args(words[start:])
    if hasattr(read, "resolve_once"):
        read.resolve_once()
        fields: dict[str, Any] = read.resolved_dict()
        return fields
    return dict(vars(read))


def computed(words: list[str], device: dict[str, Any]) -> dict[str, Any]:
    """The values that are compared."""
    fields = resolved(words)
    graphs = fields.get("cuda_graph_config") or {}
    decode = graphs.get("decode", {}) if isinstance(graphs, dict) else {}
    names = (
        "mem_fraction_static",
        "chunked_prefill_size",
        "max_running_requests",
        "max_prefill_tokens",
        "context_length",
        "kv_cache_dtype",
        "tp_size",
        "pp_size",
        "dp_size",
        "attn_dp_size",
        "ep_size",
        "page_size",
        "attention_backend",
        "moe_runner_backend",
        "disable_overlap_schedule",
        "disable_radix_cache",
        "quantization",
        "speculative_num_draft_tokens",
        "device",
    )
    out = {name: fields.get(name) for name in names}
    out["graph_sizes"] = decode.get("bs") or fields.get("cuda_graph_bs")
    out["graphs"] = decode.get("backend")
    return out


if __name__ == "__main__":
    engine_side.main(("sglang",), group, stand_in, of_device, computed, ("torch", "transformers"))
