"""Files as Excel, Notepad and PowerShell save them are read as those that are plain UTF-8."""

import json
from pathlib import Path

import pytest

import planner
from planner.base.files import data_folder, decode_text
from planner.cli.main import run
from planner.lookup import load_device, load_model, load_workload
from planner.planning.engines.published import read_published
from planner.planning.engines.rules import DATA
from planner.planning.question.scenarios import load_scenario
from planner.planning.serving.expert_use import _read

SAVED = ("utf-8", "utf-8-sig", "utf-16", "utf-16-be")
"""UTF-16 as Windows writes it begins with its mark; Python leaves it out where the order is named.
"""


def saved(text: str, encoding: str) -> bytes:
    """Lines that end as on Windows, in an encoding with its mark."""
    lines = text.replace("\n", "\r\n")
    return ("\ufeff" + lines if encoding == "utf-16-be" else lines).encode(encoding)


@pytest.mark.parametrize("encoding", SAVED)
def test_a_text_is_what_was_saved(encoding: str) -> None:
    assert decode_text(saved("größer × 8\n规划", encoding)) == "größer × 8\r\n规划"


@pytest.mark.parametrize("data", [b"\xff\xfe\x00", b"\x80", b"a\xff\xfe"])
def test_what_is_in_neither_is_an_error(data: bytes) -> None:
    with pytest.raises(UnicodeDecodeError):
        decode_text(data)


@pytest.mark.parametrize("encoding", SAVED[1:])
def test_a_plan_file_that_a_shell_has_written(
    encoding: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """``plan … --json > plan.json`` in Windows PowerShell, then the verbs that read it."""
    plan = planner.plan("smollm2-135m", "h100-sxm", devices=1, batch=8, engine="vllm")
    file = tmp_path / "plan.json"
    file.write_bytes(saved(json.dumps(plan.to_dict(), indent=2, ensure_ascii=False), encoding))
    assert planner.read_plan(str(file)) == plan
    assert run(["export", str(file), str(tmp_path / "out")]) == 0
    assert (tmp_path / "out" / "README.md").is_file()


@pytest.mark.parametrize("encoding", SAVED[1:])
def test_files_of_one_s_own(encoding: str, tmp_path: Path) -> None:
    """A configuration, a device, a scenario and a workload."""
    config = tmp_path / "config.json"
    shipped = load_model("smollm2-135m")
    text = (Path(planner.__file__).parent / "models" / "configs" / "smollm2-135m.json").read_text(
        encoding="utf-8"
    )
    config.write_bytes(saved(text, encoding))
    assert load_model(str(config)).rows == shipped.rows
    device = tmp_path / "l40s.toml"
    device.write_bytes(
        saved(
            (data_folder("hardware_profiles") / "l40s.toml").read_text(encoding="utf-8"), encoding
        )
    )
    assert load_device(str(device)).rates == load_device("l40s").rates
    scenario = tmp_path / "scenario.toml"
    scenario.write_bytes(
        saved(
            'title = "größer"\nquestion = "?"\nmodel = "smollm2-135m"\ndevice = "l40s"\n', encoding
        )
    )
    assert load_scenario(str(scenario)).values["model"] == "smollm2-135m"
    workload = tmp_path / "mix.toml"
    workload.write_bytes(
        saved(
            (data_folder("scenarios") / "workloads" / "chat.toml").read_text(encoding="utf-8"),
            encoding,
        )
    )
    assert load_workload(str(workload)).isl == load_workload("chat").isl


def test_tables_that_excel_has_saved(tmp_path: Path) -> None:
    releases = tmp_path / "releases.csv"
    shipped = DATA / "checkpoints.csv"
    releases.write_bytes(saved(shipped.read_text(encoding="utf-8"), "utf-8-sig"))
    assert read_published(releases) == read_published(shipped)
    loads = tmp_path / "loads.txt"
    loads.write_bytes(saved("1\n2.5\n", "utf-8-sig"))
    assert _read(loads) == [1.0, 2.5]


@pytest.mark.parametrize("encoding", SAVED[1:])
def test_a_list_of_types_of_llama_cpp(encoding: str, tmp_path: Path) -> None:
    """As an editor leaves it that was used to change one line."""
    plan = planner.estimate(
        "smollm2-135m", "h100-sxm", scheme="ggml-q8_0", engine="llama.cpp", devices=1, batch=8
    )
    file = tmp_path / "tensor_types.txt"
    text = planner.export_plan(plan, "llama.cpp").files[file.name]
    file.write_text(text, encoding="utf-8")
    before = planner.import_plan(file, "smollm2-135m", "h100-sxm", batch=8)
    file.write_bytes(saved(text, encoding))
    assert planner.import_plan(file, "smollm2-135m", "h100-sxm", batch=8) == before
