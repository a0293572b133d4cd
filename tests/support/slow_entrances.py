"""Files that take a command long to answer, attacked where they are read.

Most attacks here call the reader itself, a hundred times as quick as the command around it: what
the reader takes goes on to be written again, and what is written must read as the same. One tape
in eight goes through the command.
"""

import csv
import io
import json
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

from support.entrances import (
    CONFIGS,
    DEVICE,
    MODEL,
    PRICED,
    QUICK,
    ROOT,
    SEARCHED,
    Attack,
    device_sample,
    plan_sample,
    took,
)
from support.laws import LawError, reader
from support.tape import Tape, damaged, json_bytes, toml_bytes, torn

Table = dict[str, str]
SAMPLE = ROOT / "planner" / "validation" / "sample"
SMALL = "llama-3.2-1b"
MANY = 6
"""Changes of a sample that is read in milliseconds."""


def plan_read(tape: Tape, folder: Path) -> bool:
    """Plan files of every kind: what is taken says what the file said, and is written as it was."""
    from planner.lookup import read_plan

    path = folder / "p.json"
    text = torn(json_bytes(damaged(tape.of(plan_samples()), tape, MANY)), tape)
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


@cache
def plan_samples() -> tuple[Any, ...]:
    """Plans with every part that a plan file may have: pools, kept prefixes, drafted tokens, weights
    on the host."""
    from planner.api.plan import estimate, plan

    one: dict[str, Any] = {"devices": 1, "context": 2048, "engine": "vllm"}
    found = (
        estimate(MODEL, DEVICE, devices=1, context=2048, batch=4),
        plan(SMALL, "h100-sxm", devices=2, context=2048, batch=4, engine="vllm",
             mode="disaggregated"),
        estimate(MODEL, DEVICE, reuse="chat", kv_offload="host",
                 kv_offload_bytes=64 << 30, **one),
        estimate("llama-3.1-8b", "h100-sxm", devices=1, context=2048, batch=4, engine="sglang",
                 speculation=SMALL, acceptance=0.7),
        estimate("deepseek-v2-lite", "rtx-4090", devices=1, context=2048, batch=1,
                 host="xeon-6980p", host_memory_bytes=64 << 30, engine="llama.cpp"),
    )
    return (plan_sample(), *(one.to_dict() for one in found))


def plan_verbs(tape: Tape, folder: Path) -> bool:
    """Plan files of every kind in every command that takes one."""
    how = tape.below(9)
    sample = tape.of(plan_samples())
    model, device = sample["model"]["id"], sample["device"]["id"]
    (folder / "p.json").write_bytes(json_bytes(damaged(sample, tape)))
    words = (["diff", "p.json", "p.json", "--json"], ["report", "p.json"],
             ["report", "p.json", "-o", "r.html", "--quiet", "--lang", "zh"],
             ["export", "p.json", "out"],
             ["export", "p.json", "out", "--deploy", tape.of(
                 ("compose", "kubernetes", "llm-d", "dynamo"))],
             ["estimate", "--plan", "p.json", "--json", "--quiet"],
             ["memory", model, device, "--plan", "p.json", "--json", "--quiet"],
             ["serve", "--plan", "p.json", "--concurrency", "4", "--json", "--quiet"],
             ["explain", model, device, "--plan", "p.json", "--module", "mlp-down", "--json",
              "--quiet"])[how]
    return took(words, folder, may_write=("r.html", "out"), most_seconds=SEARCHED)


def quantised_config(tape: Tape, folder: Path) -> bool:
    """``quantization_config`` inside the configurations of releases, and those files beside them.
    """
    from planner.lookup import load_model

    name, block = tape.of((*((n, None) for n in _quantised()),
                           *((f"{SMALL}.json", b) for b in INTEGERS)))
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
            "quantization_config")
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
            "utf-8", "surrogatepass")
    else:
        text = json_bytes(damaged(sample, tape, MANY))
    text = torn(text, tape)
    spec = load_model(model)
    return reader(lambda: imported_assignment(read_any(text, name, name, spec)), folder)


