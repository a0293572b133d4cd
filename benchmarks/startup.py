"""CPU time of starting the command, beside a yardstick measured in the same run.

Each figure is the least user + system time of several runs of a child process, and the runs of a
command and of its yardstick take turns, so that a busy machine disturbs both alike. The ratio is
what can be compared between machines. Bytecode is kept in a folder of the run's own, as an
installation keeps it, whatever the environment says about writing it.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

PLAN = str(Path(sys.executable).parent / "plan")
RUNS = 5
ONE_THREAD = "import os; os.environ['OPENBLAS_NUM_THREADS'] = '1'; "
"""As the command does, so that no idle threads of BLAS spin in the yardstick."""
TWO_COMMANDS = """\
import click


@click.group()
def main():
    "Two commands."


@main.command()
@click.option("--name", default="world")
def hello(name):
    "Greet."
    click.echo(name)


@main.command()
def bye():
    "Leave."
    click.echo("bye")


main()
"""


@dataclass(frozen=True, slots=True)
class Case:
    """A command, its yardstick, and the targets: CPU seconds and ratio to the yardstick (inf:
    none)."""

    name: str
    command: tuple[str, ...]
    yardstick_name: str
    yardstick: tuple[str, ...]
    target_seconds: float
    target_ratio: float


@dataclass(frozen=True, slots=True)
class Result:
    """Least CPU seconds of a case's command and of its yardstick."""

    case: Case
    seconds: float
    yardstick_seconds: float

    @property
    def ratio(self) -> float:
        """Command over yardstick."""
        return self.seconds / self.yardstick_seconds

    @property
    def met(self) -> bool:
        """Whether both targets are met."""
        return self.seconds <= self.case.target_seconds and self.ratio <= self.case.target_ratio


def cpu_seconds(command: Sequence[str], folder: Path) -> float:
    """User + system time of one run of ``command`` [s].

    Raises:
        RuntimeError: the command failed; its time would mean nothing.
    """
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(folder / "bytecode")}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} ended with status {process.returncode}")
    return usage.ru_utime + usage.ru_stime


def measure(case: Case, runs: int, folder: Path) -> Result:
    """Run the command and the yardstick in turn, after one run of each that is not counted."""
    commands = (case.command, case.yardstick)
    for command in commands:
        cpu_seconds(command, folder)
    times = [[cpu_seconds(command, folder) for command in commands] for _ in range(runs)]
    seconds, yardstick_seconds = (min(column) for column in zip(*times, strict=True))
    return Result(case, seconds, yardstick_seconds)


def cases(script: Path) -> tuple[Case, ...]:
    """What is measured; ``script`` holds the click yardstick."""
    stack = (sys.executable, "-c", ONE_THREAD + "import numpy, pydantic, highspy")
    question = ("deepseek-v3", "h100-sxm", "--context", "131072")
    return (
        Case(
            "plan --help",
            (PLAN, "--help"),
            "two click commands --help",
            (sys.executable, str(script), "--help"),
            0.080,
            1.6,
        ),
        Case(
            "plan deepseek-v3 h100-sxm",
            (PLAN, *question),
            "import numpy, pydantic, highspy",
            stack,
            0.6,
            3.0,
        ),
        Case(
            "plan deepseek-v3 h100-sxm --untie",
            (PLAN, *question, "--untie"),
            "import numpy, pydantic, highspy",
            stack,
            1.5,
            float("inf"),
        ),
        Case(
            "plan estimate deepseek-v3 h100-sxm",
            (
                PLAN,
                "estimate",
                "deepseek-v3",
                "h100-sxm",
                "--scheme",
                "fp8-block",
                "--devices",
                "16",
                "--context",
                "8192",
            ),
            "import numpy, pydantic",
            (sys.executable, "-c", ONE_THREAD + "import numpy, pydantic"),
            1.0,
            2.0,
        ),
    )


def table(results: Sequence[Result]) -> str:
    """The results as aligned text."""
    rows = [("command", "CPU ms", "target", "yardstick", "CPU ms", "ratio", "target", "")]
    rows += [
        (
            r.case.name,
            f"{r.seconds * 1e3:.0f}",
            f"{r.case.target_seconds * 1e3:.0f}",
            r.case.yardstick_name,
            f"{r.yardstick_seconds * 1e3:.0f}",
            f"{r.ratio:.2f}",
            f"{r.case.target_ratio:.1f}".replace("inf", "-"),
            "met" if r.met else "MISSED",
        )
        for r in results
    ]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    left = {0, 3, 7}
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i in left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def main() -> int:
    """Measure and print; 1 where a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, default=RUNS, help="runs of each command (default 5)")
    runs = max(1, parser.parse_args().runs)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        script = folder / "two_commands.py"
        script.write_text(TWO_COMMANDS, encoding="utf-8")
        results = [measure(case, runs, folder) for case in cases(script)]
    print(f"least of {runs} runs, Python {sys.version.split()[0]}")
    print(table(results))
    return 0 if all(r.met for r in results) else 1


if __name__ == "__main__":
    sys.exit(main())
