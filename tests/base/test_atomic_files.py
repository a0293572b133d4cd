"""Files are written whole or not at all, new, and through no link but the output itself."""

import errno
import os
import stat
from pathlib import Path

import pytest

from planner.base.atomic_files import (
    remove_drafts,
    replace_text,
    replacing,
    sibling_folder,
    telling,
)
from planner.base.errors import InputError

ALONE = pytest.mark.parametrize("alone", [False, True])


@ALONE
def test_a_file_is_replaced_whole(tmp_path: Path, alone: bool) -> None:
    target = tmp_path / "a.txt"
    replace_text(target, "one\n", exclusive=alone)
    with replacing(target, exclusive=alone) as file:
        file.write(b"two\r\n")
        assert target.read_bytes() == b"one\n"
    assert target.read_bytes() == b"two\r\n"
    assert os.listdir(tmp_path) == ["a.txt"]


@ALONE
def test_what_fails_leaves_the_old_file_alone(tmp_path: Path, alone: bool) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(ZeroDivisionError), replacing(target, exclusive=alone) as file:
        file.write(b"%d" % (1 // (file.write(b"half") - 4)))
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


@ALONE
def test_a_link_at_the_drafts_name_is_not_followed(tmp_path: Path, alone: bool) -> None:
    victim, target = tmp_path / "victim", tmp_path / "a.csv"
    victim.write_text("mine")
    (tmp_path / ".a.csv.new").symlink_to(victim)
    replace_text(target, "table", exclusive=alone)
    assert victim.read_text() == "mine"
    assert target.read_text() == "table"
    assert not target.is_symlink()


@ALONE
@pytest.mark.parametrize("there", [True, False])
def test_an_output_that_is_a_link_is_written_where_it_points(
    tmp_path: Path, alone: bool, there: bool
) -> None:
    (tmp_path / "far").mkdir()
    real, link = tmp_path / "far" / "real.txt", tmp_path / "link.txt"
    if there:
        real.write_text("old")
    link.symlink_to(real)
    replace_text(link, "new", exclusive=alone)
    assert link.is_symlink()
    assert real.read_text() == "new"
    assert os.listdir(tmp_path / "far") == ["real.txt"]


def test_what_a_killed_run_left_is_written_over(tmp_path: Path) -> None:
    (tmp_path / ".a.txt.new").write_text("half of something that was longer")
    replace_text(tmp_path / "a.txt", "whole", exclusive=True)
    assert {one.name: one.read_text() for one in tmp_path.iterdir()} == {"a.txt": "whole"}


def test_two_writers_do_not_share_a_draft(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    with replacing(target) as one, replacing(target) as other:
        one.write(b"one")
        other.write(b"other")
    assert target.read_bytes() == b"one"


@ALONE
def test_permissions_are_those_of_a_new_file(tmp_path: Path, alone: bool) -> None:
    before = os.umask(0o027)
    try:
        replace_text(tmp_path / "a.txt", "", exclusive=alone)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == 0o640


def test_errors_name_the_target_and_not_its_draft(tmp_path: Path) -> None:
    target = tmp_path / "none" / "a.txt"
    with pytest.raises(OSError, match="No such file") as caught:
        replace_text(target, "")
    assert caught.value.filename == str(target)
    with pytest.raises(OSError, match="No space") as caught, telling(target):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert caught.value.filename == str(target)
    other = str(tmp_path / "other.txt")
    with pytest.raises(OSError, match="No such file") as caught, telling(target):
        raise OSError(errno.ENOENT, "No such file", other)
    assert caught.value.filename == other


def test_an_interrupt_removes_what_is_half_written(tmp_path: Path) -> None:
    writer = replacing(tmp_path / "a.txt")
    writer.__enter__().write(b"half")
    assert os.listdir(tmp_path)
    remove_drafts()
    assert not os.listdir(tmp_path)
    with pytest.raises(FileNotFoundError):
        writer.__exit__(None, None, None)


def test_a_folder_beside_is_new_and_ones_own(tmp_path: Path) -> None:
    made = [sibling_folder(tmp_path / "out") for _ in range(2)]
    assert made[0] != made[1]
    assert all(one.parent == tmp_path and stat.S_IMODE(one.stat().st_mode) == 0o700 for one in made)


@ALONE
@pytest.mark.parametrize("linked", [False, True])
def test_a_pipe_or_device_is_not_replaced(tmp_path: Path, alone: bool, linked: bool) -> None:
    pipe, named = tmp_path / "pipe", tmp_path / "out.md"
    os.mkfifo(pipe)
    if linked:
        named.symlink_to(pipe)
    with pytest.raises(InputError, match="pipe is not a regular file"):
        replace_text(named if linked else pipe, "a report", exclusive=alone)
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert sorted(os.listdir(tmp_path)) == (["out.md", "pipe"] if linked else ["pipe"])
