"""The list of accepted digests belongs to the files as they are, and skips no check elsewhere."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from planner.base.errors import DataError
from planner.base.files import data_folder
from planner.hardware.accept import accepted_text
from planner.hardware.loader import ACCEPTED, load_profile

FOLDER = data_folder("hardware_profiles")


def test_list_is_current() -> None:
    assert (FOLDER / ACCEPTED).read_text(encoding="utf-8") == accepted_text(FOLDER), (
        "run `make tables` after editing a profile"
    )


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


def test_a_changed_class_is_checked_with_the_devices_that_inherit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Byte for byte the device is accepted; what it inherits from is not."""
    shutil.copytree(FOLDER, tmp_path / "profiles")
    name = tmp_path / "profiles" / "classes" / "gpu-hbm.toml"
    text = name.read_text(encoding="utf-8")
    name.write_text(text.replace("value = 0.77", "value = 7.7"), encoding="utf-8")
    for module in ("classes", "loader"):
        monkeypatch.setattr(
            f"planner.hardware.{module}.data_folder", lambda _: tmp_path / "profiles"
        )
    with pytest.raises(DataError, match="exceeds 1"):
        load_profile(tmp_path / "profiles" / "tpu-v6e.toml")
