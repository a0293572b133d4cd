"""Whole sweeps: the same bytes in every way of running, after a kill, and on bad targets."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.killed import killed_after, waiting_after

import planner
from planner.base.errors import DataError, InputError
from planner.jobs import cluster
from planner.sweeping import chunks
from planner.sweeping.read import read_sweep
from planner.sweeping.run import Sweep, largest_first

ROOT = Path(planner.__file__).resolve().parents[1]

SWEEP = """
[[grid]]
model = ["qwen2.5-0.5b", "smollm2-135m"]
device = ["l40s", "h100-sxm"]
devices = 1
batch = [2, 8]
context = 4096
[[grid]]
verb = "estimate"
model = "qwen2.5-0.5b"
device = "l40s"
scheme = ["bf16", "fp8-tensor", "nvfp4"]
devices = 1
batch = [1, 2, 4, 64000]
"""

PARTS = 5


@pytest.fixture(scope="module")
def sweep_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sweep") / "s.toml"
    path.write_text(SWEEP, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def told() -> list[tuple[int, int]]:
    """Progress of that run: (done, total), as it was told."""
    return []


@pytest.fixture(scope="module")
def whole(sweep_file: Path, told: list[tuple[int, int]]) -> bytes:
    """The table of a run that nothing disturbed."""
    output = sweep_file.with_name("whole.csv")
    planner.sweep(
        sweep_file, output=output, progress=lambda done, total: told.append((done, total))
    )
    assert not sweep_file.with_name("whole.csv.journal").exists()
    return output.read_bytes()


def command(sweep_file: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "planner", "sweep", str(sweep_file), "-o", "t.csv", *more]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}


@pytest.mark.exhaustive
def test_two_processes_and_a_cluster_give_the_same_bytes(
    sweep_file: Path, whole: bytes, tmp_path: Path
) -> None:
    planner.sweep(sweep_file, output=tmp_path / "two.csv", workers=2)
    assert (tmp_path / "two.csv").read_bytes() == whole
    done = subprocess.run(
        command(sweep_file, "--cluster", "local", "--workers", "2"),
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "t.csv").read_bytes() == whole
    assert list(tmp_path.iterdir()) == [tmp_path / "t.csv"] or sorted(
        p.name for p in tmp_path.iterdir()
    ) == ["t.csv", "two.csv"]


@pytest.mark.exhaustive
def test_killed_again_and_again_it_goes_on_to_the_same_bytes(
    sweep_file: Path, whole: bytes, tmp_path: Path
) -> None:
    journal = tmp_path / "t.csv.journal"
    for _ in range(3):
        before = _lines(journal)
        assert (
            killed_after(1, "sweep", str(sweep_file), "-o", "t.csv", "--quiet", folder=tmp_path)
            == -signal.SIGKILL
        )
        assert _lines(journal) > before
        if _lines(journal) == PARTS:  # the header and all parts but one: time for the last run
            break
    done = subprocess.run(
        command(sweep_file),
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "going on after" in done.stderr
    assert (tmp_path / "t.csv").read_bytes() == whole
    assert not journal.exists()


def _lines(journal: Path) -> int:
    return journal.read_bytes().count(b"\n") if journal.exists() else 0


def test_nothing_that_was_answered_is_answered_again(
    sweep_file: Path, whole: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class StopError(Exception):
        pass

    def stop(done: int, total: int) -> None:
        if done >= total // 3:
            raise StopError

    output = tmp_path / "t.csv"
    with pytest.raises(StopError):
        planner.sweep(sweep_file, output=output, progress=stop)
    kept = {
        json.loads(line.split(b" ", 1)[1])["id"]
        for line in output.with_name("t.csv.journal").read_bytes().splitlines()
    } - {"header"}
    assert 0 < len(kept) < PARTS
    asked = []
    original = chunks.row

    def watched(context: object, one: object) -> object:
        asked.append(one)
        return original(context, one)  # type: ignore[arg-type]

    monkeypatch.setattr(chunks, "row", watched)
    told: list[str] = []
    planner.sweep(sweep_file, output=output, notify=told.append)
    assert output.read_bytes() == whole
    assert "going on after" in told[-1]
    assert len(asked) < 8 + 4  # plans in all, and estimates that are refused


@pytest.mark.exhaustive
def test_no_resume_starts_over_and_another_sweep_is_not_taken_up(
    sweep_file: Path, whole: bytes, tmp_path: Path
) -> None:
    class StopError(Exception):
        pass

    def stop(done: int, total: int) -> None:
        if done:
            raise StopError

    output = tmp_path / "t.csv"
    with pytest.raises(StopError):
        planner.sweep(sweep_file, output=output, progress=stop)
    other = tmp_path / "other.toml"
    other.write_text(
        '[[question]]\nmodel = "qwen2.5-0.5b"\ndevice = "l40s"\ndevices = 1\nbatch = 1\n',
        encoding="utf-8",
    )
    with pytest.raises(DataError, match="an unfinished run of another") as caught:
        planner.sweep(other, output=output)
    assert "remove it" in caught.value.hint
    planner.sweep(other, output=output, resume=False)
    assert output.read_bytes().count(b"\n") == 2
    with pytest.raises(InputError, match="exists"):
        planner.sweep(sweep_file, output=output)
    planner.sweep(sweep_file, output=output, force=True)
    assert output.read_bytes() == whole


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_finished_sweep_is_read_again_and_says_so(
    suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    question = {
        "verb": "estimate",
        "model": "qwen2.5-0.5b",
        "device": "l40s",
        "engine": "any",
        "devices": 1,
        "tp": 1,
        "scheme": "bf16",
        "context": 2048,
    }
    asked = [{**question, "batch": batch} for batch in (1, 64000)]
    output = tmp_path / f"t{suffix}"
    first = planner.sweep(asked, output=output)
    content = output.read_bytes()
    told: list[str] = []
    monkeypatch.setattr("planner.sweeping.sweep.run", None)  # nothing is asked again
    again = planner.sweep(asked, output=output, notify=told.append)
    assert "has the answers to all 2 questions already" in told[-1]
    assert "--force" in told[-1]
    assert again.equals(first)
    assert output.read_bytes() == content
    for other, given in ((asked[:1], {}), (asked, {"price": 2.0}), (asked, {"resume": False})):
        with pytest.raises(InputError, match="exists"):
            planner.sweep(other, output=output, **given)


@pytest.mark.parametrize("content", [b"", b"a,b\n1,2\n", b"\xff\xfe", b"question\n1,2\n"])
def test_a_file_that_is_no_table_of_this_sweep_is_not_replaced(
    content: bytes, tmp_path: Path
) -> None:
    output = tmp_path / "t.csv"
    output.write_bytes(content)
    with pytest.raises(InputError, match="exists"):
        planner.sweep([{"model": "qwen2.5-0.5b", "device": "l40s"}], output=output)
    assert output.read_bytes() == content


def test_targets_that_cannot_be_written(sweep_file: Path, tmp_path: Path) -> None:
    for name, message in (
        ("t.xlsx", "only .parquet or .csv"),
        ("no/t.csv", "does not exist"),
        ("t.csv/", "is a folder"),
    ):
        if name.endswith("/"):
            (tmp_path / name).mkdir()
        with pytest.raises(InputError, match=message):
            planner.sweep(sweep_file, output=tmp_path / name)


@pytest.mark.exhaustive
def test_a_full_disk_keeps_what_was_answered(
    sweep_file: Path, whole: bytes, tmp_path: Path
) -> None:
    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(whole) // 2, len(whole) // 2))

    done = subprocess.run(
        command(sweep_file),
        cwd=tmp_path,
        env=environment(),
        text=True,
        capture_output=True,
        preexec_fn=limited,
        check=False,
    )
    assert done.returncode == 2
    assert any(line.startswith("error: ") for line in done.stderr.splitlines())
    assert "kept" in done.stderr
    assert not (tmp_path / "t.csv").exists()
    assert _lines(tmp_path / "t.csv.journal") >= 2
    planner.sweep(sweep_file, output=tmp_path / "t.csv")
    assert (tmp_path / "t.csv").read_bytes() == whole


@pytest.mark.exhaustive
def test_workers_end_with_the_run_that_was_killed(sweep_file: Path, tmp_path: Path) -> None:
    process = waiting_after(
        1, "sweep", str(sweep_file), "-o", "t.csv", "--workers", "2", "--quiet", folder=tmp_path
    )
    children = _children(process.pid)
    process.kill()
    process.wait()
    assert len(children) >= 2
    for _ in range(36_000):  # an hour: on the slowest machine they end much sooner, or never
        if not any(_runs(child) for child in children):
            return
        time.sleep(0.1)
    pytest.fail(f"workers {children} outlive their run")


def _children(pid: int) -> list[int]:
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    return [int(word) for word in text.split()]


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def test_a_cluster_is_given_the_parts_of_large_models_first(sweep_file: Path) -> None:
    sweep = Sweep(read_sweep(sweep_file).asks).resolve()
    ordered = largest_first(sweep, sweep.chunks)
    assert sorted(chunk.id for chunk in ordered) == sorted(chunk.id for chunk in sweep.chunks)
    assert [sweep.context(chunk)[0].id for chunk in ordered] == ["qwen2.5-0.5b"] * 3 + [
        "smollm2-135m"
    ] * 2
    backwards = largest_first(sweep, sweep.chunks[::-1])
    assert [sweep.context(chunk)[0].id for chunk in backwards][-1] == "smollm2-135m"


@pytest.mark.parametrize(
    "address", ["127.0.0.1:8786", "http://x:1", "tcp://x", "", "tcp://x:0", "tcp://x:65536"]
)
def test_what_is_no_address_is_refused(sweep_file: Path, address: str) -> None:
    with pytest.raises(InputError, match="is not an address"):
        planner.sweep(sweep_file, cluster=address)


def test_an_address_where_nobody_answers_is_given_up(
    sweep_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 0.5)
    with pytest.raises(InputError, match=r"nobody answers within|no Dask scheduler"):
        planner.sweep(
            sweep_file, cluster="tcp://127.0.0.1:9", workers=None, output=tmp_path / "t.csv"
        )


@pytest.mark.exhaustive
def test_parquet_has_the_same_cells(sweep_file: Path, whole: bytes, tmp_path: Path) -> None:
    pq = pytest.importorskip("pyarrow.parquet")
    for name in ("a.parquet", "b.parquet"):
        frame = planner.sweep(sweep_file, output=tmp_path / name)
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()
    read = pq.read_table(tmp_path / "a.parquet")
    assert read.column_names == whole.split(b"\n", 1)[0].decode().split(",")
    assert read["status"].to_pylist() == frame["status"].tolist()
    assert read["tpot_seconds"].to_pylist()[0] == frame["tpot_seconds"][0]


def test_progress_is_told(whole: bytes, told: list[tuple[int, int]]) -> None:
    assert told[0] == (0, 20)
    assert told[-1] == (20, 20)
    assert [done for done, _ in told] == sorted(done for done, _ in told)


def test_a_hole_of_a_file_is_not_read_as_a_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be a terabyte: nothing beyond the line of names is asked for."""
    output = tmp_path / "t.csv"
    output.write_bytes(bytes(1 << 17))
    monkeypatch.setattr("planner.sweeping.output.csv.reader", None)
    with pytest.raises(InputError, match="exists"):
        planner.sweep([{"model": "qwen2.5-0.5b", "device": "l40s"}], output=output)
