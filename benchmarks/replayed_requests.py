"""CPU seconds of 100,000 requests through a scheduler, compiled and as it stands.

    python -m benchmarks.replayed_requests [--requests 100000] [--no-plain]

llama-3.1-8b on an H100 with vLLM, lengths drawn as ShareGPT's, Poisson arrivals at two rates. The
same stream is played by numba (the extra ``fast``; compiled before it is timed) and by plain
Python, and every array of what was served is compared byte by byte. Wanted: at most 10 CPU seconds
and 120.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import fields

import numpy as np

from planner.numerics.engines import Chosen
from planner.planning.question.given_values import NO_LIMIT
from planner.planning.question.input import QuestionInput
from planner.planning.replay.deployment import Replayed, deployed
from planner.planning.serving.serve import assigned
from planner.requests.arrivals import POISSON, arrival_times
from planner.requests.lengths import published_lengths, stream_of
from planner.requests.stream import RequestStream
from planner.scheduler.run import run
from planner.scheduler.served import ServedRequests

RATES = (5.0, 40.0)
"""Requests/s: small batches, and near the most that one device serves."""
SEED = 1


def deployment(stream: RequestStream) -> Replayed:
    """The model on its device, as `plan replay` has it."""
    asked = QuestionInput(
        model="llama-3.1-8b",
        device="h100-sxm",
        engine="vllm",
        devices=1,
        isl=int(stream.input_tokens.mean()),
        osl=int(stream.output_tokens.mean()),
        context=int((stream.input_tokens + stream.output_tokens).max()),
        tpot_seconds=NO_LIMIT,
    )
    return deployed(assigned(asked), stream, "vllm", plan=None, slots_max=None, chunk_tokens=None)


def timed(where: Replayed, stream: RequestStream, engine: Chosen) -> tuple[ServedRequests, float]:
    """(what was served, CPU seconds of this process)."""
    start = time.process_time()
    served = run(stream, where.rules, where.costs, where.policy, seed=SEED, engine=engine)
    return served, time.process_time() - start


def differs(one: ServedRequests, other: ServedRequests) -> list[str]:
    """Names of arrays of which a byte differs."""
    return [
        f.name
        for f in fields(ServedRequests)
        if isinstance(getattr(one, f.name), np.ndarray)
        and getattr(one, f.name).tobytes() != getattr(other, f.name).tobytes()
    ]


def main() -> int:
    """Print a line a rate; 1 where the two runs differ."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--no-plain", action="store_true", help="the compiled run alone")
    options = parser.parse_args()
    wrong = False
    for rate in RATES:
        came = arrival_times(POISSON, rate, options.requests, SEED)
        stream = stream_of(came, published_lengths("sharegpt"), seed=SEED)
        where = deployment(stream)
        few = stream_of(came[:50], published_lengths("sharegpt"), seed=SEED)
        timed(where, few, "numba")  # it is compiled here
        compiled, seconds = timed(where, stream, "numba")
        tokens = int(stream.input_tokens.sum() + stream.output_tokens.sum())
        batch = float(compiled.decoding.mean())
        print(
            f"{options.requests:,} requests at {rate:g}/s, {tokens:,} tokens, "
            f"{len(compiled.pass_seconds):,} passes, batch {batch:.1f}: "
            f"compiled {seconds:.1f} CPU s (wanted 10)",
            end="",
        )
        if not options.no_plain:
            plain, seconds = timed(where, stream, "numpy")
            unequal = differs(compiled, plain)
            wrong = wrong or bool(unequal)
            same = f"differs in {', '.join(unequal)}" if unequal else "every byte the same"
            print(f", plain {seconds:.1f} (wanted 120); {same}", end="")
        print(flush=True)
    return int(wrong)


if __name__ == "__main__":
    sys.exit(main())
