"""The printed command, really run: a server on this machine, twenty requests of the plan's own
workload over HTTP, times beside the plan's.

The start script is the one that ``plan export`` writes, with the checkpoint as its argument;
the server's address, which no plan decides, comes from its environment (llama.cpp) or a word after
the command's (vLLM, which has no variable for it). Nothing here moves what is predicted.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

import planner
from evaluation.closed_loop.install import Weights
from evaluation.closed_loop.parts import Clock
from planner.base.errors import DataError
from planner.export.serve_line import serving_command
from planner.lab.verifying.hf_checkpoint import folder_of_gguf
from planner.lab.verifying.vllm import CONFIGURATION
from planner.planning.plan.record import Estimate, Plan

ENGINES = ("llama.cpp", "vllm")
REQUEST = {"isl": 256, "osl": 64, "batch": 2}
REQUESTS = 20
START_SECONDS, RUN_SECONDS, ENDING_SECONDS = 900, 1800, 30
HERE = "127.0.0.1"
_TOKENISER = (
    "import sys; from transformers import AutoTokenizer; "
    "AutoTokenizer.from_pretrained(sys.argv[1], gguf_file=sys.argv[2])"
    ".save_pretrained(sys.argv[3])"
)


@dataclass(frozen=True)
class Server:
    """What a start needs: the model's BF16 file, the engines' places, and a folder of its own."""

    model: str
    base: Path
    programs: Path
    python: Path
    folder: Path
    clock: Clock


def place(root: Path, model: Weights, clock: Clock) -> Server:
    """Where a model's servers are, under the folder of the engines."""
    folder = root / "loop" / "served" / model.model
    folder.mkdir(parents=True, exist_ok=True)
    programs, python = root / "llama.cpp" / "bin", root / "vllm" / "bin" / "python"
    return Server(model.model, model.base(root), programs, python, folder, clock)


def serve(server: Server, engine: str) -> dict[str, Any]:
    """Start ``engine`` for the model's answer, send it the requests, and stop it; what was said,
    predicted and measured, kept in the folder.

    Raises:
        PlannerError: no answer, or the command did not start. TimeIsUpError: it is too late.
    """
    kept = server.folder / f"{engine}.json"
    if kept.exists():
        return dict(json.loads(kept.read_text(encoding="utf-8")))
    words = f"{server.model}: served by {engine}"
    server.clock.check(words)
    server.clock.tell(words)
    plan = planner.plan(server.model, "host", engine=engine, **REQUEST)
    folder = server.folder / engine
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    files = planner.export_plan(plan).files
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    checkpoint = checkpoint_of(server, plan, engine, files, folder)
    port = free_port()
    with started(server, engine, folder, checkpoint, port) as (process, log):
        wait(process, port, log)
        load = os.getloadavg()[0]
        client = bench if engine == "vllm" else streams
        times = client(server, checkpoint, port, plan)
    out = {
        "model": server.model,
        "engine": engine,
        "version": version_of(server, engine),
        "question": f"plan {server.model} host --engine {engine} "
        + " ".join(f"--{key} {value}" for key, value in REQUEST.items()),
        "command": list(serving_command(plan).words),
        "load": [load, os.getloadavg()[0]],
        "client": "vllm bench serve" if engine == "vllm" else "HTTP, streamed completions",
        "predicted": {
            "ttft": figure(plan.performance.ttft_seconds),
            "tpot": figure(plan.performance.tpot_seconds),
        },
        "measured": times,
    }
    kept.write_text(json.dumps(out, indent=1), encoding="utf-8")
    return out


def figure(estimate: Estimate) -> dict[str, Any]:
    """An estimate as plain data."""
    return {
        "value": estimate.value,
        "low": estimate.low,
        "high": estimate.high,
        "basis": estimate.basis,
    }


def checkpoint_of(
    server: Server, plan: Plan, engine: str, files: Mapping[str, str], folder: Path
) -> Path:
    """What the script is given: a file of llama.cpp's, or a folder with weights and tokeniser, in
    the formats of the plan."""
    if engine == "llama.cpp":
        if "quantise.sh" not in files:
            return server.base
        made = folder / "OUT.gguf"
        run(
            ["sh", folder / "quantise.sh", server.base, made],
            folder,
            {"PATH": f"{server.programs}:{os.environ['PATH']}"},
        )
        return made
    plain = folder / "bf16"
    folder_of_gguf(server.base, plain)
    run([server.python, "-c", _TOKENISER, server.base.parent, server.base.name, plain], folder, {})
    if CONFIGURATION not in files:
        return plain
    from planner.export.assignment import assignment_of
    from planner.lab.verifying.quantised_checkpoint import write_quantised

    spec = planner.load_model(server.model)
    made = folder / "checkpoint"
    write_quantised(assignment_of(plan, spec), json.loads(files[CONFIGURATION]), plain, made)
    return made


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as one:
        one.bind((HERE, 0))
        return int(one.getsockname()[1])