INTEGERS: tuple[dict[str, Any], ...] = (
    {"quant_method": "awq", "bits": 4, "group_size": 128, "zero_point": True, "version": "gemm",
     "modules_to_not_convert": ["lm_head"]},
    {"quant_method": "gptq", "bits": 4, "group_size": 128, "sym": True, "desc_act": False,
     "lm_head": False, "dynamic": {"-:.*down_proj": {}, "+:.*up_proj": {"bits": 8}}},
    {"quant_method": "auto-round", "bits": 4, "group_size": 128, "sym": True,
     "packing_format": "auto_round:auto_gptq", "data_type": "int",
     "extra_config": {"model.layers.0.mlp.down_proj": {"bits": 8, "group_size": 32}}},
    {"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "nf4",
     "bnb_4bit_use_double_quant": True, "llm_int8_skip_modules": ["lm_head"]},
    {"quant_method": "bitsandbytes", "load_in_8bit": True},
)
"""Blocks that no bundled release has."""
TARGETS = (("fp8-channel", "compressed-tensors"), ("int4-w4a16", "compressed-tensors"),
           ("fp8-tensor", "modelopt"), ("nvfp4", "modelopt"), ("fp8-block", "fp8"),
           ("int4-w4a16", "gptq"), ("int8-block", "blockwise-int8"), ("fp8-channel", "torchao"),
           ("ggml-q4_k", "llama.cpp"))


@cache
def _exports() -> tuple[tuple[str, dict[str, str]], ...]:
    """(format, files) of a small model in every format that is read again."""
    from planner.api.export import export_plan
    from planner.api.plan import estimate
    from planner.errors import PlannerError

    found = []
    for scheme, to in TARGETS:
        device = "xeon-6980p" if to == "llama.cpp" else "b200-sxm"
        try:
            plan = estimate(SMALL, device, scheme=scheme, devices=1, context=2048, batch=4)
            found.append((to, export_plan(plan, to, engine="any").files))
        except PlannerError:
            continue
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
    """Folders of exports, ``deployment.json`` among them."""
    from planner.export.deployment import FILE, read_deployment
    from planner.lookup import load_model

    _, files = tape.of(_exports())
    text = torn(json_bytes(damaged(json.loads(files[FILE]), tape, MANY)), tape)
    if tape.below(8) != 1:
        return reader(lambda: read_deployment(text, FILE, load_model(SMALL)), folder)
    (folder / "e").mkdir()
    for name, content in files.items():
        (folder / "e" / name).write_text(content, encoding="utf-8")
    (folder / "e" / FILE).write_bytes(text)
    return took(["import", "e", SMALL, "-o", "p.json", "--quiet"], folder,
                may_write=("p.json",), most_seconds=PRICED)


def device_file(tape: Tape, folder: Path) -> bool:
    """Device profiles, whole ones and short ones of a class, read and written again."""
    from planner.hardware.loader import load_profile

    name, sample = tape.of(_devices())
    text = torn(toml_bytes(damaged(sample, tape, MANY)), tape)
    path = folder / f"{name}.toml"
    path.write_bytes(text)
    if tape.below(8) == 1:
        return took(["devices", f"./{name}.toml", "--json"], folder)
    return reader(lambda: load_profile(path), folder)


@cache
def _devices() -> tuple[tuple[str, Any], ...]:
    short = {"name": "My card 24 GB", "inherits": "gpu-gddr", "memory": "24 GB",
             "bandwidth": "900 GB/s", "compute_capability": "8.9",
             "power": "450 W", "price": "0.60 USD/h", "devices_per_node": 2,
             "scale_up_devices": 2, "links": {"scale_up": "32 GB/s"},
             "achieved": {"bf16": {"compute_fraction": "62 %"}},
             "rates": {"bf16": "165 TFLOPS", "int8": "330 TOPS"}}
    host = {"name": "My socket", "inherits": "cpu", "memory": "256 GiB", "bandwidth": "300 GB/s",
            "rates": {"avx2": {"fp32": "3 TFLOPS"}, "amx": {"bf16": "100 TFLOPS"}}}
    whole = [("made-up", device_sample(name)) for name in
             ("l40s", "xeon-6980p", "jetson-orin-nano-8gb", "mi300x")]
    return (("short", short), ("socket", host), *whole)


