"""Ctrl-C: exit code 130 and one word, whatever a command is doing; SIGTERM and SIGHUP the same
with 143 and 129. How soon is measured by benchmarks/interrupts.py, random moments are those of
benchmarks/interrupts_random.py; here nothing depends on the speed of the machine."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from support.checkpoints import llama_config, llama_tensors, write_safetensors

from planner.jobs.journal import _parse

ROOT = Path(__file__).resolve().parents[2]

PATIENCE = 3600.0
"""Seconds after which a command that has not got to its work hangs, and fails the test."""

SWEEP = """title = "Many plans"
[[grid]]
model = ["deepseek-v3", "qwen3-235b-a22b"]
device = ["h100-sxm", "h200-sxm", "b200-sxm"]
context = [4096, 8192, 16384, 32768, 65536]
osl = [256, 512, 1024]
objective = ["throughput", "latency"]
"""

BIG = ["deepseek-v3", "h100-sxm", "--context", "131072"]

Works = Callable[[int, Path], bool]

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/maps").exists(), reason="what a process does is seen in /proc"
)


def loaded(library: str) -> Works:
    """The process has loaded a library of this name."""
    return lambda pid, folder: library in Path(f"/proc/{pid}/maps").read_text()


def helped(pid: int, folder: Path) -> bool:
    """The process has two workers, which have loaded what they need."""
    found = [
        int(name)
        for task in Path(f"/proc/{pid}/task").iterdir()
        for name in (task / "children").read_text().split()
    ]
    return sum("numpy" in Path(f"/proc/{one}/maps").read_text() for one in found) >= 2


def kept(pid: int, folder: Path) -> bool:
    """A journal holds something."""
    return any(path.read_bytes().count(b"\n") > 1 for path in folder.glob("*.journal"))


def begun(pid: int, folder: Path) -> bool:
    """A journal is there."""
    return any(folder.glob("*.journal"))


COMMANDS: dict[str, tuple[list[str], Works]] = {
    "plan --untie": (["glm-5-fp8", "b200-sxm", "--untie"], loaded("highs")),
    "explain": (["explain", *BIG], loaded("highs")),
    "frontier": (["frontier", *BIG, "--points", "400", "--map"], loaded("highs")),
    "--interactive": ([*BIG, "--report", "r.html", "--interactive"], helped),
    "--interactive, before its workers": ([*BIG, "--report", "r.html", "--interactive"], begun),
    "sweep": (["sweep", "q.toml", "-o", "q.csv"], begun),
    "sweep --workers": (["sweep", "q.toml", "-o", "q.csv", "--workers", "2"], begun),
    "sweep --cluster": (
        ["sweep", "q.toml", "-o", "q.csv", "--workers", "2", "--cluster", "local"],
        begun,
    ),
    "profile": (["profile", "CHECKPOINT", "-o", "p.json", "--workers", "1"], begun),
    "profile --workers": (["profile", "CHECKPOINT", "-o", "p.json", "--workers", "2"], begun),
    "numerics": (
        [
            "numerics",
            "deepseek-v3",
            "--module",
            "attention-out",
            "--tokens",
            "4096",
            "--outputs",
            "4096",
        ],
        loaded("numpy"),
    ),
    "validate": (["validate"], loaded("numpy")),
    "claims": (["claims"], loaded("numpy")),
}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint that takes a while to measure."""
    place = tmp_path_factory.mktemp("checkpoint")
    config = llama_config(
        hidden_size=1024,
        intermediate_size=2816,
        num_hidden_layers=3,
        num_attention_heads=16,
        num_key_value_heads=4,
        head_dim=64,
        vocab_size=2048,
    )
    (place / "config.json").write_text(json.dumps(config), encoding="utf-8")
    write_safetensors(
        place / "model.safetensors",
        {
            name: ("BF16", (value.view(np.uint32) >> 16).astype(np.uint16))
            for name, value in llama_tensors(config).items()
        },
    )
    return place


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a sweep and nothing else."""
    (tmp_path / "q.toml").write_text(SWEEP, encoding="utf-8")
    return tmp_path


def until(what: Callable[[], bool]) -> bool:
    ends = time.monotonic() + PATIENCE
    while time.monotonic() < ends:
        try:
            if what():
                return True
        except (FileNotFoundError, ProcessLookupError):
            pass
        time.sleep(0.01)
    return False


def start(arguments: list[str], folder: Path) -> subprocess.Popen[bytes]:
    """The command in a session of its own, as a terminal starts it."""
    return subprocess.Popen(
        [sys.executable, "-m", "planner", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        preexec_fn=heard,
    )


def heard() -> None:
    """Ctrl-C is heard also where these tests run in the background of a shell, which ignores it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for one in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(one, signal.SIG_DFL)


