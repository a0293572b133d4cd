"""Plan files, quantisation configurations and exports, attacked where they are read.

Most attacks call the reader itself, a hundred times as quick as the command around it.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any

from support.command_words import CONFIGS, DEVICE, MODEL, PRICED, SEARCHED, Attack, took
from support.entrances import plan_sample
from support.laws import LawError, reader
from support.tape import MANY, Tape, damaged, json_bytes, torn

SMALL = "llama-3.2-1b"


def plan_read(tape: Tape, folder: Path) -> bool:
    """Plan files of every kind: what is taken says what the file said, and is written as it was."""
    from planner.planning.plan.file import read_plan

    path = folder / "p.json"
    text = torn(json_bytes(damaged(plan_of(tape.of(KINDS)), tape, MANY)), tape)
    path.write_bytes(text)

    def read() -> None:
        written = read_plan(path).to_dict()
        _same(json.loads(text), written, "plan file")
        if read_plan(json.loads(json_bytes(written))).to_dict() != written:
            raise LawError("a plan that is written reads as another")

    return reader(read, folder)


def _same(given: Any, written: Any, place: str) -> None:
    """Whether a record says all that the data said; keys that were left out have their default."""
    if isinstance(given, dict) and isinstance(written, dict):
        for key, value in given.items():
            if value is not None and key not in written:
                raise LawError(f"{place}: {key[:40]} passed over")
            _same(value, written.get(key), f"{place}: {key[:40]}")
    elif isinstance(given, list) and isinstance(written, list) and len(given) == len(written):
        for one, other in zip(given, written, strict=True):
            _same(one, other, place)
    elif isinstance(written, float) and type(given) is int and float(given) == written:
        return
    elif given != written or isinstance(given, bool) != isinstance(written, bool):
        raise LawError(f"{place}: {str(given)[:80]!r} was read as {str(written)[:80]!r}")


KINDS = ("plan", "estimate", "pools", "prefixes", "drafted", "offloaded")


@cache
def plan_of(kind: str) -> Any:
    """A plan of each kind: with every part that a plan file may have."""
    from planner.api.estimate import estimate
    from planner.api.plan import plan

    one: dict[str, Any] = {"devices": 1, "context": 2048}
    made = {
        "plan": plan_sample,
        "estimate": lambda: estimate(MODEL, DEVICE, batch=4, **one),
        "pools": lambda: plan(
            SMALL, "h100-sxm", devices=2, context=2048, batch=4, engine="vllm", mode="disaggregated"
        ),
        "prefixes": lambda: estimate(
            MODEL,
            DEVICE,
            reuse="chat",
            kv_offload="host",
            kv_offload_bytes=64 << 30,
            engine="vllm",
            **one,
        ),
        "drafted": lambda: estimate(
            "llama-3.1-8b",
            "h100-sxm",
            batch=4,
            engine="sglang",
            speculation=SMALL,
            acceptance=0.7,
            **one,
        ),
        "offloaded": lambda: estimate(
            "deepseek-v2-lite",
            "rtx-4090",
            batch=1,
            host="xeon-6980p",
            host_memory_bytes=64 << 30,
            engine="llama.cpp",
            **one,
        ),
    }[kind]()
    return made if isinstance(made, dict) else made.to_dict()


def plan_verbs(tape: Tape, folder: Path) -> bool:
    """Plan files of every kind in every command that takes one."""
    how = tape.below(9)
    sample = plan_of(tape.of(KINDS))
    model, device = sample["model"]["id"], sample["device"]["id"]
    (folder / "p.json").write_bytes(json_bytes(damaged(sample, tape)))
    (folder / "q.json").write_bytes(json_bytes(sample))
    words = (
        ["diff", "p.json", "q.json", "--json"],
        ["report", "p.json"],
        ["report", "p.json", "-o", "r.html", "--quiet", "--lang", "zh"],
        ["export", "p.json", "out"],
        [
            "export",
            "p.json",
            "out",
            "--deploy",
            tape.of(("compose", "kubernetes", "llm-d", "dynamo")),
        ],
        ["estimate", "--plan", "p.json", "--json", "--quiet"],
        ["memory", model, device, "--plan", "p.json", "--json", "--quiet"],
        ["serve", "--plan", "p.json", "--concurrency", "4", "--json", "--quiet"],
        ["explain", model, device, "--plan", "p.json", "--module", "mlp-down", "--json", "--quiet"],
    )[how]
    return took(words, folder, may_write=("r.html", "out"), most_seconds=SEARCHED)


def quantised_config(tape: Tape, folder: Path) -> bool:
    """``quantization_config`` inside the configurations of releases, and those files beside
    them."""
    from planner.lookup import load_model

    name, block = tape.of(
        (*((n, None) for n in _quantised()), *((f"{SMALL}.json", b) for b in INTEGERS))
    )
    whole = json.loads((CONFIGS / name).read_text(encoding="utf-8"))
    if block is not None:
        whole["quantization_config"] = block
    holder = whole if "quantization_config" in whole else whole.get("text_config", whole)
    beside = CONFIGS / f"{name.removesuffix('.json')}.hf_quant_config.json"
    if beside.exists():
        data = damaged(json.loads(beside.read_text(encoding="utf-8")), tape, MANY)
        (folder / "hf_quant_config.json").write_bytes(torn(json_bytes(data), tape))
    else:
        holder["quantization_config"] = damaged(holder["quantization_config"], tape, MANY)
    (folder / "config.json").write_bytes(torn(json_bytes(whole), tape))
    return reader(lambda: load_model(str(folder)), folder)


@cache
def _quantised() -> tuple[str, ...]:
    """Bundled configurations with a quantisation, the smallest of each kind of block."""
    found: dict[tuple[Any, ...], str] = {}
    for path in sorted(CONFIGS.glob("*.json"), key=lambda p: (p.stat().st_size, p.name)):
        if path.name.endswith(".hf_quant_config.json"):
            continue
        data = json.loads(path.read_text(encoding="utf-8"))
        block = data.get("quantization_config") or data.get("text_config", {}).get(
            "quantization_config"
        )
        beside = CONFIGS / f"{path.stem}.hf_quant_config.json"
        if isinstance(block, dict) or beside.exists():
            key = (beside.exists(), *(sorted(block) if isinstance(block, dict) else ()))
            found.setdefault(key, path.name)
    return tuple(found.values())


def import_read(tape: Tape, folder: Path) -> bool:
    """Exports of every format and the blocks of releases, read back onto their models: what is
    taken is exported again as the same."""
    from planner.export.llama_cpp_back import read_any
    from planner.export.read_back import imported_assignment
    from planner.lookup import load_model

    model, name, sample = tape.of(_imports())
    if isinstance(sample, str):
        text = "\n".join(map(str, damaged(sample.splitlines(), tape, MANY))).encode(
            "utf-8", "surrogatepass"
        )
    else:
        text = json_bytes(damaged(sample, tape, MANY))
    text = torn(text, tape)
    spec = load_model(model)
    return reader(lambda: imported_assignment(read_any(text, name, name, spec)), folder)


INTEGERS: tuple[dict[str, Any], ...] = (
    {
        "quant_method": "awq",
        "bits": 4,
        "group_size": 128,
        "zero_point": True,
        "version": "gemm",
        "modules_to_not_convert": ["lm_head"],
    },
    {
        "quant_method": "gptq",
        "bits": 4,
        "group_size": 128,
        "sym": True,
        "desc_act": False,
        "lm_head": False,
        "dynamic": {"-:.*down_proj": {}, "+:.*up_proj": {"bits": 8}},
    },
    {
        "quant_method": "auto-round",
        "bits": 4,
        "group_size": 128,
        "sym": True,
        "packing_format": "auto_round:auto_gptq",
        "data_type": "int",
        "extra_config": {"model.layers.0.mlp.down_proj": {"bits": 8, "group_size": 32}},
    },
    {
        "quant_method": "bitsandbytes",
        "load_in_4bit": True,
        "bnb_4bit_quant_type": "nf4",
        "bnb_4bit_use_double_quant": True,
        "llm_int8_skip_modules": ["lm_head"],
    },
    {"quant_method": "bitsandbytes", "load_in_8bit": True},
)
"""Blocks that no bundled release has."""
TARGETS = (
    ("fp8-channel", "compressed-tensors"),
    ("int4-w4a16", "compressed-tensors"),
    ("fp8-tensor", "modelopt"),
    ("nvfp4", "modelopt"),
    ("fp8-block", "fp8"),
    ("int4-w4a16", "gptq"),
    ("int8-block", "blockwise-int8"),
    ("fp8-channel", "torchao"),
    ("ggml-q4_k", "llama.cpp"),
)


LOADED = ("bf16", "fp8-tensor")
"""Schemes whose weights an engine has as released, or makes while loading: no configuration."""


@cache
def _exports() -> tuple[tuple[str, dict[str, str]], ...]:
    """(format, files) of a small model in every format that is read again."""
    from planner.api.estimate import estimate
    from planner.base.errors import PlannerError
    from planner.export.plan_files import export_plan

    found = []
    for scheme, to in TARGETS:
        device = "xeon-6980p" if to == "llama.cpp" else "b200-sxm"
        try:
            plan = estimate(SMALL, device, scheme=scheme, devices=1, context=2048, batch=4)
            found.append((to, export_plan(plan, to, engine="any").files))
        except PlannerError:
            continue
    for scheme in LOADED:
        plan = estimate(
            SMALL,
            "b200-sxm",
            scheme=scheme,
            devices=1,
            context=2048,
            batch=4,
            engine="vllm",
            prefix_hit_rate=0.5,
        )
        found.append(("vllm", export_plan(plan).files))
    return tuple(found)


@cache
def _imports() -> tuple[tuple[str, str, Any], ...]:
    """(model, name of the file, JSON or lines)."""
    from planner.export.deployment import CONFIGURATIONS

    out: list[tuple[str, str, Any]] = []
    for _, files in _exports():
        for name in CONFIGURATIONS:
            if name in files:
                text = files[name]
                out.append((SMALL, name, text if name.endswith(".txt") else json.loads(text)))
    for name in _quantised():
        data = json.loads((CONFIGS / name).read_text(encoding="utf-8"))
        block = data.get("quantization_config")
        if block is not None:
            out.append((name.removesuffix(".json"), "config.json", block))
    return (*out, *((SMALL, "config.json", block) for block in INTEGERS))


def import_folder(tape: Tape, folder: Path) -> bool:
    """Folders of exports, ``deployment.json`` among them, or without it and its device."""
    from planner.export.deployment import FILE, read_deployment
    from planner.lookup import load_model

    _, files = tape.of(_exports())
    text = torn(json_bytes(damaged(json.loads(files[FILE]), tape, MANY)), tape)
    how = tape.below(8)
    if how not in (1, 2):
        return reader(lambda: read_deployment(text, FILE, load_model(SMALL)), folder)
    (folder / "e").mkdir()
    for name, content in files.items():
        (folder / "e" / name).write_text(content, encoding="utf-8")
    words = ["import", "e", SMALL, "-o", "p.json", "--quiet"]
    if how == 1:
        (folder / "e" / FILE).write_bytes(text)
    else:
        (folder / "e" / FILE).unlink()
        words += tape.of(((*ALONE, "--kv", "fp8"), ALONE, ALONE[2:]))
    return took(words, folder, may_write=("p.json",), most_seconds=PRICED)


ALONE = ("--device", "b200-sxm", "--devices", "1", "--context", "2048", "--batch", "4")


SLOW: dict[str, Attack] = {
    "plan-read": plan_read,
    "plan-verbs": plan_verbs,
    "quantised-config": quantised_config,
    "import-read": import_read,
    "import-folder": import_folder,
}
