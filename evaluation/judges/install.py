"""Environments of the judges in ``.engines``: each once, as those of the closed loop.

vLLM and SGLang come without what only a GPU build runs; the pins are ``.ci/engines/judge-*.in``,
the package itself first, then what replaces or adds to what it asks for.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from packaging.requirements import Requirement

from evaluation.closed_loop.install import FAILURES, PIP, environment, llama_cpp, pins, run
from evaluation.judges.run import SERVER

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


def schemas(root: Path, name: str) -> None:
    """The schemas of Compose and Kubernetes."""
    run([environment(root, name), *PIP, *pins(name)], "installing schemas")


STEPS: dict[str, Callable[[Path, str], None]] = {
    "judge-vllm": engine,
    "judge-sglang": engine,
    "judge-schemas": schemas,
}


def install(root: Path, tell: Callable[[str], None]) -> dict[str, str]:
    """Do every step that was not done with the present pins; step → why it failed, of those."""
    root.mkdir(parents=True, exist_ok=True)
    failed: dict[str, str] = {}
    for name, step in STEPS.items():
        stamp, text = root / f"{name}.done", "\n".join(pins(name))
        if stamp.exists() and stamp.read_text(encoding="utf-8") == text:
            continue
        tell(f"installing {name}: {pins(name)[0]}")
        try:
            step(root, name)
        except FAILURES as error:
            tell(f"error: {name}: {error}")
            failed[name] = str(error)
            continue
        stamp.write_text(text, encoding="utf-8")
    if not (root / SERVER).exists():
        try:
            llama_cpp(root)
        except FAILURES as error:
            tell(f"error: llama.cpp: {error}")
            failed["llama.cpp"] = str(error)
    return failed
