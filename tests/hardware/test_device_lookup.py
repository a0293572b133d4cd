"""Finding a device: ids, aliases, paths, folders, and names that do not exist."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.base.errors import DataError, UnknownNameError
from planner.base.files import data_folder
from planner.hardware import catalog
from planner.hardware.catalog import device_ids, list_devices, resolve_device, variant_ids
from planner.hardware.names import canonical_name

CONTRACT_ALIASES = {
    "h100_sxm": "h100-sxm",
    "h100_sxm5_80": "h100-sxm",
    "h100_pcie_80": "h100-pcie",
    "h100_nvl_94": "h100-nvl",
    "h200_sxm": "h200-sxm",
    "h800_sxm": "h800-sxm",
    "h20_96": "h20",
    "b200": "b200-sxm",
    "b300": "b300-sxm",
    "rtx_pro_6000_bw_server": "rtx-pro-6000",
    "rtx_pro_6000_server": "rtx-pro-6000",
    "a100_sxm_80": "a100-sxm",
    "xeon_8480p": "xeon-platinum-8480",
    "xeon_8490h": "xeon-platinum-8490h",
    "xeon_8592p": "xeon-platinum-8592",
    "jetson_agx_orin_64": "jetson-agx-orin-64gb",
    "jetson_agx_orin_32": "jetson-agx-orin-32gb",
    "jetson_orin_nx_16": "jetson-orin-nx-16gb",
    "jetson_orin_nano_super_8": "jetson-orin-nano-8gb",
    "orin-x": "drive-orin-x",
    "jetson-agx-thor": "jetson-agx-thor-t5000",
    "jetson_thor_t5000": "jetson-agx-thor-t5000",
    "jetson_thor_t4000": "jetson-t4000",
}


def packaged(name: str) -> str:
    return (data_folder("hardware_profiles") / f"{name}.toml").read_text("utf-8")


@pytest.mark.parametrize(("alias", "device"), CONTRACT_ALIASES.items())
def test_aliases(alias: str, device: str) -> None:
    assert resolve_device(alias).id == device


@settings(max_examples=25, deadline=None)
@given(name=st.sampled_from(["h20", "gb300", "xeon-6980p", "orin-x"]), data=st.data())
def test_case_and_underscores_do_not_matter(name: str, data: st.DataObject) -> None:
    spelled = "".join(
        data.draw(st.sampled_from([c, c.upper(), "_" if c == "-" else c])) for c in name
    )
    assert resolve_device(spelled).id == resolve_device(name).id
    assert canonical_name(spelled) == name


def test_reading_one_device_parses_no_other_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    real = catalog.load_profile

    def spy(path: Path) -> object:
        read.append(path.name)
        return real(path)

    monkeypatch.setattr(catalog, "load_profile", spy)
    resolve_device("xeon_8480p")
    assert read == ["xeon-platinum-8480.toml"]


def test_a_path_wins(tmp_path: Path) -> None:
    path = tmp_path / "h20.toml"
    path.write_text(packaged("h20").replace("NVIDIA H20 96 GB", "My H20"), encoding="utf-8")
    assert resolve_device(str(path)).name.startswith("My H20")


def test_a_path_that_is_not_there(tmp_path: Path) -> None:
    for name in (str(tmp_path / "absent"), "absent.toml"):
        with pytest.raises(DataError, match="no such file"):
            resolve_device(name)


def test_folders_come_before_the_package_first_to_last(tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    for folder, name in ((first, "First"), (second, "Second")):
        folder.mkdir()
        text = packaged("h100-sxm").replace('NVIDIA H100 SXM5 80 GB"', f'{name}"', 1)
        (folder / "h100-sxm.toml").write_text(text, encoding="utf-8")
    assert resolve_device("h100-sxm", [first, second]).name == "First"
    assert resolve_device("h100_sxm5_80", [second, first]).name == "Second"
    assert resolve_device("h100-sxm").name == "NVIDIA H100 SXM5 80 GB"
    assert resolve_device("h20", [first]).id == "h20"


def test_a_folder_adds_devices_and_aliases(tmp_path: Path) -> None:
    text = packaged("h20").replace('id = "h20"', 'id = "my-card"')
    (tmp_path / "my-card.toml").write_text(text, encoding="utf-8")
    (tmp_path / "aliases.toml").write_text('[aliases]\nmine = "my-card"\n', encoding="utf-8")
    assert resolve_device("MY_CARD", [tmp_path]).id == "my-card"
    assert resolve_device("mine", [tmp_path]).id == "my-card"
    listed = [device.id for device in list_devices([tmp_path])]
    assert listed == [*device_ids(), *variant_ids(), "my-card"]


def test_a_malformed_alias_file(tmp_path: Path) -> None:
    (tmp_path / "aliases.toml").write_text('[alias]\nmine = "h20"\n', encoding="utf-8")
    with pytest.raises(DataError, match="alias: not understood"):
        resolve_device("h20", [tmp_path])


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such folder"):
        resolve_device("h20", [tmp_path / "absent"])


def test_unknown_names_get_near_ones() -> None:
    with pytest.raises(UnknownNameError, match="unknown device 'h100-sxn'") as caught:
        resolve_device("h100-sxn")
    assert "h100-sxm" in caught.value.hint


@pytest.mark.parametrize(
    "name",
    ["drive-thor-x-super", "DRIVE_Thor_X_Super", "thor-x-super", "Thor-X-Super", "thorxsuper"],
)
def test_the_undocumented_thor(name: str) -> None:
    with pytest.raises(UnknownNameError) as caught:
        resolve_device(name)
    message = caught.value.message
    assert repr(name) in message
    assert "no such product is documented" in message
    assert "18.4 TOPS" in message
    assert "2 × 2,560 FMA lanes × 2 × 1.8 GHz = 18.43 FP32 TFLOPS" in message
    assert "hypothesis" in message
    assert "drive-thor-x" in caught.value.hint


def test_the_hypothesis_about_it_is_arithmetic() -> None:
    assert round(2 * 2560 * 2 * 1.8e9 / 1e12, 2) == 18.43


def test_importing_the_catalogue_imports_no_heavy_library() -> None:
    code = (
        "import sys, planner.hardware.catalog as c; c.device_ids(); "
        "print([m for m in ('pydantic', 'numpy', 'pandas') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_one_device_reads_its_own_profile_and_no_other() -> None:
    code = (
        "import os, sys; import planner.hardware.catalog as c; read = []\n"
        "sys.addaudithook(lambda event, args: read.append(os.path.basename(str(args[0]))) "
        "if event == 'open' and str(args[0]).endswith('.toml') else None)\n"
        "c.resolve_device('h100-sxm'); print(sorted(set(read)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['aliases.toml', 'h100-sxm.toml']"
