"""CPU seconds of a random sample of the hundred thousand questions, part by part.

``python -m benchmarks.scale.sample --seconds 600 --out FILE.jsonl`` takes pairs of model and device
at random and answers three parts of each (chunks of the sweep, what a task of Dask is), one after
the other from a random one on: the first finds nothing that another part of its pair has left
behind (cold), the others do (warm). A line a part: its place, questions, CPU seconds, bytes of the
task, of the result and of its line in the journal. It stops after so many CPU seconds; the sample
is random wherever it does.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"

from planner.jobs.journal import _line  # noqa: E402
from planner.sweeping.chunks import ChunkTask, answer_chunk  # noqa: E402
from planner.sweeping.read import read_sweep  # noqa: E402
from planner.sweeping.run import Sweep, _parcels  # noqa: E402

RUN = 3
FILE = Path(__file__).with_name("hundred-thousand.toml")


def main() -> int:
    """Sample until the time is over."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    begun = time.process_time()
    sweep = Sweep(read_sweep(FILE).asks).resolve()
    tasks = list(_parcels(sweep, sweep.chunks))
    with given.out.open("w", encoding="utf-8") as out:
        head = {
            "questions": len(sweep.asks),
            "parts": len(tasks),
            "read_seconds": time.process_time() - begun,
        }
        out.write(json.dumps(head) + "\n")
        begun = time.process_time()
        for place, first in _order(sweep, random.Random(given.seed)):
            if time.process_time() - begun > given.seconds:
                break
            out.write(json.dumps({**_measured(place, sweep, tasks), "cold": first}) + "\n")
            out.flush()
    return 0


def _order(sweep: Sweep, draw: random.Random) -> Iterator[tuple[int, bool]]:
    """(place of a part, whether it is the first of its pair), in the order of answering."""
    pairs: dict[tuple[str, str], list[int]] = {}
    for place, chunk in enumerate(sweep.chunks):
        pairs.setdefault(sweep.names(sweep.asks[chunk.places[0]]), []).append(place)
    for pair in draw.sample(list(pairs), len(pairs)):
        start = draw.randrange(len(pairs[pair]) - RUN + 1)
        for n, place in enumerate(pairs[pair][start : start + RUN]):
            yield place, n == 0


def _measured(place: int, sweep: Sweep, tasks: Sequence[ChunkTask]) -> dict[str, object]:
    from pickle import dumps

    task, chunk = tasks[place], sweep.chunks[place]
    begun = time.process_time()
    record = answer_chunk(task)
    seconds = time.process_time() - begun
    model, device = sweep.names(sweep.asks[chunk.places[0]])
    states: dict[str, int] = {}
    for state in record["rows"]["status"]:
        states[state] = states.get(state, 0) + 1
    return {
        "place": place,
        "model": model,
        "device": device,
        "questions": len(chunk.places),
        "seconds": round(seconds, 5),
        "task_bytes": len(dumps(task)),
        "result_bytes": len(dumps(record)),
        "journal_bytes": len(_line(record)),
        **states,
    }


if __name__ == "__main__":
    sys.exit(main())
