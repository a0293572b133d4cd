"""``python -m evaluation.schedulers``: record what engines' schedulers form, compare it with ours.

An engine is run where its option names it; without any, what was recorded before is compared.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from evaluation.pages import publish
from evaluation.schedulers import golden, llama_server, page
from evaluation.schedulers.compare import DATA, compare
from evaluation.schedulers.golden import Recorded, batch_of
from evaluation.schedulers.traces import Trace, for_sglang, random_trace

HERE = Path(__file__).resolve().parent
SEEDS = range(1, 21)


def record_engine(python: Path, script: str, traces: list[Trace]) -> tuple[str, list[Recorded]]:
    """(version, what the schedulers of an engine in its environment made of traces)."""
    with tempfile.TemporaryDirectory() as folder:
        given, back = Path(folder, "traces.json"), Path(folder, "batches.json")
        given.write_text(json.dumps({trace.name: trace.told() for trace in traces}))
        subprocess.run([python, HERE / script, given, back], check=True)
        answer: dict[str, Any] = json.loads(back.read_text())
    found = []
    for trace in traces:
        for scheduler, made in answer["traces"][trace.name].items():
            batches = tuple(batch_of(batch) for batch in made["batches"])
            found.append(Recorded(trace, scheduler, batches, made["preempted"]))
    return answer["version"], found


def record_llama_server(server: Path, model: Path) -> tuple[str, list[Recorded]]:
    """(version, what llama.cpp's server made of requests at each rate, by its log)."""
    found, build = [], ""
    with tempfile.TemporaryDirectory() as folder:
        for name, (rate, count, seed) in llama_server.RATES.items():
            log = llama_server.serve(server, model, rate, count, seed, Path(folder, name))
            found.append(llama_server.read(name, log))
            build = llama_server.version(log)
    return build, found


def main() -> int:
    """Record, compare, print or write the page."""
    parser = argparse.ArgumentParser(prog="python -m evaluation.schedulers", description=__doc__)
    parser.add_argument("--vllm", type=Path, metavar="PYTHON", help="of an environment with vLLM")
    parser.add_argument("--sglang", type=Path, metavar="PYTHON", help="the same with SGLang")
    parser.add_argument("--llama-server", type=Path, metavar="PROGRAM", help="of llama.cpp")
    parser.add_argument("--build", help="of the program, where it does not know it")
    parser.add_argument("--model", type=Path, metavar="GGUF", help="that it serves")
    parser.add_argument("--write", type=Path, metavar="FILE", help="the page")
    options = parser.parse_args()
    if options.vllm is not None:
        traces = [random_trace(seed) for seed in SEEDS]
        version, found = record_engine(options.vllm, "engine_vllm.py", traces)
        golden.write(DATA / "vllm.json", version, found)
    if options.sglang is not None:
        traces = [for_sglang(random_trace(seed)) for seed in SEEDS[:10]]
        version, found = record_engine(options.sglang, "engine_sglang.py", traces)
        golden.write(DATA / "sglang.json", version, found)
    if options.llama_server is not None:
        version, found = record_llama_server(options.llama_server, options.model)
        golden.write(DATA / "llama.cpp.json", options.build or version, found)
    compared = {}
    for path in sorted(DATA.glob("*.json")):
        version, recorded = golden.read(path)
        compared[path.stem, version] = [compare(one) for one in recorded]
    text = page.page(compared)
    if options.write is None:
        print(text)
    else:
        publish(options.write, text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
