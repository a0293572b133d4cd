"""Attack every entrance for minutes: guided by coverage (atheris), or with random tapes.

    python tests/attack/fuzz.py --seconds 120 [--entrance gguf] [--engine random] [--seed 7]

Prints a line an entrance: executions, samples taken and refused, distinct failures with their tape
(for ``FOUND`` in test_entrances.py). Exit status 1 where something failed. Atheris ends the process
that it runs in, so every entrance has a process of its own.
"""

import argparse
import collections
import os
import random
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path

HERE = Path(__file__).resolve()
sys.path[:0] = [str(HERE.parents[1]), str(HERE.parents[2])]


class Tally:
    """What happened to one entrance so far; failures by the place they came from."""

    def __init__(self, name: str, seconds: float) -> None:
        from support.entrances import ENTRANCES

        self.name, self.attack = name, ENTRANCES[name]
        self.ends = time.monotonic() + seconds
        self.taken = self.refused = self.failed = 0
        self.slowest = 0.0
        self.places: collections.Counter[str] = collections.Counter()

    def run(self, data: bytes) -> None:
        """One attack; a failure is printed with its tape the first time its place is seen."""
        from support.tape import Tape

        begun = time.process_time()
        with tempfile.TemporaryDirectory() as folder:
            try:
                if self.attack(Tape(data), Path(folder)):
                    self.taken += 1
                else:
                    self.refused += 1
            except Exception as error:
                self.failed += 1
                frames = [f for f in traceback.extract_tb(error.__traceback__)
                          if "/planner/" in f.filename]
                place = f"{frames[-1].filename.split('/planner/')[-1]}:{frames[-1].lineno}" \
                    if frames else str(error)[:80]
                self.places[f"{type(error).__name__} at {place}"] += 1
                if self.places[f"{type(error).__name__} at {place}"] == 1:
                    print(f"FAILED {self.name} {data.hex()} {type(error).__name__} at {place}: "
                          f"{str(error)[:300]}", flush=True)
        self.slowest = max(self.slowest, time.process_time() - begun)

    def line(self) -> str:
        """The tally as one line."""
        total = self.taken + self.refused + self.failed
        return (f"{self.name}: {total} executions, {self.taken} taken, {self.refused} refused, "
                f"{len(self.places)} kinds of failure, slowest {self.slowest:.2f} s of CPU time")


def with_random_tapes(tally: Tally, seed: int) -> None:
    """Tapes of up to 60 random bytes until the time is up."""
    draw = random.Random(seed)
    tally.run(b"")
    while time.monotonic() < tally.ends:
        tally.run(draw.randbytes(draw.choice((6, 12, 24, 60))))


def with_coverage(tally: Tally, seed: int, seconds: float) -> None:
    """libFuzzer chooses the tapes by what they reach in the package; does not return."""
    import atheris

    with atheris.instrument_imports(include=["planner"]):
        import planner.api.plan
        import planner.cli.main  # noqa: F401

    def attack(data: bytes) -> None:
        tally.run(data)
        if time.monotonic() > tally.ends:  # libFuzzer would end the process without a word
            print(tally.line(), flush=True)
            os._exit(1 if tally.failed else 0)

    tally.ends = time.monotonic() + seconds
    atheris.Setup([sys.argv[0], f"-seed={seed or 1}", "-max_len=80", "-rss_limit_mb=3000",
                   "-timeout=60", "-verbosity=0"], attack)
    atheris.Fuzz()


def one(name: str, options: argparse.Namespace) -> int:
    """Attack one entrance in this process."""
    from support import laws

    laws.judges_time = True
    warnings.simplefilter("error")
    if options.engine == "atheris":
        with_coverage(Tally(name, options.seconds), options.seed, options.seconds)
    tally = Tally(name, options.seconds)
    with_random_tapes(tally, options.seed)
    print(tally.line(), flush=True)
    return 1 if tally.failed else 0


def main() -> int:
    """Attack every entrance, each in a process."""
    parser = argparse.ArgumentParser(description="Attack the entrances.")
    parser.add_argument("--seconds", type=float, default=120, help="per entrance")
    parser.add_argument("--entrance", action="append")
    parser.add_argument("--engine", choices=("atheris", "random"), default="atheris")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.here:
        return one(options.entrance[0], options)
    from support.entrances import ENTRANCES

    failed = 0
    for name in options.entrance or ENTRANCES:
        done = subprocess.run([sys.executable, str(HERE), "--here", "--entrance", name,
                               "--seconds", str(options.seconds), "--engine", options.engine,
                               "--seed", str(options.seed)], check=False,
                              stderr=subprocess.STDOUT, stdout=subprocess.PIPE, text=True)
        shown = [line for line in done.stdout.splitlines() if line.startswith((name, "FAILED"))]
        print("\n".join(shown) or done.stdout[-3000:], flush=True)
        failed += done.returncode != 0 or any(line.startswith("FAILED") for line in shown)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
