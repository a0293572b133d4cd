"""Writes planner/throughput/data/engine_kernels.csv from rows of what vLLM's selectors chose.

    python benchmarks/engine_kernels.py ROWS.csv > planner/throughput/data/engine_kernels.csv

ROWS has a row a compute capability, module, scheme and condition (engine, version, sm, module,
scheme, kv_dtype, kernel, path, condition, source). Rows of a choice that is alike on neighbouring
capabilities and in several layouts become one; conditions that no scheme of the catalogue meets
are left out.
"""

from __future__ import annotations

import csv
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

CAPABILITIES = ("8.0", "8.6", "8.9", "9.0", "10.0", "10.3", "11.0", "12.0", "12.1")
ALIKE = {"8.6": "8.0", "10.3": "10.0", "12.1": "12.0"}
"""Capabilities that the runs without optional parts left out, and the one they follow."""
COLUMNS = (
    "engine",
    "since",
    "until",
    "sm",
    "module",
    "schemes",
    "case",
    "installed",
    "layouts",
    "kernel",
    "path",
    "reason",
    "read_in",
    "source",
)
HUMMING_SINCE = "0.29"
"""Tables of 0.24 name Marlin where 0.33 picks Humming; vllm-project/vllm#52318 (August 2026) still
asks for it to go first on SM 9.0."""
CT, FP8, MODELOPT, MXFP4 = "compressed-tensors", "fp8", "modelopt-mixed", "mxfp4"
KEPT = "activations asked for are kept in 16 bits"
TABLE = "operator tables of aiconfigurator-core 0.12.0, which name the kernel class"
TABLES_UNTIL = "0.25"
EARLIER = (
    (
        TABLES_UNTIL,
        "8.9",
        "dense",
        "fp8-block fp8-block-ue8m0",
        "*",
        "TritonFp8BlockScaledMMKernel",
        "native",
        "",
        TABLE,
    ),
    (
        TABLES_UNTIL,
        "12.0-12.1",
        "dense",
        "fp8-block fp8-block-ue8m0",
        "*",
        "CutlassFp8BlockScaledMMKernel",
        "native",
        "",
        TABLE,
    ),
    (
        TABLES_UNTIL,
        "10.0-10.3",
        "moe",
        "mxfp4",
        "*",
        "MARLIN:MarlinExperts",
        "weight-only",
        KEPT,
        TABLE,
    ),
    (
        TABLES_UNTIL,
        "10.0-10.3",
        "moe",
        "mxfp4-w4a16",
        CT,
        "MARLIN:MarlinExperts",
        "weight-only",
        "",
        TABLE,
    ),
    (
        HUMMING_SINCE,
        "9.0",
        "moe",
        "int8-w8a16",
        CT,
        "MARLIN:MarlinExperts",
        "weight-only",
        "",
        "as every choice of Humming before it was one",
    ),
    (
        "0.24",
        "10.0-10.3",
        "dense",
        "nvfp4",
        "*",
        "FlashInferCutlassNvFp4LinearKernel",
        "native",
        "",
        "vllm-project/vllm#42235: CuTe DSL becomes the first choice for NVFP4, June 2026",
    ),
)
"""What was picked where 0.33 picks another, or refuses: (until, sm, module, schemes, case, kernel,
path, reason, source)."""
LINEAR = {
    "bf16": ("bf16 fp16", "*"),
    "fp8-tensor-dynamic (CT)": ("fp8-tensor", CT),
    "fp8-tensor-dynamic (fp8 method)": ("fp8-tensor", FP8),
    "fp8-tensor-static (modelopt)": ("fp8-tensor", MODELOPT),
    "fp8-channel-token (CT)": ("fp8-channel", CT),
    "fp8-block128 (CT)": ("fp8-block fp8-block-ue8m0", CT),
    "fp8-block128 fp32 (fp8 method)": ("fp8-block fp8-block-ue8m0", FP8),
    "fp8-block128 (fp8 method)": ("fp8-block fp8-block-ue8m0", "*"),
    "fp8-w8a16 channel (CT)": ("fp8-w8a16", CT),
    "int8-w8a8 channel-token (CT)": ("int8-w8a8", CT),
    "int8-w8a16 channel (CT)": ("int8-w8a16", CT),
    "int8-w8a16 (CT)": ("int8-w8a16", CT),
    "int4-w4a16 g128 (CT)": ("int4-w4a16", "*"),
    "int4-w4a16 g32 (CT)": ("int4-w4a16-g32", "*"),
    "nvfp4-w4a4 (CT)": ("nvfp4", "*"),
    "nvfp4-w4a4": ("nvfp4", "*"),
    "nvfp4-w4a16 (CT)": ("nvfp4-w4a16", "*"),
    "nvfp4-w4a16": ("nvfp4-w4a16", "*"),
    "mxfp4-w4a4 (CT)": ("mxfp4", CT),
    "mxfp4-w4a16 (CT)": ("mxfp4-w4a16", CT),
    "mxfp4 gpt-oss (swigluoai)": ("mxfp4-w4a16", MXFP4),
    "mxfp4 + mxfp8 act": ("mxfp4-w4a8", "*"),
    "mxfp8 (CT)": ("mxfp8", "*"),
    "mxfp8": ("mxfp8", "*"),
}
ONLY = {
    ("moe", "fp8-block128 (CT)"),
    ("moe", "fp8-block128 fp32 (fp8 method)"),
    ("moe", "nvfp4-w4a4 (CT)"),
    ("moe", "nvfp4-w4a16 (CT)"),
    ("moe", "mxfp8 (CT)"),
}
"""Models built in one layout whose scheme the selectors were asked for in all."""
STATIC = {"fp8-tensor-static (fp8 method)": "fp8-tensor-static (modelopt)"}
LAYOUTS = {
    "TP1 no EP (model built)": "tp",
    "TP8": "tp",
    "TP8+EP": "ep",
    "DP8 (TP-flattened, no EP)": "dp",
    "DP8+EP ag_rs": "dp-ep",
    "DP2xTP4+EP (sequence parallel)": "tp-dp-ep",
    "DP8+EP deepep_ht": "deepep-ht",
    "DP8+EP deepep_ll": "deepep-ll",
}
INSTALLED = {
    "full install (FlashInfer+cubins, DeepGEMM, Humming)": "full",
    "FlashInfer absent": "no-flashinfer",
    "VLLM_USE_DEEP_GEMM=0": "no-deepgemm",
    "Humming absent": "no-humming",
    "FlashInfer importable (nvcc+ninja) but no cubin package and no network": "no-cubins",
}
CACHES = {
    "auto": "bf16 fp16",
    "fp8": "fp8",
    "int8_per_token_head": "int8-token",
    "nvfp4": "nvfp4",
    "fp8_ds_mla": "fp8-ds-mla",
}
ATTENTION = {
    "head128": "heads",
    "head64 sinks (gpt-oss)": "heads-sinks",
    "dense DSv3 576, 128 heads": "latent-dense",
    "sparse DSv3.2 576, 128 heads": "latent-sparse",
}
FILE = Path(__file__).resolve().parents[1] / "planner/throughput/data/engine_kernels.csv"
"""Rows of other engines are kept as they stand there: engine_kernels_sglang.py prints SGLang's."""
Key = tuple[str, ...]


