"""What an installed SGLang's own selectors pick, beside planner/throughput/data/engine_kernels.csv.

    python -m benchmarks.engine_kernels_sglang --python ENGINE/bin/python [--sm 9.0 …] [--rows]

SGLang's environment needs torch (a CPU build is enough), triton, torchvision, transformers and its
pure Python dependencies; no GPU. Each compute capability is a process of its own. Prints the cells
that differ and exits 1 where one does; ``--rows`` prints rows of the file instead.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from planner.base.versions import Version, version_of
from planner.throughput.engine_kernels import Module, chosen_kernel

CAPABILITIES = ("8.0", "8.6", "8.9", "9.0", "10.0", "10.3", "11.0", "12.0", "12.1")
RUN = Path(__file__).resolve().parent / "engine_kernels_sglang_run.py"
REFUSED = "REFUSED"
KEPT = "activations asked for are kept in 16 bits"
MXFP8 = "activations are quantised to MXFP8 although 16-bit ones are asked for"
REASONS = (
    ("only for NPU", "the method of compressed-tensors is for NPUs alone"),
    ("has no attribute 'num_bits'", "no method for weight-only FP8 experts"),
    ("minimum capability 89", "the method is for compute capability 8.9 and above"),
    ("minimum capability 100", "the method is for compute capability 10.0 and above"),
    ("quantization method: gptq", "GPTQ without Marlin is no method of CUDA"),
)
NO_BACK_END = "no attention back end takes this cache here"
UNCHECKED = (
    ("moe", "fp8", "triton", ("8.0", "8.6")),
    ("moe", "int8-w8a8", "triton", ("10.0", "10.3", "11.0", "12.0", "12.1")),
    ("moe", "nvfp4", "flashinfer_trtllm", ("11.0", "12.0", "12.1")),
    ("attention", "latent-sparse", "", ("8.0", "8.6", "8.9", "11.0", "12.0", "12.1")),
)
"""Picked where the kernels need a unit that the device lacks, or the dense layers of the method do:
(module, beginning of the scheme or kind, kernel, capabilities). Triton's FP8 products are for 8.9
and above, int8_scaled_mm up to 9.0, sparse MLA for 9.0 and 10.x, TRT-LLM's experts for 10.x."""
UNBUILT = ("10.0", "10.3", "11.0", "12.0", "12.1")
NO_INT8 = "int8_scaled_mm is not implemented above SM 9.0"
ONLY_BLACKWELL = "NVFP4 was for SM 10.0 and above in this version"
BY_WHEEL = "wheels of 0.5.8 to 0.5.23: the first whose selector has it"
EARLIER = (
    ("nvfp4", "modelopt modelopt-mixed", "weight-only", "0.5.13", (REFUSED, "refused")),
    ("nvfp4", "compressed-tensors", "weight-only", "0.5.22", (REFUSED, "refused")),
    ("nvfp4-w4a16", "compressed-tensors", "weight-only", "0.5.22", (REFUSED, "refused")),
    ("int4-w4a16", "compressed-tensors", "triton", "0.5.19", ("marlin", "weight-only")),
    ("int4-w4a16-g32", "compressed-tensors", "triton", "0.5.19", ("marlin", "weight-only")),
)
"""What another version chose: (scheme, formats, path or kernel of now, since, kernel and path
before)."""
SOURCES = {
    "dense": "get_quant_method of the checkpoint's config (sglang/srt/layers/quantization), run",
    "moe": "resolve_once, get_quant_method and create_moe_runner, run",
    "attention": "resolve_once (sglang/srt/arg_groups/model_override_base.py), run",
}
Answer = tuple[str, str, str, str, dict[str, str]]
"""Module, model, scheme or cache layout, case, what the run said."""
Cell = tuple[str, str, str]
"""Module, scheme or cache layout, case."""
Choice = tuple[str, str, str]
"""Kernel, path, reason."""