@contextmanager
def started(
    server: Server, engine: str, folder: Path, checkpoint: Path, port: int
) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """The export's script with the checkpoint as its argument, for the block; and its log."""
    programs, more = server.programs, {}
    if engine == "vllm":
        programs = folder / "bin"
        programs.mkdir()
        (programs / "vllm").write_text(
            f'#!/bin/sh\nexec "{server.python.parent / "vllm"}" "$@" --host {HERE} --port {port}\n'
        )
        (programs / "vllm").chmod(0o755)
        more = {"HF_HUB_OFFLINE": "1"}
    else:
        more = {"LLAMA_ARG_HOST": HERE, "LLAMA_ARG_PORT": str(port)}
    log = folder / "server.log"
    with log.open("w", encoding="utf-8") as out:
        process = subprocess.Popen(
            ["sh", folder / f"serve-{engine}.sh", checkpoint],
            cwd=folder,
            env={**os.environ, **more, "PATH": f"{programs}:{os.environ['PATH']}"},
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            yield process, log
        finally:
            stop(process)


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a server and what it started."""
    for how in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, how)
            process.wait(ENDING_SECONDS)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            continue


def wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    """Until the server is up.

    Raises:
        DataError: it ended, or took too long; with its last words.
    """
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        try:
            with urllib.request.urlopen(f"http://{HERE}:{port}/health", timeout=5) as answer:
                if answer.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            time.sleep(1.0)
        if process.poll() is not None:
            break
    raise DataError(
        f"the server did not start: {log.read_text(errors='replace')[-600:]}",
        hint=f"see {log}",
    )


def bench(server: Server, checkpoint: Path, port: int, plan: Plan) -> dict[str, Any]:
    """vLLM's own client."""
    work = plan.workload
    folder = server.folder / "vllm"
    run(
        [
            server.python.parent / "vllm", "bench", "serve", "--backend", "openai",
            "--base-url", f"http://{HERE}:{port}", "--model", checkpoint,
            "--dataset-name", "random", "--random-input-len", str(work.isl),
            "--random-output-len", str(work.osl), "--num-prompts", str(REQUESTS),
            "--max-concurrency", str(work.batch), "--ignore-eos", "--save-result",
            "--result-dir", folder, "--result-filename", "bench.json",
        ],
        folder,
        {"HF_HUB_OFFLINE": "1"},
    )  # fmt: skip
    found = json.loads((folder / "bench.json").read_text(encoding="utf-8"))
    return {
        "completed": found["completed"],
        "ttft": found["median_ttft_ms"] / 1e3,
        "tpot": found["median_tpot_ms"] / 1e3,
        "tokens_per_second": found["output_throughput"],
    }


def streams(server: Server, checkpoint: Path, port: int, plan: Plan) -> dict[str, Any]:
    """Streamed completions over HTTP, as many at once as the plan has sequences."""
    work = plan.workload
    draw = Random(0)
    prompts = [[draw.randrange(1000, 30000) for _ in range(work.isl)] for _ in range(REQUESTS + 1)]
    stream(port, prompts[0], work.osl)
    start = time.monotonic()
    with ThreadPoolExecutor(work.batch) as pool:
        times = list(pool.map(lambda prompt: stream(port, prompt, work.osl), prompts[1:]))
    took = time.monotonic() - start
    return {
        "completed": len(times),
        "ttft": median(first for first, _, _ in times),
        "tpot": median(rest / (count - 1) for _, rest, count in times),
        "tokens_per_second": sum(count for _, _, count in times) / took,
    }


def stream(port: int, prompt: list[int], osl: int) -> tuple[float, float, int]:
    """(seconds to the first token, seconds from it to the last, tokens) of one request."""
    request = urllib.request.Request(
        f"http://{HERE}:{port}/v1/completions",
        json.dumps(
            {
                "prompt": prompt,
                "max_tokens": osl,
                "stream": True,
                "ignore_eos": True,
                "temperature": 0,
                "cache_prompt": False,
            }
        ).encode(),
        {"Content-Type": "application/json"},
    )
    start, arrived = time.monotonic(), []
    with urllib.request.urlopen(request, timeout=RUN_SECONDS) as answer:
        for line in answer:
            if line.startswith(b"data: {") and json.loads(line[6:])["choices"]:
                arrived.append(time.monotonic())
    arrived = arrived[:osl]
    return arrived[0] - start, arrived[-1] - arrived[0], len(arrived)


def version_of(server: Server, engine: str) -> str:
    """The engine's version as it says it."""
    if engine == "vllm":
        return run([server.python, "-c", "import vllm; print(vllm.__version__)"], None, {}).split()[
            -1
        ]
    said = subprocess.run(
        [server.programs / "llama-server", "--version"], capture_output=True, text=True, check=False
    )
    return (said.stderr + said.stdout).partition("version:")[2].strip().splitlines()[0]


def run(command: list[Any], folder: Path | None, more: Mapping[str, str]) -> str:
    """Run a program to its end; what it printed.

    Raises:
        DataError: it failed; with its last words.
    """
    done = subprocess.run(
        [str(word) for word in command],
        cwd=folder,
        env={**os.environ, **more},
        capture_output=True,
        text=True,
        check=False,
        timeout=RUN_SECONDS,
    )
    if done.returncode:
        raise DataError(
            f"{command[0]} ended with {done.returncode}: {(done.stderr or done.stdout)[-600:]}",
            hint="see its words",
        )
    return done.stdout
