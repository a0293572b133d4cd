"""vLLM's own code on launch commands and configurations, without its GPUs: run by engine_judges.py.

    ENGINE/bin/python engine_judges_vllm.py CAPABILITY CASES.json VERDICTS.json

Runs in vLLM's environment (the CPU build is enough) and imports nothing of the planner. The
platform is a stand-in of the compute capability: it answers what a driver would, and modules that
only a CUDA build has are empty. A case's command goes through the parser of ``vllm serve`` and
``create_engine_config``; then ``initialize_model`` builds every module on the meta device, on one
rank, and each is asked for the method, kernel and parameters that it was given.
"""

from __future__ import annotations

import contextlib
import enum
import importlib.abc
import importlib.machinery
import json
import os
import sys
import tempfile
import traceback
from collections.abc import Iterator
from typing import Any

COMPILED = (
    "vllm._C_stable_libtorch",
    "vllm._moe_C_stable_libtorch",
    "vllm.vllm_flash_attn._vllm_fa2_C",
    "vllm.vllm_flash_attn._vllm_fa3_C",
)
"""Extensions that a CUDA build has."""
PREDICATES = {
    "cutlass_scaled_mm_supports_fp8": 89,
    "cutlass_scaled_mm_supports_block_fp8": 90,
    "cutlass_group_gemm_supported": 90,
    "cutlass_scaled_mm_supports_fp4": 100,
}
"""What the extension answers by least compute capability, with CUDA 12.8 and later (vLLM
csrc/quantization/w8a8/cutlass/scaled_mm_entry.cu and csrc/quantization/fp4)."""
NAMESPACES = ("_C", "_moe_C", "_C_cache_ops")


