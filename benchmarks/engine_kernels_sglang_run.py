"""SGLang's own resolution and selectors, without GPUs: run by engine_kernels_sglang.py.

    ENGINE/bin/python engine_kernels_sglang_run.py CAPABILITY CHOICES.json

Runs in SGLang's environment (a CPU build of torch is enough) and imports nothing of the planner. A
CUDA device of the compute capability is played; modules that a GPU's installation has, and this one
lacks, are empty. Models of two layers go through ``ServerArgs`` and what it resolves, then the
quantisation config of the checkpoint is asked for the method of a linear and of a fused experts'
layer, and that for its runner.
"""

from __future__ import annotations

import contextlib
import importlib.abc
import importlib.machinery
import io
import json
import logging
import sys
import tempfile
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from engine_kernels_sglang_cases import CACHES, CASES, EXPERTS, KINDS, LINEAR, MODELS

STUBBED = (
    "cuda cudnn cutlass deep_ep deep_gemm decord flash_attn flash_mla flashinfer humming kernels "
    "llguidance nvshmem outlines quack sgl_flash_mla sgl_kernel soundfile tilelang torchaudio "
    "torch_memory_saver torchcodec tvm_ffi xgrammar"
)
"""Played even where they are installed: most of them look for a GPU when they are imported."""
OTHER_MAKERS = (
    "aiter amdsmi habana_frameworks intel_extension_for_pytorch mlx mooncake mori sgl_kernel_npu "
    "torch_musa torch_npu torch_sail torch_xla vllm"
)
"""Their absence says that this is no device of theirs."""
LOADED_FIRST = "AutoConfig AutoImageProcessor AutoModel AutoProcessor AutoTokenizer BatchFeature"


class _Anything:
    """Whatever a missing module is asked for: class, decorator, object or number."""

    def __init__(self, *_: Any, **__: Any) -> None: ...

    def __init_subclass__(cls, **_: Any) -> None: ...

    def __get_pydantic_core_schema__(self, *_: Any, **__: Any) -> Any:
        from pydantic_core import core_schema

        return core_schema.any_schema()

    def __call__(self, *args: Any, **options: Any) -> Any:
        return args[0] if len(args) == 1 and not options and callable(args[0]) else _Anything()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        object.__setattr__(self, name, _Anything())
        return self.__dict__[name]

    def __getitem__(self, key: Any) -> Any:
        return _Anything()

    def __iter__(self) -> Iterator[Any]:
        return iter(())

    def __mro_entries__(self, bases: Any) -> tuple[type, ...]:
        return (object,)

    def __or__(self, other: Any) -> Any:
        return self

    __ror__ = __or__

    def __gt__(self, other: Any) -> bool:
        return True

    __ge__ = __gt__

    def __lt__(self, other: Any) -> bool:
        return False

    __le__ = __lt__


class _Module(types.ModuleType):
    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        setattr(self, name, _Anything())
        return self.__dict__[name]


