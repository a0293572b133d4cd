"""The list of accepted digests belongs to the files as they are, and skips no check elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from planner.errors import DataError
from planner.hardware.accept import accepted_text
from planner.hardware.loader import ACCEPTED, load_profile
from planner.resources import data_folder

FOLDER = data_folder("hardware_profiles")


def test_list_is_current() -> None:
    assert (FOLDER / ACCEPTED).read_text(encoding="utf-8") == accepted_text(FOLDER), \
        "run `make tables` after editing a profile"


def test_accepted_and_checked_files_give_the_same_record(tmp_path: Path) -> None:
    copy = tmp_path / "h100-sxm.toml"
    text = (FOLDER / "h100-sxm.toml").read_text(encoding="utf-8")
    copy.write_text(text + "\n# one more line: not in the list\n", encoding="utf-8")
    ours, theirs = load_profile(FOLDER / "h100-sxm.toml"), load_profile(copy)
    for name in ours.__dataclass_fields__:
        if name not in ("path", "sha256"):
            assert getattr(ours, name) == getattr(theirs, name), name


def test_a_changed_byte_is_checked(tmp_path: Path) -> None:
    copy = tmp_path / "h100-sxm.toml"
    text = (FOLDER / "h100-sxm.toml").read_text(encoding="utf-8")
    copy.write_text(text.replace("architecture", "architectur", 1), encoding="utf-8")
    with pytest.raises(DataError, match="architectur"):
        load_profile(copy)


def test_a_bundled_profile_is_read_once_and_another_file_each_time(tmp_path: Path) -> None:
    assert load_profile(FOLDER / "h100-sxm.toml") is load_profile(FOLDER / "h100-sxm.toml")
    copy = tmp_path / "h100-sxm.toml"
    text = (FOLDER / "h100-sxm.toml").read_text(encoding="utf-8")
    copy.write_text(text, encoding="utf-8")
    before = load_profile(copy)
    copy.write_text(text.replace("H100", "H100x", 1), encoding="utf-8")
    assert load_profile(copy) is not before
    assert load_profile(copy).sha256 != before.sha256