class _Compiled(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Empty modules in the place of a CUDA build's extensions."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        return importlib.machinery.ModuleSpec(name, self) if name in COMPILED else None

    def exec_module(self, module: Any) -> None:
        pass


def stand_in(capability: tuple[int, int]) -> None:
    """Put a CUDA platform of ``capability`` in the place of the one that vLLM would detect."""
    os.environ |= {
        "HF_HUB_OFFLINE": "1",
        "VLLM_LOGGING_LEVEL": "ERROR",
        "VLLM_NO_USAGE_STATS": "1",
        "CUDA_VISIBLE_DEVICES": "",
    }  # the last lets Triton be imported without a driver
    sys.meta_path.insert(0, _Compiled())
    import torch

    number = capability[0] * 10 + capability[1]
    library = torch.library.Library("_C", "FRAGMENT")
    for name, least in PREDICATES.items():
        library.define(f"{name}(int cuda_device_capability) -> bool")
        library.impl(name, lambda asked, least=least: asked >= least, "CompositeExplicitAutograd")
    stand_in.library = library  # its registrations end with it
    import vllm.platforms as platforms
    from vllm.platforms import cuda, interface

    class StandIn(cuda.NonNvmlCudaPlatform):
        @classmethod
        def get_device_capability(cls, device_id: int = 0) -> Any:
            return interface.DeviceCapability(*capability)

        @classmethod
        def get_device_name(cls, device_id: int = 0) -> str:
            return f"stand-in of compute capability {number / 10}"

        @classmethod
        def get_device_total_memory(cls, device_id: int = 0) -> int:
            return StandIn.memory_bytes

        @classmethod
        def device_count(cls) -> int:
            return 64

        @classmethod
        def num_compute_units(cls, device_id: int = 0) -> int:
            return 132

    StandIn.memory_bytes = 80 << 30
    platforms._current_platform = StandIn()
    platforms.vllm_version_matches_substr = lambda text: False  # no CPU build


def engine_config(words: list[str], memory_bytes: int) -> Any:
    """What ``vllm serve`` makes of a command."""
    from vllm.engine.arg_utils import AsyncEngineArgs
    from vllm.entrypoints.cli.serve import ServeSubcommand
    from vllm.platforms import current_platform
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    type(current_platform).memory_bytes = memory_bytes
    parser = FlexibleArgumentParser()
    ServeSubcommand().subparser_init(parser.add_subparsers(dest="subparser"))
    given = parser.parse_args(words[1:])
    given.model = given.model_tag
    engine = AsyncEngineArgs.from_cli_args(given)
    engine.skip_tokenizer_init = True  # the folder has a configuration and no more
    return engine.create_engine_config()


def one_rank(config: Any) -> None:
    """The groups of one process, for each model anew; the layout is the parser's to judge."""
    from vllm.config import set_current_vllm_config
    from vllm.distributed import parallel_state

    parallel_state.destroy_model_parallel()
    with set_current_vllm_config(config):
        if not parallel_state.torch.distributed.is_initialized():
            place = os.path.join(tempfile.mkdtemp(), "groups")
            parallel_state.init_distributed_environment(1, 0, f"file://{place}", 0, backend="gloo")
        parallel_state.initialize_model_parallel(1, 1)


@contextlib.contextmanager
def no_driver() -> Iterator[None]:
    """While modules are made: an operator's handle, a stream or a buffer on a device is kept by
    some and used by none, so a stand-in does."""
    import torch
    import torch._ops as torch_ops

    found = torch_ops._OpNamespace.__getattr__
    stream, lazy, empty = torch.cuda.Stream, torch.cuda._lazy_init, torch.empty

    def or_nothing(space: Any, name: str) -> Any:
        try:
            return found(space, name)
        except AttributeError:
            if space.name not in NAMESPACES or name.startswith("__"):
                raise
            return lambda *given, **named: None

    def anywhere(*given: Any, **named: Any) -> Any:
        if str(named.get("device", "")).startswith("cuda"):
            named["device"] = "meta"
        return empty(*given, **named)

    torch_ops._OpNamespace.__getattr__ = or_nothing
    torch.cuda.Stream = torch.cuda.Event = lambda *given, **named: None
    torch.cuda._lazy_init = lambda: None
    torch.empty = anywhere
    try:
        yield
    finally:
        torch_ops._OpNamespace.__getattr__ = found
        torch.cuda.Stream, torch.cuda._lazy_init, torch.empty = stream, lazy, empty


def built(config: Any) -> Any:
    """The model on the meta device, not compiled."""
    import torch
    from vllm.config import CompilationMode
    from vllm.model_executor.model_loader.utils import initialize_model
    from vllm.utils.torch_utils import set_default_torch_dtype

    config.compilation_config.mode = CompilationMode.NONE
    config.parallel_config.tensor_parallel_size = 1
    config.parallel_config.pipeline_parallel_size = 1
    config.parallel_config.data_parallel_size = 1
    config.parallel_config.enable_expert_parallel = False
    one_rank(config)
    with no_driver(), torch.device("meta"), set_default_torch_dtype(config.model_config.dtype):
        return initialize_model(config)


def described(module: Any) -> dict[str, Any]:
    """What one module was given: method, scheme, kernel, and each parameter's type and shape."""
    method, scheme = module.quant_method, getattr(module, "scheme", None)
    facts: dict[str, Any] = {
        "class": type(module).__name__,
        "method": type(method).__name__,
        "scheme": type(scheme).__name__ if scheme is not None else "",
    }
    kernels = []
    for owner in (method, scheme):
        for value in vars(owner).values() if owner is not None else ():
            if isinstance(value, enum.Enum) and "Backend" in type(value).__name__:
                kernels.append(value.name)
            elif type(value).__name__.endswith("Kernel"):
                kernels.append(type(value).__name__)
    facts["kernel"] = " ".join(dict.fromkeys(kernels))
    facts["asked"] = asked_of(method, scheme)
    facts["parameters"] = {
        name: [str(p.dtype).removeprefix("torch."), list(p.shape)]
        for name, p in module.named_parameters(recurse=False)
    }
    return facts


def asked_of(method: Any, scheme: Any) -> dict[str, Any]:
    """The number formats that the method's and scheme's own fields name."""
    out: dict[str, Any] = {}
    spec = getattr(method, "spec", None)
    if spec is not None:  # ModelOpt's linear layers
        out |= {"weight_quant_key": str(spec.weight), "activation_quant_key": str(spec.activation)}
    owners = [
        owner
        for owner in (scheme, method, getattr(method, "quant_config", None))
        if owner is not None
    ]
    for name in (
        "strategy",
        "num_bits",
        "group_size",
        "weight_block_size",
        "use_a16",
        "is_static_input_scheme",
        "weight_quant_key",
        "activation_quant_key",
        "quant_algo",
        "weight_bits",
        "block_quant",
        "per_out_ch_quant",
    ):
        for owner in owners:
            if hasattr(owner, name) and name not in out:
                out[name] = str(getattr(owner, name))
    for name in ("weight_quant", "input_quant"):
        args = getattr(method, name, None) or getattr(scheme, name, None)
        if args is not None and hasattr(args, "num_bits"):
            out[name] = {
                "bits": args.num_bits,
                "type": str(getattr(args.type, "value", args.type)),
                "strategy": str(getattr(args.strategy, "value", args.strategy)),
                "group": args.group_size,
                "block": args.block_structure,
            }
    return out


def mapped(model: Any, names: list[str]) -> dict[str, str]:
    """Name in the checkpoint → name of the module that holds it in vLLM; empty where there is
    none."""
    mapper = getattr(type(model), "hf_to_vllm_mapper", None)
    modules = {
        name
        for name, module in model.named_modules()
        if getattr(module, "quant_method", None) is not None
    }
    packed = getattr(model, "packed_modules_mapping", {}) or {}
    fused = {part: whole for whole, parts in packed.items() for part in parts}
    # Experts are one module: the deepest below "…experts" that has a method.
    experts = {
        name.partition(".experts")[0]: name
        for name in sorted(modules)
        if ".experts" in name and "shared_experts" not in name
    }
    out = {}
    for name in names:
        ours = mapper._map_name(name + ".weight") if mapper is not None else name + ".weight"
        ours = (ours or "").removesuffix(".weight")
        stem, _, last = ours.rpartition(".")
        tries = [ours, f"{stem}.{fused.get(last, '')}"]
        if ".experts" in ours and "shared_experts" not in ours:
            tries.append(experts.get(ours.partition(".experts")[0], ""))
        out[name] = next((one for one in tries if one in modules), "")
    return out


def judged(case: dict[str, Any]) -> dict[str, Any]:
    """One case: the configuration that the command gave, and every module that the plan names."""
    verdict: dict[str, Any] = {"id": case["id"]}
    try:
        config = engine_config(case["words"], case["memory_bytes"])
        parallel = config.parallel_config
        verdict["parsed"] = {
            "tp": parallel.tensor_parallel_size,
            "pp": parallel.pipeline_parallel_size,
            "dp": parallel.data_parallel_size,
            "ep": parallel.enable_expert_parallel,
            "cache": str(config.cache_config.cache_dtype),
            "context": config.model_config.max_model_len,
            "sequences": config.scheduler_config.max_num_seqs,
            "tokens": config.scheduler_config.max_num_batched_tokens,
            "method": config.model_config.quantization or "",
        }
        model = built(config)
        names = mapped(model, case["names"])
        modules = dict(model.named_modules())
        verdict["modules"] = {
            name: described(modules[name]) for name in dict.fromkeys(names.values()) if name
        }
        verdict["names"] = names
        said = set(names.values())
        verdict["unnamed"] = {
            name: type(module.quant_method).__name__
            for name, module in modules.items()
            if getattr(module, "quant_method", None) is not None
            and name not in said
            and "Unquantized" not in type(module.quant_method).__name__
            and "KVCache" not in type(module.quant_method).__name__
        }
    except (Exception, SystemExit) as error:
        verdict["error"] = f"{type(error).__name__}: {error}"[:600]
        verdict["trace"] = traceback.format_exc()[-3000:]
    return verdict


def main() -> None:
    """Judge every case of a file; the cases of one call share a compute capability."""
    major, minor = sys.argv[1].split(".")
    stand_in((int(major), int(minor)))
    with open(sys.argv[2], encoding="utf-8") as file:
        cases = json.load(file)
    import vllm

    verdicts = {"version": vllm.__version__, "verdicts": [judged(case) for case in cases]}
    with open(sys.argv[3], "w", encoding="utf-8") as file:
        json.dump(verdicts, file)


if __name__ == "__main__":
    main()
