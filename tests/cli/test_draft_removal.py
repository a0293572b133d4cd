"""Drafts and locks go with the block and the process that made them."""

from pathlib import Path

import pytest

from planner.base.atomic_files import draft, remove_drafts
from planner.jobs.locks import give_back, held_lock

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/maps").exists(), reason="what a process does is seen in /proc"
)


@pytest.mark.parametrize("kind", [KeyboardInterrupt, OSError, MemoryError])
def test_a_draft_does_not_outlive_its_block(kind: type[BaseException], tmp_path: Path) -> None:
    file, place = tmp_path / ".file", tmp_path / ".folder"

    def written() -> None:
        with draft(file), draft(place):
            file.write_text("half")
            place.mkdir()
            (place / "part").write_text("half")
            raise kind

    with pytest.raises(kind):
        written()
    assert list(tmp_path.iterdir()) == []


def test_a_lock_goes_with_a_process_that_is_ended(tmp_path: Path) -> None:
    """A cluster may take longer to end than the process is given; its lock stayed behind."""
    lock = tmp_path / ".lock"
    held = held_lock(lock, tmp_path)
    remove_drafts()
    assert not lock.exists()
    give_back(held)
    held = held_lock(lock, tmp_path)
    give_back(held)
    lock.write_text("another's")
    remove_drafts()
    assert lock.exists()


def test_drafts_are_removed_from_outside(tmp_path: Path) -> None:
    file = tmp_path / ".file"
    with draft(file):
        file.write_text("half")
        remove_drafts()
        assert not file.exists()
    file.write_text("whole")
    remove_drafts()
    assert file.read_text() == "whole"
