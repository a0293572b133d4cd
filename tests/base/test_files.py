"""What is no regular file is refused in one place, in one wording."""

import os
from pathlib import Path

import pytest

import planner
from planner.base.errors import DataError
from planner.base.files import NOT_A_FILE, check_regular, is_special, read_bounded


def test_files_folders_and_what_is_not_there(tmp_path: Path) -> None:
    file = tmp_path / "file"
    check_regular(file, hint="")
    with pytest.raises(DataError, match=NOT_A_FILE):
        check_regular(file, hint="", there=True)
    file.touch()
    check_regular(file, hint="", there=True)
    with pytest.raises(DataError, match=NOT_A_FILE) as caught:
        check_regular(tmp_path, hint="name a file")
    assert caught.value.hint == "name a file"
    assert not is_special(file)
    assert not is_special(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes with a name")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert is_special(tmp_path / "pipe")
    with pytest.raises(DataError, match=NOT_A_FILE):
        check_regular(tmp_path / "pipe", hint="")


def test_the_words_stand_once() -> None:
    folder = Path(planner.__file__).parent
    assert [p.name for p in folder.rglob("*.py") if f'{NOT_A_FILE}"' in p.read_text("utf-8")] == [
        "files.py"
    ]


def test_a_file_is_read_up_to_its_limit(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    assert read_bounded(path, 5, DataError("too large")) == b"12345"
    with pytest.raises(DataError, match="too large"):
        read_bounded(path, 4, DataError("too large"))