def meant(row: dict[str, str]) -> tuple[str, str, str, str] | None:
    """(schemes, case, installed, layout) of a row, None where the catalogue never meets it."""
    first, _, rest = row["condition"].partition("; ")
    if row["engine"] != "vllm":
        return None
    installed = INSTALLED[first]
    if row["module"].startswith("attention"):
        case, caches = ATTENTION.get(row["scheme"]), CACHES.get(row["kv_dtype"])
        return None if case is None or caches is None else (caches, case, installed, "*")
    scheme = STATIC.get(row["scheme"], row["scheme"]) if row["module"] == "moe" else row["scheme"]
    found = LINEAR.get(scheme)
    if found is None or (row["module"], scheme) in ONLY:
        return None
    if row["module"] == "dense":
        return (*found, installed, "*")
    layout = LAYOUTS.get(rest.partition("; ")[0])
    if layout is None and rest.startswith(" (model built)"):
        return (*found, installed, "*")
    return None if layout is None else (*found, installed, layout)


def reason(row: dict[str, str]) -> str:
    """Why a choice is no native one, in a few words."""
    text = row["condition"].partition("; ")[2]
    if row["path"] == "refused":
        if "int8 entry" in text:
            return (
                "INT8 W8A8 raises at the first product: Int8 not supported on SM "
                "(vllm-project/vllm#54311)"
            )
        if row["module"].startswith("attention"):
            return "no attention back end takes this cache here"
        if "pack-quantized" in text:
            return "no method for weight-only FP8 experts"
        words = text.partition("; ")[2] or text
        words = words.partition(":")[2].strip() or "assertion: a group strategy is wanted"
        return words.partition("(weight_key")[0].strip().rstrip(".")
    if "activations quantised to MXFP4" in text:
        return "activations are quantised to MXFP4 although 16-bit ones are asked for"
    if "FP8" in text and "not asked" in text:
        return "activations are quantised to FP8 although 16-bit ones are asked for"
    return KEPT if "kept 16-bit" in text else ""


