"""TOML files of devices, workloads, fleets and sweeps, attacked where they are read."""

import tomllib
from functools import cache
from pathlib import Path
from typing import Any

from support.command_words import DEVICE, MODEL, ROOT, SEARCHED, Attack, took
from support.entrances import device_sample
from support.laws import reader
from support.tape import MANY, Tape, damaged, toml_bytes, torn


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
    short = {
        "name": "My card 24 GB",
        "inherits": "gpu-gddr",
        "memory": "24 GB",
        "bandwidth": "900 GB/s",
        "compute_capability": "8.9",
        "power": "450 W",
        "price": "0.60 USD/h",
        "devices_per_node": 2,
        "scale_up_devices": 2,
        "links": {"scale_up": "32 GB/s"},
        "achieved": {"bf16": {"compute_fraction": "62 %"}},
        "rates": {"bf16": "165 TFLOPS", "int8": "330 TOPS"},
    }
    host = {
        "name": "My socket",
        "inherits": "cpu",
        "memory": "256 GiB",
        "bandwidth": "300 GB/s",
        "rates": {"avx2": {"fp32": "3 TFLOPS"}, "amx": {"bf16": "100 TFLOPS"}},
    }
    whole = [
        ("made-up", device_sample(name))
        for name in ("l40s", "xeon-6980p", "jetson-orin-nano-8gb", "mi300x")
    ]
    return (("short", short), ("socket", host), *whole)


def workload_file(tape: Tape, folder: Path) -> bool:
    """Workload files: read, priced, and asked how prompts come back."""
    from planner.lookup import load_workload

    names = sorted((ROOT / "scenarios" / "workloads").glob("*.toml"))
    sample = tomllib.loads(tape.of(names).read_text(encoding="utf-8"))
    path = folder / "w.toml"
    path.write_bytes(torn(toml_bytes(damaged(sample, tape, MANY)), tape))
    how = tape.below(12)
    words = {
        1: ["estimate", MODEL, DEVICE, "--devices", "1", "--workload", "./w.toml"],
        2: ["estimate", MODEL, DEVICE, "--devices", "1", "--engine", "vllm", "--reuse", "./w.toml"],
        3: [
            "capacity",
            MODEL,
            DEVICE,
            "--workload",
            "./w.toml",
            "--rate",
            "4",
            "--tpot-ms",
            "50",
            "--ttft-ms",
            "2000",
        ],
    }.get(how)
    if words is not None:
        return took([*words, "--json", "--quiet"], folder, most_seconds=SEARCHED)
    return reader(lambda: load_workload(str(path)), folder)


def fleet_file(tape: Tape, folder: Path) -> bool:
    """Fleet files, read and checked; a damaged one may ask for more than a test answers."""
    from planner.sizing.fleet.read import fleet_question
    from support.fleets import ASKED

    path = folder / "f.toml"
    path.write_bytes(torn(toml_bytes(damaged(tape.of((ASKED, _five())), tape, MANY)), tape))

    return reader(lambda: fleet_question(str(path), None), folder)


@cache
def _five() -> Any:
    path = ROOT / "scenarios" / "fleets" / "five-models.toml"
    return tomllib.loads(path.read_text(encoding="utf-8"))


def sweep_file(tape: Tape, folder: Path) -> bool:
    """Sweep files with prices and service levels, read and resolved."""
    from planner.sweeping.read import read_sweep
    from planner.sweeping.run import Sweep

    sample = {
        "title": "two",
        "price": {DEVICE: 0.9, "h100-sxm": 3.0},
        "common": {"devices": 1, "context": [2048, 4096], "batch": 4},
        "grid": [
            {
                "max_loss": ["fp8-block", 0.5],
                "model": [MODEL, "smollm2-135m"],
                "device": [DEVICE, "h100-sxm"],
                "objective": ["latency"],
                "schemes": [["bf16", "fp8-block"], ["bf16"]],
                "service": [
                    {"name": "chat", "tpot_ms": 10, "ttft_ms": 500},
                    {"name": "batch", "workload": "batch", "slots": "full"},
                ],
            }
        ],
        "question": [
            {"model": MODEL, "device": DEVICE, "verb": "estimate", "scheme": "bf16"},
            {"scenario": "h100-fp8-throughput", "kv": "fp8", "context": 4096},
        ],
    }
    path = folder / "s.toml"
    path.write_bytes(torn(toml_bytes(damaged(sample, tape, MANY)), tape))

    def read() -> None:
        file = read_sweep(path)
        if len(file.asks) < 1000:
            Sweep(file.asks, price=file.price).resolve().columns()

    return reader(read, folder)


TOML: dict[str, Attack] = {
    "device-file": device_file,
    "workload": workload_file,
    "fleet": fleet_file,
    "sweep-file": sweep_file,
}
