"""Environments of the judges in ``.engines``: each once, as those of the closed loop.

vLLM and SGLang come without what only a GPU build runs; the pins are ``.ci/engines/judge-*.in``,
the package itself first, then what replaces or adds to what it asks for.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from packaging.requirements import Requirement

from evaluation.closed_loop.install import PIP, environment, llama_cpp, pins, run, vllm

NOT_WANTED = frozenset(
    {
        *("torch", "torchvision", "torchaudio", "torchcodec", "pynvvideocodec", "nvtx", "tilelang"),
        *("flashinfer-python", "flashinfer_python", "apache-tvm-ffi", "nvidia-cudnn-frontend"),
        *("fastsafetensors", "instanttensor", "nvidia-cutlass-dsl", "quack-kernels", "cuda-python"),
        *("tokenspeed-mla", "humming-kernels", "flash-attn-4", "nvidia-mathdx", "nvshmem4py-cu13"),
        *("sgl-deep-ep", "sgl-deep-gemm", "sgl-flash-mla", "sglang-kernel", "torch_memory_saver"),
        *("py-spy", "timm", "av", "decord2", "deepseek-recipe", "tml-renderers", "datasets"),
        *("smg-grpc-servicer", "modelscope", "outlines", "soundfile", "kernels", "build"),
        *("blobfile", "easydict", "scipy"),
    }
)
"""Requirements that no parser and no configuration imports."""
_NEEDS = "import importlib.metadata as m; print('\\n'.join(m.requires({!r})))"


def engine(root: Path, name: str) -> None:
    """An engine's package, and of what it asks for what its parser imports."""
    python, (package, *rest) = environment(root, name), pins(name)
    run([python, *PIP, "--no-deps", package], f"installing {package}")
    text = run([python, "-c", _NEEDS.format(package.partition("==")[0])], f"reading {package}")
    needs = [line for line in text.splitlines() if wanted(line)]
    run([python, *PIP, *rest, *needs], f"installing what {package} needs")


def wanted(line: str) -> bool:
    """Whether a requirement is installed: no extra's and not in NOT_WANTED."""
    need = Requirement(line)
    return need.name.lower() not in NOT_WANTED and (
        need.marker is None or need.marker.evaluate({"extra": ""})
    )


def schemas(root: Path) -> None:
    """A reader of the Compose Specification, and Kubernetes' schemas."""
    run([environment(root, "judge-schemas"), *PIP, *pins("judge-schemas")], "installing schemas")


STEPS: dict[str, Callable[[Path], None]] = {
    "judge-vllm": partial(engine, name="judge-vllm"),
    "judge-sglang": partial(engine, name="judge-sglang"),
    "judge-schemas": schemas,
    "vllm": vllm,
    "llama.cpp": llama_cpp,
}
"""vLLM's CPU build and llama.cpp are those of the closed loop; the former is an older version."""
