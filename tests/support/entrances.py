"""Every way by which bytes from outside come in, each as a function of a tape.

An attack writes one damaged sample into an empty folder, runs the command that reads it, and holds
the run to :mod:`support.laws`. It returns whether the command took the sample or refused it.
"""

import copy
import csv
import io
import json
import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from support.checkpoints import llama_config, write_llama
from support.command_words import (
    CONFIGS,
    DEVICE,
    MODEL,
    PRICED,
    QUICK,
    ROOT,
    Attack,
    command_line,
    took,
)
from support.laws import reader
from support.model_entrances import config, config_priced, gguf, safetensors
from support.tape import Tape, damaged, json_bytes, toml_bytes, torn


def device(tape: Tape, folder: Path) -> bool:
    """Device profiles: read, checked, and priced where they are accepted."""
    data = torn(toml_bytes(damaged(device_sample(tape.of(DEVICES)), tape)), tape)
    (folder / "made-up.toml").write_bytes(data)
    if tape.below(3) == 1:
        return took(
            ["estimate", MODEL, "./made-up.toml", *QUICK, "--json", "--quiet"],
            folder,
            most_seconds=PRICED,
        )
    return took(["devices", "./made-up.toml"], folder)


DEVICES = ("l40s", "xeon-6980p", "jetson-orin-nano-8gb", "h100-sxm")


@cache
def device_sample(name: str) -> Any:
    text = (ROOT / "hardware_profiles" / f"{name}.toml").read_text(encoding="utf-8")
    found = tomllib.loads(text)
    found["fitted"] = found.get("fitted", [])[:2]
    return found | {"id": "made-up", "aliases": ["made-up-1"]}


def aliases(tape: Tape, folder: Path) -> bool:
    """``aliases.toml`` and profiles of a folder that is searched."""
    (folder / "hw").mkdir()
    text = (ROOT / "hardware_profiles" / "aliases.toml").read_text(encoding="utf-8")
    sample = damaged(tomllib.loads(text), tape)
    (folder / "hw" / "aliases.toml").write_bytes(torn(toml_bytes(sample), tape))
    return took(
        ["devices", tape.of(("l40s", "h100_sxm", "some-name")), "--hardware-dir", "hw"], folder
    )


def scenario(tape: Tape, folder: Path) -> bool:
    """Scenario files, answered for a small model."""
    sample = copy.deepcopy(_scenario(tape.of(_scenarios())))
    sample |= {"model": MODEL, "device": DEVICE, "devices": 1, "context": 2048}
    for key in ("tp", "dp", "pp", "ep", "isl", "osl"):
        sample.pop(key, None)
    (folder / "s.toml").write_bytes(torn(toml_bytes(damaged(sample, tape)), tape))
    return took(
        ["estimate", "--scenario", "s.toml", "--json", "--quiet"], folder, most_seconds=PRICED
    )


@cache
def _scenarios() -> tuple[str, ...]:
    return tuple(sorted(p.name for p in (ROOT / "scenarios").glob("*.toml")))


@cache
def _scenario(name: str) -> Any:
    return tomllib.loads((ROOT / "scenarios" / name).read_text(encoding="utf-8"))


def plan_file(tape: Tape, folder: Path) -> bool:
    """Plan files, read by every command that takes one."""
    how = tape.below(6)
    (folder / "p.json").write_bytes(torn(json_bytes(damaged(plan_sample(), tape)), tape))
    words = (
        ["diff", "p.json", "p.json"],
        ["report", "p.json"],
        ["report", "p.json", "-o", "r.html", "--quiet"],
        [
            "export",
            "p.json",
            "out",
            "--to",
            tape.of(("compressed-tensors", "modelopt", "fp8", "torchao", "llama.cpp")),
        ],
        ["estimate", "--plan", "p.json", "--json", "--quiet"],
        ["memory", MODEL, DEVICE, "--plan", "p.json", "--json", "--quiet"],
    )[how]
    return took(words, folder, may_write=("r.html", "out"), most_seconds=PRICED)


@cache
def plan_sample() -> Any:
    from planner.api.plan import plan

    return plan(MODEL, DEVICE, devices=1, context=2048, batch=4).to_dict()


def quantisation(tape: Tape, folder: Path) -> bool:
    """Quantisation configurations that are imported."""
    sample = tape.of(_quantisations())
    (folder / "q.json").write_bytes(torn(json_bytes(damaged(sample, tape)), tape))
    return took(
        ["import", "q.json", MODEL, "--device", DEVICE, *QUICK, "-o", "p.json", "--quiet"],
        folder,
        may_write=("p.json",),
        most_seconds=PRICED,
    )


@cache
def _quantisations() -> tuple[Any, ...]:
    from planner.export.plan_files import export_plan
    from planner.planning.plan.record import Plan

    found: list[Any] = []
    for scheme, to, name in (
        ("fp8-channel", "compressed-tensors", "quantization_config.json"),
        ("fp8-tensor", "modelopt", "hf_quant_config.json"),
    ):
        from planner.api.estimate import estimate

        plan: Plan = estimate(MODEL, DEVICE, scheme=scheme, devices=1, context=2048, batch=4)
        found.append(json.loads(export_plan(plan, to).files[name]))
    for path in sorted(CONFIGS.glob("*.json")):
        block = json.loads(path.read_text(encoding="utf-8")).get("quantization_config")
        if block is not None and block not in found:
            found.append(block)
    return tuple(found)