def tables_calibrated(tape: Tape, folder: Path) -> bool:
    """Tables of one device, whose operators are fitted."""
    kind, device, rows = tape.of(_fitted())
    data = folder / "data"
    data.mkdir()
    (data / f"{kind}.csv").write_bytes(torn(_csv(damaged(rows, tape, MANY)), tape))
    return took(["calibrate", "data", "-o", f"{device}.toml", "--device", device, "--quiet",
                 "--date", "2026-01-01"], folder, may_write=(f"{device}.toml",),
                most_seconds=PRICED)


@cache
def _fitted() -> tuple[tuple[str, str, list[Table]], ...]:
    """(table, device, rows of one software that can be fitted)."""
    from planner.validation.op_rows import profile_of

    out = []
    for path in sorted(SAMPLE.glob("op_*.csv")):
        rows = _rows(path)
        counted = Counter((row["device"], row["software"]) for row in rows)
        (name, software), _ = counted.most_common(1)[0]
        known = profile_of(name)
        if known is not None:
            out.append((path.stem, known.id, [row for row in rows if row["device"] == name
                                              and row["software"] == software][:8]))
    return (*out, ("e2e_verify", "xeon-6980p", [_step(), _step(quantity="prefill")]))


def _step(**changes: str) -> Table:
    return {"device": "xeon-6980p", "software": "llama.cpp b1", "engine": "llama.cpp",
            "model": MODEL, "subject": "plan", "types": "bf16", "prompt_tokens": "128",
            "output_tokens": "32", "threads": "8", "cache": "f16", "quantity": "decode",
            "measured": "0.02", "predicted": "0.018", "low": "0.01", "high": "0.03",
            "basis": "fitted"} | changes


def _rows(path: Path) -> list[Table]:
    return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))


def _csv(rows: Any) -> bytes:
    """Rows as CSV under the columns that any of them has; what is no row is a cell."""
    listed = [row if isinstance(row, dict) else {"x": row}
              for row in (rows if isinstance(rows, list) else [rows])]
    columns = list(dict.fromkeys(key for row in listed for key in row))
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerows([columns, *([row.get(key, "") for key in columns] for row in listed)])
    return text.getvalue().encode("utf-8", "surrogatepass")


def tables_validated(tape: Tape, folder: Path) -> bool:
    """Tables of every kind against their predictors: every row is told with its reason."""
    from planner.validation.run import validate

    name, rows = tape.of(_validated())
    (folder / f"{name}.csv").write_bytes(torn(_csv(damaged(rows, tape, MANY)), tape))
    if tape.below(8) == 1:
        return took(["validate", "--data", ".", "--json", "--rows", "r.csv"], folder,
                    may_write=("r.csv",), most_seconds=PRICED)

    def read() -> None:
        for one in validate(str(folder)).outcomes:
            if one.predicted is None and not one.reason:
                raise LawError(f"row {one.row} without a reason")
            if one.predicted is not None and not (
                    0 < one.low <= one.predicted <= one.high < float("inf")):
                raise LawError(f"row {one.row}: {one.low} {one.predicted} {one.high}")
    return reader(read, folder, most_seconds=PRICED)


