"""Sets read one by one are those of the whole file; a file of another form is read whole."""

import tomllib
from pathlib import Path

import pytest

from planner.base.files import data_folder
from planner.hardware.catalog import device_ids, resolve_device
from planner.hardware.loader import FittedSets, fitted_set, split_fitted

WITH_SETS = [
    d
    for d in device_ids()
    if "[[fitted]]" in (data_folder("hardware_profiles") / f"{d}.toml").read_text("utf-8")
]


@pytest.mark.parametrize("device", WITH_SETS)
def test_sets_are_those_of_the_whole_file(device: str) -> None:
    text = (data_folder("hardware_profiles") / f"{device}.toml").read_text("utf-8")
    whole = tomllib.loads(text)
    core, sets = split_fitted(text)
    assert sets is not None
    wanted = {(f.operator, f.stack, f.variant): f for f in map(fitted_set, whole.pop("fitted"))}
    assert dict(sets) == wanted
    assert list(sets) == list(wanted)
    assert tomllib.loads(core) == whole


def test_a_bundled_profile_reads_sets_on_demand() -> None:
    profile = resolve_device("h100-sxm")
    assert isinstance(profile.fitted, FittedSets)
    key = next(iter(profile.fitted))
    assert profile.fitted[key] is profile.fitted[key]
    assert ("no", "such", "set") not in profile.fitted


def test_an_edited_profile_is_checked_and_read_whole(tmp_path: Path) -> None:
    text = (data_folder("hardware_profiles") / "h100-sxm.toml").read_text("utf-8")
    path = tmp_path / "h100-sxm.toml"
    path.write_text(text + "\n# another digest\n", "utf-8")
    profile = resolve_device(str(path))
    assert not isinstance(profile.fitted, FittedSets)
    assert dict(profile.fitted) == dict(resolve_device("h100-sxm").fitted)


@pytest.mark.parametrize(
    "tail",
    [
        '\n[[fitted]]\noperator = "gemm"\nstack = "a"\nvariant = "b"\n\n[other]\nkey = 1\n',
        '\n[[fitted]]\noperator = "gemm"\nstack = "a"\n',
        '\n[[fitted]]\noperator = "gemm"\nstack = "a"\nvariant = "b"\n'
        '\n[[fitted]]\noperator = "gemm"\nstack = "a"\nvariant = "b"\n',
    ],
)
def test_another_form_is_read_whole(tail: str) -> None:
    text = 'id = "x"\n' + tail
    assert split_fitted(text) == (text, None)