def choice_of(module: str, scheme: str, case: str, said: dict[str, str], sm: str) -> Choice:
    """The kernel, path and reason of what a run said."""
    if "error" in said:
        words = [reason for part, reason in REASONS if part in said["error"]]
        return REFUSED, "refused", NO_BACK_END if module == "attention" else words[0]
    if module == "attention":
        name = said["attention_backend"]
        if name == "dsa":
            name = f"dsa:{said['dsa_prefill_backend']}/{said['dsa_decode_backend']}"
        path = "native"
    elif (module, scheme) == ("dense", "int8-w8a8") and sm in UNBUILT:
        return REFUSED, "refused", NO_INT8
    else:
        name, path = _layer(module, scheme, said)
    for unit, beginning, kernel, where in UNCHECKED:
        asked = case if module == "attention" else scheme
        if unit == module and asked.startswith(beginning) and kernel in name and sm in where:
            return name, "unknown", ""
    if said.get("_fi_kernel"):
        return name, "native", MXFP8
    return name, path, KEPT if path == "weight-only" and "a16" not in scheme else ""


def _layer(module: str, scheme: str, said: dict[str, str]) -> tuple[str, str]:
    """Name and path of a layer's kernel."""
    name = said["scheme"] or said["method"]
    kept = "A16" in name or "a16" in scheme or said.get("use_marlin") == "True"
    if module == "moe":
        name = said.get("runner") or name
        kept = kept or name == "marlin"
    elif scheme == "nvfp4":
        kept = kept or said["fp4"] == "marlin"
        name = f"{said['fp4']}:{name}"
    elif said.get("use_marlin") == "True":
        name = f"marlin:{name}"
    elif "block" in scheme and said.get("block") and not kept:
        name = said["block"]
    return name, "weight-only" if kept else "native"


def answers(python: str, sm: str, folder: Path) -> list[Answer]:
    """What SGLang says on a device of compute capability ``sm``; kept in ``folder``."""
    path = folder / f"sglang-{sm}.json"
    if not path.exists():
        done = subprocess.run(
            [python, str(RUN), sm, str(path)], capture_output=True, text=True, check=False
        )
        if not path.exists():
            raise SystemExit(f"{python} {RUN.name} {sm}: {done.stderr[-2000:]}")
    return [tuple(row) for row in json.loads(path.read_text(encoding="utf-8"))]


def cells(said: list[Answer], sm: str) -> dict[Cell, Choice]:
    """The choice of every cell; experts of models that SGLang gives another runner are the case
    ``overridden``. The file has none of 16-bit ones, nor of GPTQ, which there is no method of."""
    out: dict[Cell, Choice] = {}
    for module, model, name, case, words in said:
        if case == "unasked" or (model == "qwen3-moe" and (name == "bf16" or case == "gptq")):
            continue
        layout = "fp8-ds-mla" if (name, case) == ("fp8", "latent-sparse") else name
        made = choice_of(module, layout, case, words, sm)
        if model != "qwen3-moe":
            out[module, layout, case] = made
        elif made != out[module, layout, case]:
            out[module, layout, "overridden"] = made
    return out


def rows(by_sm: dict[str, dict[Cell, Choice]], version: str) -> Iterator[list[str]]:
    """Rows of the file: ranges of capability and formats that choose alike are one; generic models
    go before those that have another runner."""
    spread: dict[tuple[str, str, Choice, tuple[str, ...], int], list[str]] = defaultdict(list)
    known = dict.fromkeys(c for chosen in by_sm.values() for c in chosen)
    for cell in sorted(known, key=lambda c: (c[0], c[2] == "overridden")):
        places: dict[Choice, list[str]] = defaultdict(list)
        for sm, chosen in by_sm.items():
            if cell in chosen:
                places[chosen[cell]].append(sm)
        for choice, where in places.items():
            change = _change(cell, choice)
            spread[cell[0], cell[1], choice, tuple(where), change].append(cell[2])
    for (module, name, choice, where, change), cases in spread.items():
        names = "bf16 fp16" if name == "bf16" else name
        shared = [_ranges(where), module, names, " ".join(cases) or "*", "full", "*"]
        if change < 0:
            yield ["sglang", "", "", *shared, *choice, version, SOURCES[module]]
            continue
        since, (kernel, path) = EARLIER[change][3:]
        reason = ONLY_BLACKWELL if path == "refused" else ""
        yield ["sglang", since, "", *shared, *choice, version, SOURCES[module]]
        yield ["sglang", "", since, *shared, kernel, path, reason, "0.5.8", BY_WHEEL]


