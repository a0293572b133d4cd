"""A GGUF file that the question names is served as it is, and never made again."""

from dataclasses import replace
from pathlib import Path

import pytest
from support.small_gguf import small_gguf

import planner
from planner.export.release import given_file
from planner.export.serve_line import serving_command
from planner.planning.plan.record import Plan
from planner.report.phrases import phrases_on
from planner.report.view.answer_facts import loss_text


def of_blocks(name: str) -> str:
    return "Q8_0" if name.startswith("blk.") else "BF16"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("files")
    (place / "tiny q8.gguf").write_bytes(small_gguf(of_blocks))
    (place / "plain.gguf").write_bytes(small_gguf())
    return place


def planned(path: Path, scheme: str | None = None) -> Plan:
    return planner.estimate(
        str(path), "rtx-4090", scheme=scheme, engine="llama.cpp", kv="fp16", context=1024
    )


def test_a_given_file_is_served_by_its_own_name(folder: Path) -> None:
    path = folder / "tiny q8.gguf"
    line = serving_command(planned(path))
    at = line.words.index("-m")
    assert line.words[at + 1] == str(path)
    assert "-hf" not in line.words
    assert not any("convert" in str(note) or "OUT.gguf" in str(note) for note in line.notes)


def test_the_script_takes_the_file_as_its_argument(folder: Path) -> None:
    export = planner.export_plan(
        planned(folder / "tiny q8.gguf"), model=str(folder / "tiny q8.gguf")
    )
    script = export.files["serve-llama.cpp.sh"]
    assert str(folder) not in script
    assert 'llama-server -m "$checkpoint"' in script
    assert "quantise.sh" not in export.files


def test_other_formats_of_a_quantised_file_say_what_they_start_from(folder: Path) -> None:
    path = folder / "tiny q8.gguf"
    plan = planned(path, "ggml-q4_0")
    (note,) = serving_command(plan).notes
    assert str(path) in str(note)
    assert "quantized already" in str(note)
    script = planner.export_plan(plan, model=str(path)).files["quantise.sh"]
    assert "--allow-requantize" in script


def test_other_formats_of_a_plain_file_start_from_it(folder: Path) -> None:
    plan = planned(folder / "plain.gguf", "ggml-q4_0")
    (note,) = serving_command(plan).notes
    assert "plan make" in str(note)
    assert "already" not in str(note)
    files = planner.export_plan(plan, model=str(folder / "plain.gguf")).files
    assert "--allow-requantize" not in files["quantise.sh"]
    assert "convert_hf_to_gguf" not in files["README.md"]


@pytest.mark.parametrize(
    ("name", "said"), [("tiny q8.gguf", "is not known"), ("plain.gguf", "as in the file")]
)
def test_no_loss_counts_from_the_file(folder: Path, name: str, said: str) -> None:
    assert said in loss_text(phrases_on("rtx-4090", "en"), planned(folder / name))


def test_a_name_like_a_flag_is_a_path(folder: Path) -> None:
    plan = planned(folder / "plain.gguf")
    like_a_flag = replace(plan, model=replace(plan.model, source="-hf.gguf"))
    assert given_file(like_a_flag) == "./-hf.gguf"
    elsewhere = replace(plan, model=replace(plan.model, source="org/model"))
    assert given_file(elsewhere) == ""