def gathered(rows: list[dict[str, str]]) -> dict[Key, dict[str, dict[str, Key]]]:
    """(engine, module, schemes, case, installed) → capability → layout → choice."""
    found: dict[Key, dict[str, dict[str, Key]]] = defaultdict(lambda: defaultdict(dict))
    for row in rows:
        what = meant(row)
        if what is None:
            continue
        schemes, case, installed, layout = what
        module = "attention" if row["module"].startswith("attention") else row["module"]
        kernel = row["kernel"].removesuffix(" modular").removesuffix(" monolithic")
        choice = (kernel, row["path"], reason(row), row["version"], row["source"].partition(";")[0])
        cell = found[row["engine"], module, schemes, case, installed][row["sm"]]
        if cell.get("*", ("",))[0] != "REFUSED":
            cell[layout] = choice
    for key, cells in found.items():
        if key[4] != "full":
            for held in cells.values():
                if "dp-ep" in held:
                    held.setdefault("tp-dp-ep", held["dp-ep"])
        if key[4] != "full" and key[4] != "no-humming":
            for sm, like in ALIKE.items():
                if sm not in cells and like in cells:
                    cells[sm] = cells[like]
    return found


def lines(rows: list[dict[str, str]]) -> Iterator[list[str]]:
    """The rows of the file, in order of engine and module; what older tables name goes first."""
    for until, held, of, names, container, kernel, path, why, source in EARLIER:
        yield [
            "vllm",
            "",
            until,
            held,
            of,
            names,
            container,
            "full",
            "*",
            kernel,
            path,
            why,
            "0.24.0",
            source,
        ]
    for key, cells in gathered(rows).items():
        engine, module, schemes, case, installed = key
        by_choice: dict[Key, dict[str, list[str]]] = defaultdict(dict)
        for sm in CAPABILITIES:
            spread: dict[Key, list[str]] = defaultdict(list)
            whole = cells.get(sm, {})
            refused = {"*": whole["*"]} if whole.get("*", ("",))[0] == "REFUSED" else whole
            for layout, choice in refused.items():
                spread[choice].append(layout)
            for choice, found in spread.items():
                alone = module != "moe" or set(found) == {"tp"} == set(refused)
                full = set(found) >= set(LAYOUTS.values())
                word = "*" if alone or full or "*" in found else " ".join(sorted(found))
                by_choice[choice].setdefault(word, []).append(sm)
        for choice, spans in by_choice.items():
            for layouts, places in spans.items():
                since = HUMMING_SINCE if choice[0].upper().startswith("HUMMING") else ""
                yield [
                    engine,
                    since,
                    "",
                    ranges(places),
                    module,
                    schemes,
                    case,
                    installed,
                    layouts,
                    *choice,
                ]
                if since == HUMMING_SINCE:
                    yield [
                        engine,
                        "",
                        since,
                        ranges(places),
                        module,
                        schemes,
                        case,
                        installed,
                        layouts,
                        *before(choice),
                    ]


def before(choice: Key) -> Key:
    """What was chosen before Humming: its neighbour in the run without it (Marlin throughout)."""
    kernel = "MARLIN:MarlinExperts" if ":" in choice[0] else choice[0].replace("Humming", "Marlin")
    return (kernel, "weight-only", *choice[2:])


def ranges(held: list[str]) -> str:
    """Neighbouring capabilities as LOW-HIGH."""
    places = [CAPABILITIES.index(sm) for sm in held]
    out: list[list[int]] = []
    for place in places:
        if out and out[-1][-1] == place - 1:
            out[-1].append(place)
        else:
            out.append([place])
    return " ".join(
        CAPABILITIES[run[0]] if len(run) == 1 else f"{CAPABILITIES[run[0]]}-{CAPABILITIES[run[-1]]}"
        for run in out
    )


def main() -> None:
    """Prints the file."""
    with open(sys.argv[1], encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    out = csv.writer(sys.stdout, lineterminator="\n")
    out.writerow(COLUMNS)
    out.writerows(lines(rows))
    with FILE.open(encoding="utf-8", newline="") as file:
        out.writerows(row for row in csv.reader(file) if row[0] not in ("engine", "vllm"))


if __name__ == "__main__":
    main()
