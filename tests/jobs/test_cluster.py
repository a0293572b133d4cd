"""Dask clusters: scripts without a guard, schedulers that vanish or are none, other versions."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from planner.base.errors import DataError, InputError
from planner.jobs import cluster
from planner.jobs.workers import LostWorkerError, packed, script_hidden, unpacked
from planner.lookup import load_device

distributed = pytest.importorskip("distributed", reason="distributed is not installed")
ROOT = Path(__file__).resolve().parents[2]
SCRIPT = """
import os
from planner.jobs.cluster import connected, on_cluster
print("begins", __name__)
with connected("local", workers=1) as client:
    print(sorted(on_cluster(client, eval, ["1 + 1", "3"])))
    pid = next(iter(client.run(os.getpid).values()))
    os.kill(pid, 9)
    print(list(on_cluster(client, eval, ["5", "__import__('os').getpid()"]))[0], flush=True)
    print(next(iter(client.run(os.getpid).values())) != pid)
"""


@pytest.mark.exhaustive
def test_a_script_without_a_guard_runs_once_though_its_worker_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(script)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert done.stdout.splitlines() == ["begins __main__", "[2, 3]", "5", "True"], done.stderr


def test_a_script_is_hidden_until_the_last_block_ends() -> None:
    main = sys.modules["__main__"]
    first, second = script_hidden(), script_hidden()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert sys.modules["__main__"] is not main
    second.__exit__(None, None, None)
    assert sys.modules["__main__"] is main


@pytest.mark.parametrize("said", [b"SSH-2.0-OpenSSH_9\r\n", b"hi"])
def test_what_speaks_another_protocol_is_no_scheduler(said: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            other, _ = server.accept()
            other.sendall(said)
            other.close()

        threading.Thread(target=answer, daemon=True).start()
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        with (
            pytest.raises(InputError, match="no Dask scheduler"),
            cluster.connected(address, workers=None),
        ):
            pass


def test_what_says_nothing_is_no_scheduler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 0.2)
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        pytest.raises(InputError, match="no Dask scheduler"),
        cluster.connected(f"tcp://127.0.0.1:{server.getsockname()[1]}", workers=None),
    ):
        pass


@pytest.mark.parametrize(
    ("told", "wanted"),
    [
        (("0.1", "1"), None),
        (("9.9", "1"), "9.9"),
        (("0.1", ""), "threads"),
        (("0.1", "4"), "threads"),
    ],
)
def test_who_can_work_for_a_run(told: tuple[str, str], wanted: str | None) -> None:
    found = cluster._unfit(told, "0.1")
    assert (found is None) if wanted is None else (found is not None and wanted in found[0])


def test_a_worker_of_another_version_that_comes_later_is_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    cluster._problem.cache_clear()
    assert cluster._one_at_a_time(abs, cluster.own_version(), -3) == 3
    with pytest.raises(DataError, match=r"came later runs precision-planner .*, this is 9\.9"):
        cluster._one_at_a_time(abs, "9.9", -3)
    cluster._problem.cache_clear()


def test_a_file_that_a_worker_lacks_is_no_lost_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "_problem", lambda version: None)
    with pytest.raises(DataError, match=r"a worker on .*No such file.*nowhere") as told:
        cluster._one_at_a_time(os.stat, "0.2", "/nowhere")
    assert "same path" in told.value.hint
    assert not isinstance(told.value, LostWorkerError)


@pytest.fixture
def scheduler(tmp_path: Path) -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """(address, processes) of a scheduler and a worker of their own."""
    file = tmp_path / "scheduler.json"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    started = []

    def start(*words: str) -> None:
        started.append(
            subprocess.Popen(
                [sys.executable, "-m", *words], env=environment, stderr=subprocess.DEVNULL
            )
        )

    try:
        start(
            "distributed.cli.dask_scheduler",
            "--host",
            "127.0.0.1",
            "--port",
            "0",
            "--no-dashboard",
            "--scheduler-file",
            str(file),
        )
        while not file.exists() or not file.stat().st_size:
            assert started[0].poll() is None
            time.sleep(0.05)
        address = json.loads(file.read_text(encoding="utf-8"))["address"]
        start(
            "distributed.cli.dask_worker",
            address,
            "--nthreads",
            "1",
            "--no-nanny",
            "--no-dashboard",
            "--local-directory",
            str(tmp_path),
        )
        yield address, started
    finally:
        for process in started:
            process.kill()
            process.wait()


@pytest.mark.exhaustive
def test_a_scheduler_that_is_killed_is_told_as_such(
    scheduler: tuple[str, list[subprocess.Popen[bytes]]],
) -> None:
    address, started = scheduler
    landed: list[Any] = []

    def killed_after_twenty() -> None:
        with cluster.connected(address, workers=None) as client:
            for result in cluster.on_cluster(client, abs, range(-400, 0)):
                landed.append(result)
                if len(landed) == 20:
                    started[0].send_signal(signal.SIGKILL)

    with pytest.raises(LostWorkerError, match="the cluster is gone") as caught:
        killed_after_twenty()
    assert "start it again" in caught.value.hint
    assert 20 <= len(landed) < 400


@pytest.mark.exhaustive
def test_results_come_once_each_and_workers_are_counted_now_and_then(
    scheduler: tuple[str, list[subprocess.Popen[bytes]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "COUNTED_SECONDS", 1e9)
    counted = []
    original = cluster._threads
    monkeypatch.setattr(cluster, "_threads", lambda client: counted.append(1) or original(client))
    with cluster.connected(scheduler[0], workers=None) as client:
        found = sorted(cluster.on_cluster(client, abs, range(100)))
    assert found == list(range(100))
    assert counted == [1]


class StillClient:
    """A cluster on which nothing ends, with its workers as the scheduler tells them."""

    status = "running"

    def __init__(self, *workers: dict[str, Any]) -> None:
        self.workers, self.asked = dict(enumerate(workers)), 0

    def scheduler_info(self, **_: object) -> dict[str, Any]:
        self.asked += 1
        if self.asked == 20:
            self.status = "closed"
        return {"workers": self.workers}


PAUSED = {"status": "paused", "memory_limit": 110_000_000, "metrics": {"task_counts": {"ready": 1}}}


@pytest.mark.parametrize(
    ("workers", "message"),
    [
        ((), "has had no worker for"),
        ((PAUSED, PAUSED), r"their memory is full \(limit 110 MB\)"),
        ((PAUSED, {"status": "running"}), "the cluster is gone"),
        (({**PAUSED, "metrics": {"task_counts": {"executing": 1}}},), "the cluster is gone"),
    ],
)
def test_workers_that_take_nothing_are_waited_for_a_while(
    workers: tuple[dict[str, Any], ...], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "LOOK_SECONDS", 0.001)
    monkeypatch.setattr(cluster, "IDLE_SECONDS", 0.0)
    with pytest.raises(LostWorkerError, match=message):
        cluster._landed(StillClient(*workers), cluster.SimpleQueue())


def test_what_is_sent_along_is_compressed_and_the_same() -> None:
    device = load_device("b200-sxm")
    content = packed(device)
    assert len(content) < 60_000
    assert unpacked(content) == device
    assert unpacked(bytes(content)) is unpacked(content)
