"""Programs of an engine: started, limited in time, and ended with all their children."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from planner.base.errors import DataError
from planner.base.records import record
from planner.base.system import children_seconds, end_group

TAIL = 400
"""Characters of a program's last words in an error."""


class EngineFailedError(DataError):
    """A program of the engine ended badly, hung, or wrote what cannot be read."""


@record
class Execution:
    """What a program printed; ``seconds`` it took, ``cpu_seconds`` of processor time it got."""

    stdout: str
    stderr: str
    seconds: float
    cpu_seconds: float


def run(
    command: Sequence[str],
    *,
    what: str,
    limit_seconds: float,
    log: Path | None = None,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
    accept: Sequence[int] = (0,),
) -> Execution:
    """Run ``command`` to its end; its output is kept in ``log``, where one is given. ``accept``
    are the exit codes of a good end.

    Raises:
        EngineFailedError: it cannot be started, ends with an error, or takes longer than the limit;
            the message has its last words.
    """
    start, used = time.monotonic(), children_seconds()
    try:
        process = subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            cwd=folder,
            env={**os.environ, **environment} if environment else None,
        )
    except OSError as error:
        raise EngineFailedError(
            f"{what}: {command[0]} cannot be started: {error.strerror}",
            hint="is it a program for this machine?",
        ) from None
    try:
        out, err = process.communicate(timeout=limit_seconds)
    except subprocess.TimeoutExpired:
        ran = _execution(*_end(process), start, used)
        _keep(log, command, ran)
        raise EngineFailedError(
            f"{what}: {Path(command[0]).name} did not end within {limit_seconds:.0f} s and was "
            "stopped" + _last_words(ran),
            hint="raise --step-seconds, or ask for fewer tokens "
            "(--prompt-tokens, --output-tokens, --chunks); "
            + _where(log)
            + "what was measured is kept",
        ) from None
    except BaseException:
        _end(process)
        raise
    ran = _execution(out, err, start, used)
    _keep(log, command, ran)
    if process.returncode not in accept:
        raise EngineFailedError(
            f"{what}: {Path(command[0]).name} {_ended(process.returncode)}" + _last_words(ran),
            hint=_hint(ran, log),
        )
    return ran


def busy(done: Execution, threads: int) -> float:
    """Share of its threads' time that the program did not get; load and start-up count as lost, so
    that a short run seems busier than it was."""
    return max(0.0, 1.0 - done.cpu_seconds / max(done.seconds * threads, 1e-9))


def _execution(out: bytes, err: bytes, start: float, used: float) -> Execution:
    return Execution(
        out.decode("utf-8", "replace"),
        err.decode("utf-8", "replace"),
        time.monotonic() - start,
        children_seconds() - used,
    )


def _end(process: subprocess.Popen[bytes]) -> tuple[bytes, bytes]:
    """Stop the program and its children, which have a session of their own; what was printed."""
    end_group(process)
    return process.communicate()


def _ended(code: int) -> str:
    if code < 0:
        try:
            return f"was ended by {signal.Signals(-code).name}"
        except ValueError:
            return f"was ended by signal {-code}"
    return f"ended with {code}"


def _last_words(done: Execution) -> str:
    lines = [line.strip() for line in (done.stderr or done.stdout).splitlines() if line.strip()]
    error_lines = [
        line for line in lines if "error" in line.lower() or "fail" in line.lower()
    ] or lines
    return f": {' '.join(error_lines[-2:])[-TAIL:]}" if error_lines else ""


def _hint(done: Execution, log: Path | None) -> str:
    if "No space left" in done.stderr + done.stdout:
        return "make room and run the same command again: it goes on from there"
    return _where(log) + "what was measured is kept, and the same command goes on from there"


def _where(log: Path | None) -> str:
    return f"all of its output is in {log}; " if log is not None and log.is_file() else ""


def _keep(log: Path | None, command: Sequence[str], done: Execution) -> None:
    """Write the log; a disk that is full must not hide what the program said."""
    if log is None:
        return
    try:
        log.write_text(
            "$ " + " ".join(command) + "\n" + done.stdout + "\n" + done.stderr,
            encoding="utf-8",
            newline="\n",
        )
    except OSError:
        return
