"""Nothing that was measured is lost: torn lines, other runs, a full disk."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from planner.base.errors import DataError
from planner.jobs.journal import MAX_LINE, Journal, lock_path

HEADER = {"id": "header", "sha256": "abc", "schemes": ["bf16"], "seed": 1}


def filled(path: Path, count: int = 3) -> None:
    journal = Journal.open(path, HEADER)
    for n in range(count):
        journal.append({"id": f"t{n}", "value": n / 7})
    journal.close()


def test_records_come_back(tmp_path: Path) -> None:
    filled(tmp_path / "j")
    journal = Journal.open(tmp_path / "j", HEADER)
    assert journal.done == {f"t{n}": {"id": f"t{n}", "value": n / 7} for n in range(3)}
    assert journal.damaged == 0
    journal.append({"id": "t3"})
    journal.remove()
    assert not (tmp_path / "j").exists()


@pytest.mark.parametrize("cut", [1, 5, 20])
def test_a_torn_last_line_is_dropped_alone(tmp_path: Path, cut: int) -> None:
    filled(tmp_path / "j")
    text = (tmp_path / "j").read_bytes()
    (tmp_path / "j").write_bytes(text[:-cut])
    journal = Journal.open(tmp_path / "j", HEADER)
    assert list(journal.done) == ["t0", "t1"]
    assert journal.damaged == 1
    journal.append({"id": "t2", "value": 2 / 7})
    journal.close()
    assert (tmp_path / "j").read_bytes() == text


def test_what_only_claims_to_be_large_is_no_journal(tmp_path: Path) -> None:
    """A hole of a terabyte, which took all memory."""
    with (tmp_path / "j").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(DataError, match="not a journal of this program"):
        Journal.open(tmp_path / "j", HEADER)


def test_a_line_that_is_longer_than_any_is_dropped(tmp_path: Path) -> None:
    filled(tmp_path / "j")
    with (tmp_path / "j").open("ab") as file:
        file.write(bytes(2 * MAX_LINE) + b"\n")
    journal = Journal.open(tmp_path / "j", HEADER)
    assert list(journal.done) == ["t0", "t1", "t2"]
    journal.close()
    assert (tmp_path / "j").stat().st_size < 1000


def test_a_damaged_line_in_the_middle_is_dropped_alone(tmp_path: Path) -> None:
    filled(tmp_path / "j")
    lines = (tmp_path / "j").read_bytes().split(b"\n")
    lines[2] = lines[2].replace(b"t1", b"tX")
    (tmp_path / "j").write_bytes(b"\n".join(lines))
    journal = Journal.open(tmp_path / "j", HEADER)
    journal.close()
    assert list(journal.done) == ["t0", "t2"]
    assert journal.damaged == 1


@pytest.mark.parametrize(
    ("key", "value", "word"),
    [("sha256", "other", "checkpoint"), ("schemes", ["fp8-block"], "schemes"), ("seed", 2, "seed")],
)
def test_a_journal_of_another_run_is_refused_and_kept(
    tmp_path: Path, key: str, value: object, word: str
) -> None:
    filled(tmp_path / "j")
    before = (tmp_path / "j").read_bytes()
    with pytest.raises(DataError, match=word):
        Journal.open(tmp_path / "j", {**HEADER, key: value})
    assert (tmp_path / "j").read_bytes() == before


def test_a_file_that_is_no_journal_is_refused_and_kept(tmp_path: Path) -> None:
    (tmp_path / "j").write_text("my notes\n", encoding="utf-8")
    with pytest.raises(DataError, match="not a journal"):
        Journal.open(tmp_path / "j", HEADER)
    assert (tmp_path / "j").read_text(encoding="utf-8") == "my notes\n"


def test_a_full_disk_loses_no_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(tmp_path / "j")
    journal = Journal.open(tmp_path / "j", HEADER)
    write = os.write

    def full(file: int, data: bytes) -> int:
        write(file, bytes(data)[:10])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(DataError, match=r"No space left.*3 tensors") as caught:
        journal.append({"id": "t3"})
    assert "run the same command again" in caught.value.hint
    monkeypatch.setattr(os, "write", write)
    journal.append({"id": "t4"})
    journal.close()
    again = Journal.open(tmp_path / "j", HEADER)
    assert list(again.done) == ["t0", "t1", "t2", "t4"]
    assert again.damaged == 0
    again.close()


def test_a_limit_of_the_system_on_file_size(tmp_path: Path) -> None:
    """The same with a limit that the kernel enforces."""
    script = f"""
import resource, signal, sys
from pathlib import Path
from planner.base.errors import DataError
from planner.jobs.journal import MAX_LINE, Journal, lock_path
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
journal = Journal.open(Path({str(tmp_path / "j")!r}), {HEADER!r})
try:
    for n in range(100):
        journal.append({{"id": f"t{{n}}", "value": "x" * 50}})
except DataError as error:
    print(len(journal.done), error.message)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    count = int(done.stdout.split()[0])
    assert 5 < count < 20
    journal = Journal.open(tmp_path / "j", HEADER)
    journal.close()
    assert len(journal.done) == count
    assert journal.damaged == 0


def test_a_journal_is_not_written_through_a_link(tmp_path: Path) -> None:
    place = tmp_path / "j.csv.journal"
    place.symlink_to(tmp_path / "nothing")
    with pytest.raises(DataError, match="is a link"):
        Journal.open(place, HEADER)
    assert not (tmp_path / "nothing").exists()


def test_one_run_at_a_time_and_no_lock_is_left(tmp_path: Path) -> None:
    place = tmp_path / "j"
    first = Journal.open(place, HEADER)
    with pytest.raises(DataError, match="another run is writing it"):
        Journal.open(place, HEADER)
    first.close()
    assert os.listdir(tmp_path) == ["j"]
    second = Journal.open(place, HEADER)
    second.remove()
    assert os.listdir(tmp_path) == []


def test_a_lock_that_is_a_link_is_named_and_not_followed(tmp_path: Path) -> None:
    place = tmp_path / "j"
    lock_path(place).symlink_to(tmp_path / "nothing")
    with pytest.raises(DataError, match=r"\.j\.lock is a link"):
        Journal.open(place, HEADER)
    assert not (tmp_path / "nothing").exists()


def test_the_lock_of_a_killed_run_is_free(tmp_path: Path) -> None:
    program = (
        "import os, sys\nfrom pathlib import Path\n"
        "from planner.jobs.journal import Journal\n"
        "Journal.open(Path(sys.argv[1]), {'id': 'header', 'sha256': 'a'})\n"
        "os.kill(os.getpid(), 9)\n"
    )
    place = tmp_path / "j"
    subprocess.run([sys.executable, "-c", program, str(place)], check=False)
    assert lock_path(place).exists()
    Journal.open(place, {"id": "header", "sha256": "a"}).remove()
    assert os.listdir(tmp_path) == []
