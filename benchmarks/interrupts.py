"""Seconds from Ctrl-C to the end of a command, with its exit code and what it said.

    python benchmarks/interrupts.py [--only NAME] [--after SECONDS] [--measured DIR]

Every command is started in a session of its own, as a terminal starts one, and its whole process
group is sent SIGINT while it works: `--after` seconds after it started (default: 3, and 0.3, while
it is being loaded). Checkpoints are written for the run; tables for `calibrate` and `validate` are
those of `--measured`, and without it these two are left out.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests"))
SWEEP = """title = "Many plans"
[[grid]]
model = ["deepseek-v3", "qwen3-235b-a22b"]
device = ["h100-sxm", "h200-sxm", "b200-sxm"]
context = [4096, 8192, 16384, 32768, 65536]
osl = [256, 512, 1024]
objective = ["throughput", "latency"]
"""
LEAST = 2.0
"""Seconds that the project promises."""


def commands(folder: Path, measured: Path | None) -> dict[str, list[str]]:
    """Commands by name; each works for longer than it is let."""
    from support.checkpoints import llama_config, llama_tensors, write_safetensors

    config = llama_config(
        hidden_size=1024,
        intermediate_size=2816,
        num_hidden_layers=6,
        num_attention_heads=16,
        num_key_value_heads=4,
        head_dim=64,
        vocab_size=4096,
    )
    checkpoint = folder / "checkpoint"
    checkpoint.mkdir()
    (checkpoint / "config.json").write_text(json.dumps(config), encoding="utf-8")
    write_safetensors(
        checkpoint / "model.safetensors",
        {
            name: ("BF16", (value.view(np.uint32) >> 16).astype(np.uint16))
            for name, value in llama_tensors(config).items()
        },
    )
    (folder / "q.toml").write_text(SWEEP, encoding="utf-8")
    profile = ["profile", str(checkpoint), "-o", str(folder / "p.profile.json")]
    sweep = ["sweep", str(folder / "q.toml"), "-o", str(folder / "q.csv")]
    big = ["deepseek-v3", "h100-sxm", "--context", "131072"]
    found = {
        "plan": big,
        "plan --untie": ["glm-5-fp8", "b200-sxm", "--untie"],
        "estimate": ["estimate", "deepseek-v3", "h200-sxm", "--context", "131072"],
        "explain": ["explain", *big],
        "frontier": ["frontier", "deepseek-v3", "h100-sxm", "--points", "400", "--map"],
        "--interactive": [*big, "--report", str(folder / "r.html"), "--interactive"],
        "sweep": sweep,
        "sweep --workers 2": [*sweep, "--workers", "2"],
        "sweep --cluster local": [*sweep, "--cluster", "local", "--workers", "2"],
        "profile": [*profile, "--workers", "1"],
        "profile --workers 2": [*profile, "--workers", "2"],
        "profile --cluster local": [*profile, "--cluster", "local", "--workers", "2"],
        "numerics, wide": [
            "numerics",
            "deepseek-v3",
            "--module",
            "attention-out",
            "--tokens",
            "4096",
            "--outputs",
            "4096",
        ],
        "claims": ["claims"],
    }
    if measured is not None:
        found["validate"] = ["validate", "--data", str(measured)]
        found["calibrate"] = [
            "calibrate",
            str(measured),
            "--device",
            "h100-sxm",
            "--force",
            "-o",
            str(folder / "h100-sxm.toml"),
        ]
    return found


def interrupted(arguments: list[str], after: float, folder: Path) -> tuple[float, int, str]:
    """(seconds from the signal to the end, exit code, last line of stderr)."""
    for path in folder.glob("*.journal"):
        path.unlink()
    child = subprocess.Popen(
        [sys.executable, "-m", "planner", *arguments],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": str(HERE.parent)},
    )
    time.sleep(after)
    begun = time.perf_counter()
    if child.poll() is None:
        os.killpg(child.pid, signal.SIGINT)
    said = child.communicate()[1].decode()
    took = time.perf_counter() - begun
    shown = "TRACEBACK" if "Traceback" in said else " / ".join(said.split("\n"))[-40:].strip()
    return took, child.returncode, shown


def main() -> int:
    """Print a line a command; exit status 1 where one took too long or said too much."""
    parser = argparse.ArgumentParser(description="Seconds from Ctrl-C to the end of a command.")
    parser.add_argument("--only", help="the command of this name")
    parser.add_argument("--after", type=float, nargs="+", default=[3.0, 0.3])
    parser.add_argument("--measured", type=Path, help="folder of measured tables")
    options = parser.parse_args()
    slow = 0
    print(f"{'command':<26}{'after':>7}{'ended in':>10}  exit  stderr")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for label, arguments in commands(folder, options.measured).items():
            if options.only not in (None, label):
                continue
            for after in options.after:
                took, code, said = interrupted(arguments, after, folder)
                bad = took > LEAST or code not in (0, 130) or "TRACEBACK" in said
                slow += bad
                print(f"{label:<26}{after:>5.1f} s{took:>8.2f} s{code:>6}  {said}", flush=True)
        left = sorted(
            p.name for p in folder.iterdir() if p.name.startswith(".") or p.suffix == ".new"
        )
        print(f"half-written files left: {', '.join(left) or 'none'}")
    return 1 if slow or left else 0


if __name__ == "__main__":
    sys.exit(main())