def profile_file(tape: Tape, folder: Path) -> bool:
    """Profile files that plans are made from."""
    (folder / "config.json").write_text(json.dumps(llama_config()), encoding="utf-8")
    (folder / "f.json").write_bytes(torn(json_bytes(damaged(profile_sample(), tape)), tape))
    return took(
        ["estimate", "./config.json", DEVICE, "--profile", "f.json", *QUICK, "--json", "--quiet"],
        folder,
        most_seconds=PRICED,
    )


@cache
def profile_sample() -> Any:
    import tempfile

    from planner.lab.profiling.profile import profile
    from planner.quality.profile_file import as_dict

    with tempfile.TemporaryDirectory() as made:
        checkpoint = write_llama(Path(made) / "c")
        return json.loads(
            json.dumps(
                as_dict(
                    profile(
                        str(checkpoint),
                        output=str(Path(made) / "x.json"),
                        workers=1,
                        schemes=["fp8-block", "int8-w8a8"],
                    )
                )
            )
        )


def scores(tape: Tape, folder: Path) -> bool:
    """Scores that another program measured: CSV, GGUF Tool Suite, ModelOpt, ExLlama, AutoRound."""
    from planner.lab.scores.read import read_scores

    module = "model.layers.0.mlp.down_proj"
    samples: tuple[Any, ...] = (
        [["module", "scheme", "loss_nats"], [module, "fp8-block", "0.01"], [module, "nvfp4", "1"]],
        {
            "candidate_stats": {
                module: {
                    "formats": ["NVFP4_DEFAULT_CFG", "none"],
                    "scores": [1.5, 0.0],
                    "module_names": [module],
                }
            }
        },
        {module: {"W4A16": 0.25, "gguf:q8_0": 0.01}},
        [["QTYPE", "blk.0.ffn_down.weight", "output.weight"], ["iq1_kt", "0.01", "0.2"]],
        {
            "scheme": {"quant_formats": ["FP8_DEFAULT_CFG"]},
            "layer_sensitivity": [{"layer": module, "num_bits": 8.0, "sensitivity": 0.5}],
        },
        {
            "measurement": {
                "model.layers.0.mlp": [
                    {
                        "accuracy": 0.9,
                        **{
                            name: {"bits": [4, 3], "bits_prop": [0.5, 0.5]}
                            for name in ("gate_proj", "up_proj", "down_proj")
                        },
                    }
                ]
            }
        },
        {
            "base": {"bpw": 3.0},
            "alts": [{"bpw": 4.0}],
            "groups": [{"layers": [module], "candidates": [{"dkld": -0.01}]}],
        },
    )
    which = tape.below(len(samples))
    path = folder / ("s.csv" if which in (0, 3) else "s.json")
    sample = damaged(samples[which], tape)
    path.write_bytes(torn(_csv(sample) if which in (0, 3) else json_bytes(sample), tape))
    return reader(lambda: read_scores(path), folder)


def sweep(tape: Tape, folder: Path) -> bool:
    """Sweep files, read and checked; a damaged grid may ask for more than a test answers."""
    from planner.sweeping.read import read_sweep

    sample = {
        "common": {"devices": 1, "context": 2048, "batch": 4},
        "grid": [{"model": [MODEL, "smollm2-135m"], "device": [DEVICE], "objective": ["latency"]}],
        "question": [{"model": MODEL, "device": DEVICE, "verb": "estimate", "scheme": "bf16"}],
    }
    (folder / "s.toml").write_bytes(torn(toml_bytes(damaged(sample, tape)), tape))
    return reader(lambda: read_sweep(folder / "s.toml"), folder)


def _csv(rows: Any) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text)
    for row in rows if isinstance(rows, list) else [rows]:
        writer.writerow(row if isinstance(row, list) else [row])
    return text.getvalue().encode("utf-8", "surrogatepass")


def popularity(tape: Tape, folder: Path) -> bool:
    """Loads of experts, as JSON or a number a line."""
    loads = [1.0 + n % 7 for n in range(64)]
    if tape.below(2):
        (folder / "p.json").write_bytes(torn(json_bytes(damaged({"loads": loads}, tape)), tape))
        name = "p.json"
    else:
        lines = damaged(loads, tape)
        (folder / "p.txt").write_bytes(
            torn("\n".join(map(str, lines)).encode("utf-8", "surrogatepass"), tape)
        )
        name = "p.txt"
    return took(
        ["experts", "deepseek-v2-lite", "--popularity", name, "--json", "--quiet"],
        folder,
        most_seconds=PRICED,
    )


def tables(tape: Tape, folder: Path) -> bool:
    """Measured tables: validated, or fitted into a device profile."""
    (folder / "data").mkdir()
    paths = sorted((ROOT / "planner" / "lab" / "validation" / "sample").glob("*.csv"))
    path = tape.of(paths)
    rows = list(csv.reader(path.read_text(encoding="utf-8").splitlines()))[:9]
    (folder / "data" / path.name).write_bytes(torn(_csv(damaged(rows, tape)), tape))
    if tape.below(4) == 1:
        return took(
            [
                "calibrate",
                "data",
                "-o",
                "l40s.toml",
                "--device",
                "l40s",
                "--quiet",
                "--date",
                "2026-01-01",
            ],
            folder,
            may_write=("l40s.toml",),
            most_seconds=PRICED,
        )
    return took(["validate", "--data", "data", "--json"], folder, most_seconds=PRICED)


ENTRANCES: Mapping[str, Attack] = {
    "config": config,
    "config-priced": config_priced,
    "safetensors": safetensors,
    "gguf": gguf,
    "device": device,
    "aliases": aliases,
    "scenario": scenario,
    "plan-file": plan_file,
    "quantisation": quantisation,
    "profile-file": profile_file,
    "scores": scores,
    "sweep": sweep,
    "popularity": popularity,
    "tables": tables,
    "command-line": command_line,
}