@cache
def _validated() -> tuple[tuple[str, list[Table]], ...]:
    memory = {"engine": "vllm", "engine_version": "0.16.0", "model": "llama-3.1-8b",
              "checkpoint_dtype": "bf16", "kv_dtype": "bf16", "device": "h100_sxm", "tp": "1",
              "gpu_memory_utilization": "0.9", "max_model_len": "8192", "block_size": "16",
              "quantity": "weights_gib_per_gpu", "value": "14.99", "unit": "GiB",
              "confidence": "log"}
    tables = [(path.stem, _rows(path)) for path in sorted(SAMPLE.glob("*.csv"))]
    spread = [(name, rows[::max(1, len(rows) // 3)][:3]) for name, rows in tables]
    return (*spread, ("memory", [memory, memory | {"quantity": "kv_cache_tokens",
                                                   "value": "400000", "unit": "tokens"}]),
            ("e2e_verify", [_step(), _step(quantity="prefill")]))


def workload_file(tape: Tape, folder: Path) -> bool:
    """Workload files: read, priced, and asked how prompts come back."""
    import tomllib

    from planner.lookup import load_workload

    names = sorted((ROOT / "scenarios" / "workloads").glob("*.toml"))
    sample = tomllib.loads(tape.of(names).read_text(encoding="utf-8"))
    path = folder / "w.toml"
    path.write_bytes(torn(toml_bytes(damaged(sample, tape, MANY)), tape))
    how = tape.below(12)
    words = {1: ["estimate", MODEL, DEVICE, "--devices", "1", "--workload", "./w.toml"],
             2: ["estimate", MODEL, DEVICE, "--devices", "1", "--engine", "vllm",
                 "--reuse", "./w.toml"],
             3: ["capacity", MODEL, DEVICE, "--workload", "./w.toml", "--rate", "4",
                 "--tpot-ms", "50", "--ttft-ms", "2000"]}.get(how)
    if words is not None:
        return took([*words, "--json", "--quiet"], folder, most_seconds=SEARCHED)
    return reader(lambda: load_workload(str(path)), folder)


def fleet_file(tape: Tape, folder: Path) -> bool:
    """Fleet files, read and checked; a damaged one may ask for more than a test answers."""
    from support.fleets import ASKED

    from planner.api.fleet_asked import fleet_question

    path = folder / "f.toml"
    path.write_bytes(torn(toml_bytes(damaged(tape.of((ASKED, _five())), tape, MANY)), tape))

    return reader(lambda: fleet_question(str(path), None), folder)


@cache
def _five() -> Any:
    import tomllib

    path = ROOT / "scenarios" / "fleets" / "five-models.toml"
    return tomllib.loads(path.read_text(encoding="utf-8"))


def sweep_file(tape: Tape, folder: Path) -> bool:
    """Sweep files with prices and service levels, read and resolved."""
    from planner.sweeping.read import read_sweep
    from planner.sweeping.run import Sweep

    sample = {
        "title": "two", "price": {DEVICE: 0.9, "h100-sxm": 3.0},
        "common": {"devices": 1, "context": [2048, 4096], "batch": 4},
        "grid": [{"max_loss": ["fp8-block", 0.5], "model": [MODEL, "smollm2-135m"], "device": [DEVICE, "h100-sxm"],
                  "objective": ["latency"], "schemes": [["bf16", "fp8-block"], ["bf16"]],
                  "service": [{"name": "chat", "tpot_ms": 10, "ttft_ms": 500},
                              {"name": "batch", "workload": "batch", "slots": "full"}]}],
        "question": [{"model": MODEL, "device": DEVICE, "verb": "estimate", "scheme": "bf16"},
                     {"scenario": "h100-fp8-throughput", "kv": "fp8", "context": 4096}]}
    path = folder / "s.toml"
    path.write_bytes(torn(toml_bytes(damaged(sample, tape, MANY)), tape))

    def read() -> None:
        file = read_sweep(path)
        if len(file.asks) < 1000:
            Sweep(file.asks, price=file.price).resolve().columns()
    return reader(read, folder)


def sweep_left(tape: Tape, folder: Path) -> bool:
    """What an earlier sweep left: its journal, or its table."""
    from planner.jobs.journal import _line

    (folder / "q.toml").write_bytes(toml_bytes(_ESTIMATES))
    words = ["sweep", "q.toml", "-o", "o.csv", "--quiet"]
    table, records = _left()
    if tape.below(2):
        (folder / "o.csv").write_bytes(torn(_csv(damaged(table, tape, MANY)), tape))
    else:
        listed = damaged(records, tape, MANY)
        try:
            lines = b"".join(map(_line, listed))
        except (TypeError, ValueError):
            return False
        (folder / "o.csv.journal").write_bytes(torn(lines, tape))
    return took(words, folder, may_write=("o.csv", "o.csv.journal"), most_seconds=PRICED)


_ESTIMATES = {"common": {"devices": 1, "context": 2048, "batch": 4, "verb": "estimate"},
              "grid": [{"model": MODEL, "device": [DEVICE, "a100-sxm"]}]}


@cache
def _left() -> tuple[list[Table], list[dict[str, Any]]]:
    """(rows of the table, records of the journal) of a small sweep."""
    import tempfile
    from unittest.mock import patch

    from planner.api.sweep import answers
    from planner.jobs.journal import Journal, _parse

    with tempfile.TemporaryDirectory() as made, patch.object(Journal, "remove", Journal.close):
        path = Path(made) / "q.toml"
        path.write_bytes(toml_bytes(_ESTIMATES))
        answers(str(path), output=str(Path(made) / "o.csv"))
        lines = (Path(made) / "o.csv.journal").read_bytes().splitlines()
        records = [record for line in lines if (record := _parse(line)) is not None]
        return _rows(Path(made) / "o.csv"), records


def losses(tape: Tape, folder: Path) -> bool:
    """Losses of an earlier verification, which a later one learns a profile from."""
    from planner.lookup import load_model
    from planner.quality.profile_file import as_dict
    from planner.verifying.learned import learned_profile
    from planner.verifying.learning import learn, read_losses

    (folder / "losses.json").write_bytes(torn(json_bytes(damaged(_losses(), tape, MANY)), tape))

    def read() -> None:
        basis = _basis()
        learned = learn(basis, {}, {}, read_losses(folder, MODEL, basis))
        if learned is not None and learned.found is not None:
            made = learned_profile(
                load_model(MODEL), basis, learned.found, version="b1", source="llama.cpp",
                checks=[(c.name, c.shares, c.kl.value, c.flips) for c in learned.checks],
                counted=[c.digest for c in learned.checks])
            json.dumps(as_dict(made), allow_nan=False)
    return reader(read, folder)


@cache
def _basis() -> Any:
    from planner.lookup import load_model
    from planner.verifying.learned import loss_basis

    return loss_basis(load_model(MODEL), None)


@cache
def _losses() -> Any:
    tensors = [name for parts in _basis().parts.values() for name in parts][:12]
    one = {"kl": 0.02, "error": 0.001, "flips": 0.05, "made_of": "x",
           "schemes": dict.fromkeys(tensors, "ggml-q4_k")}
    return {"schema_version": "1", "model": MODEL, "files": {
        "plan": one, "other": one | {"made_of": "y", "kl": 0.03}}}


SLOW: dict[str, Attack] = {
    "plan-read": plan_read, "plan-verbs": plan_verbs, "quantised-config": quantised_config,
    "import-read": import_read, "import-folder": import_folder, "device-file": device_file,
    "calibrate": tables_calibrated, "validate": tables_validated, "workload": workload_file,
    "fleet": fleet_file, "sweep-file": sweep_file, "sweep-left": sweep_left, "losses": losses,
}
READERS: dict[str, tuple[str, ...]] = {
    "plan-read": ("planning.plan", "lookup", "models.strict_json"),
    "plan-verbs": ("planning.plan", "export", "report", "api", "planning.inspect"),
    "quantised-config": ("models.quantization", "models.fields", "models.strict_json"),
    "import-read": ("models.quantization", "models.fields", "export.read_back",
                    "export.llama_cpp_back", "export.assignment"),
    "import-folder": ("export.deployment", "models.fields", "api.export"),
    "device-file": ("hardware", "toml_text"),
    "calibrate": ("calibration", "validation.reader", "validation.op_rows"),
    "validate": ("validation",), "workload": ("workloads", "reuse", "toml_text"),
    "fleet": ("sizing.fleet.asked", "api.fleet_asked", "toml_text"),
    "sweep-file": ("sweeping.read", "sweeping.record", "sweeping.prices", "toml_text"),
    "sweep-left": ("jobs.journal", "sweeping.output", "sweeping.columns", "sweeping.run"),
    "losses": ("verifying.learning", "verifying.learned", "quality.sensitivity.posterior"),
}
"""Modules of the package, or folders of them, that read what an entrance is given: the fuzzer is
guided by these, and their lines are counted."""