def _change(cell: Cell, choice: Choice) -> int:
    """The place in EARLIER of what another version chose; -1 where all choose alike."""
    return next(
        (
            place
            for place, (scheme, cases, now, *_) in enumerate(EARLIER)
            if cell[0] != "attention"
            and cell[1] == scheme
            and cell[2] in cases.split()
            and now in choice[:2]
        ),
        -1,
    )


def _ranges(where: tuple[str, ...]) -> str:
    runs: list[list[int]] = []
    for place in (CAPABILITIES.index(sm) for sm in where):
        if runs and runs[-1][-1] == place - 1:
            runs[-1].append(place)
        else:
            runs.append([place])
    ends = [(CAPABILITIES[run[0]], CAPABILITIES[run[-1]]) for run in runs]
    return " ".join(low if low == high else f"{low}-{high}" for low, high in ends)


def flagless(said: list[Answer], sm: str) -> list[str]:
    """A line where INT8 experts run without the flag that the exported command sets."""
    return [
        f"SM {sm} {module} {scheme}: compressed-tensors' own method takes them"
        for module, _, scheme, case, words in said
        if (module, case) == ("moe", "unasked") and "error" not in words
    ]


def differences(by_sm: dict[str, dict[Cell, Choice]], version: Version) -> list[str]:
    """A line for every cell that the file names otherwise."""
    out = []
    for sm, found in by_sm.items():
        for (name, scheme, case), choice in found.items():
            module: Module = next(m for m in ("dense", "moe", "attention") if m == name)
            ours = chosen_kernel("sglang", version, sm, module, scheme, case=case)
            said = None if ours is None else (ours.kernel, ours.path, ours.reason)
            if said != choice:
                out.append(f"SM {sm} {name} {scheme} {case}: SGLang {choice}, the file {said}")
    return out


def main() -> None:
    """Compares, or prints rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", required=True, help="the interpreter of SGLang's environment")
    parser.add_argument("--sm", nargs="*", default=CAPABILITIES, help="compute capabilities")
    parser.add_argument("--answers", type=Path, help="a folder that keeps what SGLang said")
    parser.add_argument("--rows", action="store_true", help="print rows of engine_kernels.csv")
    asked = parser.parse_args()
    printed = "import importlib.metadata as m; print(m.version('sglang'))"
    version = subprocess.run(
        [asked.python, "-c", printed], capture_output=True, text=True, check=True
    ).stdout.strip()
    with tempfile.TemporaryDirectory() as own:
        folder = asked.answers or Path(own)
        said_by_sm = {sm: answers(asked.python, sm, folder) for sm in asked.sm}
    by_sm = {sm: cells(said, sm) for sm, said in said_by_sm.items()}
    if asked.rows:
        csv.writer(sys.stdout, lineterminator="\n").writerows(rows(by_sm, version))
        return
    found = differences(by_sm, version_of(version))
    found += [line for sm, said in said_by_sm.items() for line in flagless(said, sm)]
    print("\n".join(found))
    total = sum(len(choices) for choices in by_sm.values())
    print(f"SGLang {version}: {total} cells on {len(by_sm)} capabilities, {len(found)} differ")
    raise SystemExit(1 if found else 0)


if __name__ == "__main__":
    main()