@pytest.mark.sample(1)
@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_ends(name: str, folder: Path, request: pytest.FixtureRequest) -> None:
    arguments, works = COMMANDS[name]
    if "CHECKPOINT" in arguments:
        arguments = [arguments[0], str(request.getfixturevalue("checkpoint")), *arguments[2:]]
    child = start(arguments, folder)
    assert until(lambda: child.poll() is not None or works(child.pid, folder)), "it never worked"
    assert child.poll() is None, child.communicate()
    os.killpg(child.pid, signal.SIGINT)
    out, err = child.communicate()
    assert child.returncode == 130, err.decode()
    assert err.split() == [b"interrupted"], err.decode()
    assert out == b""
    left = {path.name for path in folder.iterdir()}
    assert left <= {"q.toml", "q.csv.journal", "p.json.journal", "r.html.journal"}
    for path in folder.glob("*.journal"):
        *lines, rest = path.read_bytes().split(b"\n")
        assert rest == b""
        assert all(_parse(line) is not None for line in lines)
    assert until(lambda: nobody_in(child.pid)), "a worker outlives the command"


def nobody_in(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.mark.sample(1)
@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_what_measures_ends_with_the_command(sent: signal.Signals, folder: Path) -> None:
    """It has a session of its own, which neither `kill` nor a terminal that is closed reaches."""
    child = start(["measure", "--quick", "--only", "bandwidth", "-o", "m"], folder)
    assert until(lambda: child.poll() is not None or bool(workers_of(child.pid)))
    workers = workers_of(child.pid)
    assert workers, child.communicate()
    child.send_signal(sent)
    out, err = child.communicate()
    assert child.returncode == 128 + sent, err.decode()
    assert err.decode().split("\n")[-2:] == [
        "interrupted" if sent == signal.SIGINT else f"ended by {sent.name}",
        "",
    ]
    assert out == b""
    assert not (folder / "m" / ".reserved").exists()
    assert until(lambda: not any(Path(f"/proc/{one}").exists() for one in workers))


def workers_of(pid: int) -> list[int]:
    """Processes that a process has started and that are no longer copies of it."""
    found = [
        int(name)
        for task in Path(f"/proc/{pid}/task").iterdir()
        for name in (task / "children").read_text().split()
    ]
    return [one for one in found if b"worker" in Path(f"/proc/{one}/cmdline").read_bytes()]


def test_a_program_that_was_just_started_does_not_outlive_the_command() -> None:
    """The signal came before anybody could tell which process it is."""
    program = "import time; time.sleep(20); print('outlived')"
    script = (
        "import subprocess, sys; from planner.cli.interrupt import leave; "
        f"subprocess.Popen([sys.executable, '-c', {program!r}], start_new_session=True); "
        "leave()"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.DEVNULL,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (130, b"")


@pytest.mark.exhaustive
def test_the_process_alone_is_told(folder: Path) -> None:
    """`kill -INT` does not reach the workers; they end with the command."""
    child = start(COMMANDS["sweep --workers"][0], folder)
    assert until(lambda: helped(child.pid, folder))
    child.send_signal(signal.SIGINT)
    assert child.communicate()[1].split() == [b"interrupted"]
    assert child.returncode == 130
    assert until(lambda: nobody_in(child.pid))


@pytest.mark.exhaustive
def test_what_was_interrupted_goes_on(folder: Path) -> None:
    (folder / "q.toml").write_text(
        'title = "Some plans"\n[[grid]]\nmodel = "llama-3.2-1b"\ndevices = 1\nbatch = 8\n'
        'device = ["h100-sxm", "h200-sxm", "l40s"]\ncontext = [2048, 4096, 8192, 16384]\n',
        encoding="utf-8",
    )
    child = start(COMMANDS["sweep"][0], folder)
    assert until(lambda: kept(child.pid, folder))
    os.killpg(child.pid, signal.SIGINT)
    child.communicate()
    again = start(COMMANDS["sweep"][0], folder)
    _, err = again.communicate()
    assert (child.returncode, again.returncode) == (130, 0)
    assert b"going on after" in err
    table = (folder / "q.csv").read_bytes()
    (folder / "q.csv").unlink()
    whole = start(COMMANDS["sweep"][0], folder)
    whole.communicate()
    assert (folder / "q.csv").read_bytes() == table


@pytest.mark.exhaustive
def test_a_what_if_page_goes_on(folder: Path) -> None:
    """After a journal that holds something; the page is that of a run in one piece."""
    page = [
        "llama-3.2-1b",
        "l40s",
        "--devices",
        "1",
        "--report",
        "r.html",
        "--interactive",
        "--grid",
        "devices=1",
        "--grid",
        "engine=vllm,auto",
    ]
    child = start(page, folder)
    assert until(lambda: kept(child.pid, folder))
    os.killpg(child.pid, signal.SIGINT)
    child.communicate()
    again = start(page, folder)
    _, err = again.communicate()
    assert (child.returncode, again.returncode) == (130, 0)
    assert b"note: going on after " in err
    made = (folder / "r.html").read_bytes()
    assert not (folder / "r.html.journal").exists()
    whole = start([*page, "--no-resume"], folder)
    _, err = whole.communicate()
    assert b"going on" not in err
    assert (folder / "r.html").read_bytes() == made


STUCK = """
import ctypes, sys, threading
from pathlib import Path
from planner.cli import main as module
import planner.cli.main
from planner.base.atomic_files import draft
cli = sys.modules["planner.cli.main"]

def stuck(words):
    with draft(Path({half!r})):
        Path({half!r}).write_text("half")
        print("working", flush=True)
        libc = ctypes.CDLL(None)
        while True:
            libc.sleep(100)  # as a library does that hears of no signal: it goes on waiting

cli.run = {run}
module([])
"""


@pytest.mark.exhaustive
def test_a_library_that_does_not_return_is_not_waited_for(tmp_path: Path) -> None:
    half = tmp_path / ".half"
    script = STUCK.format(half=str(half), run="lambda words: _block(stuck)")
    script = script.replace(
        "cli.run",
        """def _block(work):
    import signal
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])  # the main thread never sees it
    work([])

cli.run""",
    )
    child = subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert child.stdout is not None
    assert child.stdout.readline() == b"working\n"
    os.killpg(child.pid, signal.SIGINT)
    _, err = child.communicate()
    assert child.returncode == 130
    assert err == b"interrupted\n"
    assert not half.exists()


@pytest.mark.exhaustive
def test_an_ignored_interrupt_stays_ignored(tmp_path: Path) -> None:
    """As under nohup, or behind & in a script."""
    script = (
        f'trap "" INT; exec "{sys.executable}" -m planner llama-3.1-8b h100-sxm --devices 1 --quiet'
    )
    child = subprocess.Popen(
        ["bash", "-c", script],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    until(lambda: child.poll() is not None or loaded("numpy")(child.pid, tmp_path))
    if child.poll() is None:
        os.killpg(child.pid, signal.SIGINT)
    out, err = child.communicate()
    assert (child.returncode, err) == (0, b"")
    assert b"tokens/s" in out


def test_an_interrupt_before_the_thread_that_watches_is_there_says_the_same(tmp_path: Path) -> None:
    script = """
import os, signal, threading
from planner.cli.main import main
start = threading.Thread.start
def interrupted(thread):
    start(thread)
    os.kill(os.getpid(), signal.SIGINT)
threading.Thread.start = interrupted
main(["devices"])
"""
    ran = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (130, "", "interrupted\n")
