"""Profiling on a Dask cluster: separate worker processes, one of them killed halfway."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from support.checkpoints import write_llama

import planner
from planner.base.errors import DataError, InputError, MissingPackageError
from planner.jobs.journal import Journal
from planner.lab.profiling.profile import profile

pytest.importorskip("distributed", reason="distributed is not installed")
ROOT = Path(planner.__file__).resolve().parents[1]
SCHEMES = ["fp8-block", "nvfp4"]
LAYERS = 4
GONE_AFTER = "3s"
"""How long one looks for a worker that was killed; of itself half a minute."""


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_llama(
        tmp_path_factory.mktemp("models") / "tiny",
        num_hidden_layers=LAYERS,
        hidden_size=128,
        head_dim=32,
        intermediate_size=256,
    )


@contextmanager
def started(*words: str) -> Iterator[subprocess.Popen[bytes]]:
    """A program of distributed, ended with the block."""
    process = subprocess.Popen(
        [sys.executable, "-m", *words],
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "OMP_NUM_THREADS": "1",
            "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": GONE_AFTER,
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def cluster(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """(address, worker processes) of a scheduler and two workers without nannies."""
    folder = tmp_path_factory.mktemp("cluster")
    file = folder / "scheduler.json"
    with ExitStack() as stack:
        scheduler = stack.enter_context(
            started(
                "distributed.cli.dask_scheduler",
                "--host",
                "127.0.0.1",
                "--port",
                "0",
                "--no-dashboard",
                "--scheduler-file",
                str(file),
            )
        )
        while not file.exists() or not file.stat().st_size:
            assert scheduler.poll() is None
            time.sleep(0.05)
        import json

        address = json.loads(file.read_text(encoding="utf-8"))["address"]
        workers = [
            stack.enter_context(
                started(
                    "distributed.cli.dask_worker",
                    address,
                    "--nthreads",
                    "1",
                    "--no-nanny",
                    "--no-dashboard",
                    "--local-directory",
                    str(folder),
                )
            )
            for _ in range(2)
        ]
        yield address, workers


@pytest.mark.exhaustive
def test_with_a_worker_killed_halfway_the_profile_is_that_of_one_process(
    checkpoint: Path,
    cluster: tuple[str, list[subprocess.Popen[bytes]]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    address, workers = cluster
    profile(checkpoint, output=tmp_path / "one", schemes=SCHEMES, workers=1)
    recorded: list[str] = []
    append = Journal.append

    def counted(journal: Journal, record: dict[str, object]) -> None:
        recorded.append(str(record["id"]))
        append(journal, record)

    monkeypatch.setattr(Journal, "append", counted)

    def kill(done: int, total: int, job: object) -> None:
        if done == total // 2:
            workers[0].send_signal(signal.SIGKILL)

    profile(checkpoint, output=tmp_path / "two", schemes=SCHEMES, cluster=address, progress=kill)
    assert workers[0].wait() == -signal.SIGKILL
    assert (tmp_path / "two").read_bytes() == (tmp_path / "one").read_bytes()
    counts = Counter(recorded)
    assert len(counts) == LAYERS * 7
    assert set(counts.values()) == {1}
    assert not list(tmp_path.glob("*.journal*"))


def test_a_checkpoint_that_workers_do_not_see_is_no_unreadable_tensor(
    cluster: tuple[str, list[subprocess.Popen[bytes]]], tmp_path: Path
) -> None:
    from planner.lab.profiling import scan

    address, _ = cluster
    model = write_llama(tmp_path / "gone")
    original = scan.ScanTask

    def elsewhere(job: object, *rest: object) -> object:
        (model / "model.safetensors").unlink(missing_ok=True)
        return original(job, *rest)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scan, "ScanTask", elsewhere)
        with pytest.raises(DataError, match="not on the worker's machine"):
            profile(model, output=tmp_path / "p", schemes=SCHEMES, cluster=address)
    assert not (tmp_path / "p").exists()


def test_workers_and_an_address_exclude_each_other(
    checkpoint: Path, cluster: tuple[str, list[subprocess.Popen[bytes]]], tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="exclude each other"):
        profile(checkpoint, output=tmp_path / "p", schemes=SCHEMES, cluster=cluster[0], workers=2)


def test_without_distributed_the_error_names_the_extra(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(MissingPackageError) as caught:
        profile(checkpoint, cluster="local")
    assert "precision-planner[distributed]" in caught.value.hint