class _Played(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        return self._spec(name) if name.partition(".")[0] in STUBBED.split() else None

    def _spec(self, name: str) -> Any:
        return importlib.machinery.ModuleSpec(name, self, is_package=True)

    def create_module(self, spec: Any) -> types.ModuleType:
        made = _Module(spec.name)
        made.__path__ = []
        made.__dict__["__version__"] = "99.0"
        return made

    def exec_module(self, module: Any) -> None: ...


class _Missing(_Played):
    """What SGLang itself imports and this installation lacks."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        frame = sys._getframe(1)
        while frame and "importlib" in frame.f_code.co_filename:
            frame = frame.f_back  # type: ignore[assignment]
        top = name.partition(".")[0]
        ours = frame and "site-packages/sglang/" in frame.f_code.co_filename
        return self._spec(name) if ours and top not in ("sglang", *OTHER_MAKERS.split()) else None


def play(capability: tuple[int, int]) -> None:
    """Put a CUDA device of ``capability`` in the place of none."""
    import transformers

    for name in LOADED_FIRST.split():  # what they look for is looked for before modules are played
        getattr(transformers, name)
    sys.meta_path.insert(0, _Played())
    sys.meta_path.append(_Missing())
    import torch

    device = types.SimpleNamespace(
        major=capability[0],
        minor=capability[1],
        name="NVIDIA",
        total_memory=80 << 30,
        multi_processor_count=132,
        warp_size=32,
    )
    torch.version.cuda = "13.0"
    torch.cuda.is_available = lambda: True
    torch.cuda.get_device_capability = lambda device=None: capability
    torch.cuda.get_device_properties = lambda place=None: device
    torch.cuda.get_device_name = lambda device=None: "NVIDIA"
    torch.cuda.device_count = lambda: 1
    torch.cuda.current_device = lambda: 0
    torch.cuda._lazy_init = lambda: None
    torch.cuda.mem_get_info = lambda device=None: (79 << 30, 80 << 30)


def resolved(model: str, quantisation: dict[str, Any] | None, **options: Any) -> tuple[Any, Any]:
    """SGLang's arguments for a model and what it resolves them to."""
    from sglang.srt.arg_groups.model_override_base import resolved_view
    from sglang.srt.server_args import ServerArgs

    folder = Path(tempfile.mkdtemp())
    config = dict(MODELS[model])
    if quantisation is not None:
        config["quantization_config"] = quantisation
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    args = ServerArgs(model_path=str(folder), skip_tokenizer_init=True, **options)
    args.resolve_once()
    return args, resolved_view(args)


def method(
    module: str,
    model: str,
    quantisation: dict[str, Any] | None,
    flag: str,
    capability: tuple[int, int],
) -> dict[str, str]:
    """What SGLang gives a layer of a model: method, scheme, runner, back ends."""
    import torch
    from sglang.srt import runtime_context
    from sglang.srt.configs.model_config import ModelConfig
    from sglang.srt.layers.linear import RowParallelLinear
    from sglang.srt.layers.moe.fused_moe_triton import FusedMoE
    from sglang.srt.layers.moe.moe_runner import MoeRunnerConfig
    from sglang.srt.layers.moe.utils import (
        RoutingMethodType,
        get_moe_runner_backend,
        initialize_moe_config,
    )
    from sglang.srt.layers.quantization import (
        fp4_utils,
        fp8_utils,
        get_quantization_config,
        unquant,
    )

    args, _ = resolved(model, quantisation, **({"quantization": flag} if flag else {}))
    runtime_context.publish(args, role="scheduler")
    initialize_moe_config()
    fp8_utils.initialize_fp8_gemm_config()
    fp4_utils.initialize_fp4_gemm_config()
    config = ModelConfig.from_server_args(args)
    kind = RowParallelLinear if module == "dense" else FusedMoE
    layer = kind.__new__(kind)
    torch.nn.Module.__init__(layer)
    for name in ("input_size_per_partition", "output_size_per_partition", "hidden_size"):
        setattr(layer, name, 4096)
    layer.num_experts = layer.num_local_experts = 8
    layer.intermediate_size_per_partition, layer.layer_id = 1024, 1
    if config.quantization is None:
        made = (
            unquant.UnquantizedLinearMethod()
            if module == "dense"
            else unquant.UnquantizedFusedMoEMethod(
                use_flashinfer_trtllm_moe=get_moe_runner_backend().is_flashinfer_trtllm()
            )
        )
    else:
        read = dict(config.hf_config.quantization_config)
        read["packed_modules_mapping"] = {"qkv_proj": ["q_proj", "k_proj", "v_proj"]}
        read["hf_config"] = config.hf_config
        quant = get_quantization_config(config.quantization).from_config(read)
        least = quant.get_min_capability()
        if capability[0] * 10 + capability[1] < least:
            raise ValueError(f"minimum capability {least} of {config.quantization}")
        made = quant.get_quant_method(layer, LINEAR if module == "dense" else EXPERTS)
    scheme = getattr(layer, "scheme", None) or getattr(made, "scheme", None)
    said = {
        "method": type(made).__name__,
        "scheme": "" if scheme is None else type(scheme).__name__,
        "fp4": str(fp4_utils.get_fp4_gemm_runner_backend().value),
    }
    for part in (made, scheme):
        for name in ("use_marlin", "_fi_kernel"):
            if getattr(part, name, None):
                said[name] = str(getattr(part, name))
        block = getattr(part, "w8a8_block_fp8_linear", None)
        if block is not None:
            said["block"] = getattr(block, "func", block).__name__
    if module == "moe":
        part = scheme if hasattr(scheme, "create_moe_runner") else made
        shape = MoeRunnerConfig(
            num_experts=8,
            num_local_experts=8,
            hidden_size=4096,
            intermediate_size_per_partition=1024,
            top_k=2,
            activation="silu",
            is_gated=True,
            routing_method_type=RoutingMethodType.Renormalize,
        )
        with contextlib.suppress(AttributeError, NotImplementedError):
            part.create_moe_runner(layer, shape)
        runner = getattr(part, "_moe_runner_backend", None) or getattr(
            getattr(part, "runner", None), "runner_backend", None
        )
        said["runner"] = "" if runner is None else str(runner).rpartition(".")[2].lower()
    return said


def cache(model: str, layout: str) -> dict[str, str]:
    """The attention back ends of a model and a ``--kv-cache-dtype``."""
    _, view = resolved(model, None, kv_cache_dtype=layout)
    names = "attention_backend prefill_attention_backend decode_attention_backend"
    names += " dsa_prefill_backend dsa_decode_backend kv_cache_dtype"
    return {name: str(getattr(view, name, None) or "") for name in names.split()}


def main() -> None:
    """Writes (module, model, scheme or layout, format or kind, what is said) as JSON."""
    major, _, minor = sys.argv[1].partition(".")
    capability = (int(major), int(minor))
    play(capability)
    logging.disable(logging.WARNING)
    out: list[tuple[str, str, str, str, dict[str, str]]] = []

    def ask(where: tuple[str, str, str, str], answer: Any, *asked: Any) -> None:
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                said = answer(*asked)
        except Exception as error:
            said = {"error": f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"}
        out.append((*where, said))

    for scheme, container, quantisation, flag in CASES:
        for module, model in (("dense", "llama"), ("moe", "mixtral"), ("moe", "qwen3-moe")):
            asked = (module, model, quantisation, flag, capability)
            ask((module, model, scheme, container), method, *asked)
    ask(("moe", "gpt-oss", "mxfp4-w4a16", "mxfp4"), method, "moe", "gpt-oss", None, "", capability)
    for model, kind in KINDS.items():
        for layout, name in CACHES.items():
            ask(("attention", model, name, kind), cache, model, layout)
    Path(sys.argv[2]).write_text(json.dumps(out), encoding="utf-8")


if __name__ == "__main__":
    main()
