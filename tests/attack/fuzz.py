"""Attack every entrance for minutes: guided by coverage (atheris), or with random tapes.

    python tests/attack/fuzz.py --seconds 120 [--entrance gguf] [--engine random] [--seed 7]
    python tests/attack/fuzz.py --seconds 120 --entrance fleet --keep  # renews tests/attack/corpus
    python tests/attack/fuzz.py --coverage                  # lines of the readers that are reached

Prints a line an entrance: executions, samples taken and refused, distinct failures with their
tape (for ``FOUND`` in test_entrances.py), edges of the readers before and after. Seconds are those
of the CPU. Exit status 1 where something failed. Atheris ends the process that it runs in, so every
entrance has a process of its own. Corpora are seeds.
"""

import argparse
import collections
import importlib
import os
import random
import re
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path

HERE = Path(__file__).resolve()
sys.path[:0] = [str(HERE.parents[1]), str(HERE.parents[2])]
COVERED = re.compile(r"#\d+\s+(INITED|NEW|REDUCE|pulse|DONE|RELOAD)\s+cov: (\d+)")
DRAWN = 40
"""Random tapes that stand for what `make test` draws."""


class Tally:
    """What happened to one entrance so far; failures by the place they came from."""

    def __init__(self, name: str, seconds: float) -> None:
        from support.corpora import ATTACKS

        self.name, self.attack = name, ATTACKS[name]
        self.ends = time.process_time() + seconds
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
                frames = [
                    f
                    for f in traceback.extract_tb(error.__traceback__)
                    if "/planner/" in f.filename
                ]
                place = (
                    f"{frames[-1].filename.split('/planner/')[-1]}:{frames[-1].lineno}"
                    if frames
                    else str(error)[:80]
                )
                self.places[f"{type(error).__name__} at {place}"] += 1
                if self.places[f"{type(error).__name__} at {place}"] == 1:
                    print(
                        f"FAILED {self.name} {data.hex()} {type(error).__name__} at {place}: "
                        f"{str(error)[:300]}",
                        flush=True,
                    )
        self.slowest = max(self.slowest, time.process_time() - begun)

    @property
    def over(self) -> bool:
        """Whether its time is spent."""
        return time.process_time() >= self.ends

    def line(self) -> str:
        """The tally as one line."""
        total = self.taken + self.refused + self.failed
        return (
            f"{self.name}: {total} executions, {self.taken} taken, {self.refused} refused, "
            f"{len(self.places)} kinds of failure, slowest {self.slowest:.2f} s of CPU time"
        )


def with_random_tapes(tally: Tally, seed: int) -> None:
    """Tapes of up to 60 random bytes until the time is up."""
    draw = random.Random(seed)
    tally.run(b"")
    while not tally.over:
        tally.run(draw.randbytes(draw.choice((6, 12, 24, 60))))


def with_coverage(name: str, options: argparse.Namespace) -> None:
    """libFuzzer chooses the tapes by what they reach in the readers; does not return."""
    import atheris

    readers = modules(name)
    others = sorted(
        {module_name(path) for path in (HERE.parents[2] / "planner").rglob("*.py")} - set(readers)
    )
    with atheris.instrument_imports(include=["planner"], exclude=others):
        for module in readers:  # what is imported later is not instrumented
            importlib.import_module(module)
    tally = Tally(name, options.seconds)

    def attack(data: bytes) -> None:
        tally.run(data)
        if tally.over:  # libFuzzer would end the process without a word
            print(tally.line(), flush=True)
            os._exit(1 if tally.failed else 0)

    atheris.Setup(
        [
            sys.argv[0],
            options.corpus,
            f"-seed={options.seed or 1}",
            "-max_len=96",
            "-rss_limit_mb=3000",
            "-timeout=60",
            "-verbosity=1",
            "-len_control=20",
            "-print_final_stats=0",
        ],
        attack,
    )
    atheris.Fuzz()


def modules(name: str) -> list[str]:
    """Modules that guide the fuzzer: the entrance's readers, else what the command line imports."""
    from support.corpora import READERS

    found = []
    files = (HERE.parents[2] / "planner").rglob("*.py")
    for module in sorted(map(module_name, files)):
        short = module.removeprefix("planner.")
        if any(short == one or short.startswith(one + ".") for one in READERS.get(name, ("",))):
            found.append(module)
    return found or ["planner.planning.modes.plan", "planner.cli.main"]


def module_name(path: Path) -> str:
    """The name of a file of the package."""
    parts = path.relative_to(HERE.parents[2]).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def one(name: str, options: argparse.Namespace) -> int:
    """Attack one entrance in this process."""
    from support import laws

    laws.judges_time = True
    warnings.simplefilter("error")
    if options.engine == "atheris":
        with_coverage(name, options)
    tally = Tally(name, options.seconds)
    with_random_tapes(tally, options.seed)
    print(tally.line(), flush=True)
    return 1 if tally.failed else 0


def attacked(name: str, options: argparse.Namespace) -> bool:
    """Attack one entrance in a process of its own, from its corpus; whether something failed."""
    from support.corpora import enough, keep, kept

    failed = False
    with tempfile.TemporaryDirectory() as scratch:
        corpus = Path(options.found or scratch) / name
        corpus.mkdir(parents=True, exist_ok=True)
        for n, tape in enumerate(kept(name)):
            (corpus / f"kept-{n}").write_bytes(tape)
        if options.seconds > 0:
            failed = run_apart(name, options, corpus)
        if options.keep:
            keep(name, enough(name, [b"", *(path.read_bytes() for path in corpus.iterdir())])[0])
    return failed


def run_apart(name: str, options: argparse.Namespace, corpus: Path) -> bool:
    """Run an entrance's attacks in another process and print what it tells; whether it failed."""
    done = subprocess.run(
        [
            sys.executable,
            str(HERE),
            "--here",
            "--entrance",
            name,
            "--seconds",
            str(options.seconds),
            "--engine",
            options.engine,
            "--seed",
            str(options.seed),
            "--corpus",
            str(corpus),
        ],
        check=False,
        text=True,
        stderr=subprocess.STDOUT,
        stdout=subprocess.PIPE,
        errors="replace",
    )
    shown = [line for line in done.stdout.splitlines() if line.startswith((name, "FAILED"))]
    edges = [int(found[2]) for found in COVERED.finditer(done.stdout)]
    if edges and shown:
        shown[-1] += f", {edges[0]} edges of the readers before, {edges[-1]} after"
    print("\n".join(shown) or done.stdout[-3000:], flush=True)
    return done.returncode != 0 or any(line.startswith("FAILED") for line in shown)


def covered(name: str) -> str:
    """Lines of the readers' functions: reached by samples that nothing damages, with random tapes
    as `make test` draws them, and with the corpus."""
    from support.corpora import enough, kept, lines_of, reader_files

    draw = random.Random(0)
    drawn = [draw.randbytes(draw.randint(4, 40)) for _ in range(DRAWN)]
    inside = len(lines_of(reader_files(name)))
    found: set[tuple[str, int]] = set()
    counts = " → ".join(
        str(len(found := found | enough(name, tapes)[1])) for tapes in ([b""], drawn, kept(name))
    )
    return f"{name}: lines of the readers' functions {counts} of {inside}"


def main() -> int:
    """Attack every entrance, each in a process."""
    parser = argparse.ArgumentParser(description="Attack the entrances.")
    parser.add_argument("--seconds", type=float, default=120, help="of CPU time, per entrance")
    parser.add_argument("--entrance", action="append")
    parser.add_argument("--engine", choices=("atheris", "random"), default="atheris")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--found",
        metavar="DIR",
        help="keep every tape that reached something new, for a longer run to go on with",
    )
    parser.add_argument("--keep", action="store_true", help="renew the corpora of the repository")
    parser.add_argument("--coverage", action="store_true", help="only count lines that are reached")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--corpus", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.here:
        return one(options.entrance[0], options)
    from support.corpora import ATTACKS, READERS

    if options.coverage:
        for name in options.entrance or READERS:
            print(covered(name), flush=True)
        return 0
    return 1 if sum(attacked(name, options) for name in options.entrance or ATTACKS) else 0


if __name__ == "__main__":
    sys.exit(main())
