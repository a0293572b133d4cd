"""The pages docs/guide/add-*.md are followed from the outside: files are written, commands run.

Devices and models are added as files in an empty folder. Schemes and engines are records of the
package, so that a copy of it is changed as the page says.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support.wheels import ROOT, clean_environment

from planner.cli.main import run as run_here

_BLOCK = re.compile(r"^```(\w+) ?([\w.-]*)\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)
_EMULATE = """
import json
from planner.lab.tables import errors as t
from planner.formats.schemes import scheme
t.REFERENCES = ("bf16",)
data = json.loads(t.PATH.read_text())
for kind in ("attention-qkv", "attention-out", "mlp-gate-up", "mlp-down"):
    row = t._Layer(kind, t.SEED).row("bf16", scheme("int4-w4a16-g64"))
    for name in ("error", "weight_error", "activation_error", "overflow", "flushed"):
        data[name]["bf16"][kind]["int4-w4a16-g64"] = t.six(row[name])
t.PATH.write_text(json.dumps(data))
"""


def blocks(page: str) -> list[tuple[str, str, str]]:
    """(language, file name, text) of the fenced blocks of a page."""
    return _BLOCK.findall((ROOT / "docs" / "guide" / page).read_text(encoding="utf-8"))


def files(page: str) -> dict[str, str]:
    return {name: text for _, name, text in blocks(page) if name}


def commands(page: str) -> list[str]:
    return [
        line.removeprefix("$ ")
        for language, _, text in blocks(page)
        if language == "console"
        for line in text.splitlines()
    ]


def run(command: str, folder: Path, tree: Path, code: int = 0) -> str:
    """What `plan …` of the tree ``tree`` prints in ``folder``; both streams."""
    words = shlex.split(command)
    assert words[0] == "plan"
    done = subprocess.run(
        [sys.executable, "-m", "planner", *words[1:]],
        cwd=folder,
        text=True,
        env={**clean_environment(), "PYTHONPATH": str(tree), "COLUMNS": "120"},
        capture_output=True,
        check=False,
    )
    assert done.returncode == code, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the package and its data, to be changed."""
    tree = tmp_path / "tree"
    for name in ("planner", "hardware_profiles", "scenarios"):
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tree)
    return tree


@pytest.fixture
def here(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> Callable[..., str]:
    """Runs ``plan …`` of this package in an empty folder; returns what both streams say."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")

    def ask(command: str, code: int = 0) -> str:
        assert run_here(shlex.split(command)[1:]) == code, command
        return "".join(capfd.readouterr())

    return ask


def test_a_device_is_a_file(tmp_path: Path, here: Callable[..., str]) -> None:
    for name, text in files("add-a-device.md").items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    lines = commands("add-a-device.md")
    five, planned, page, by_path, by_name, priced = (here(line) for line in lines)
    assert "class gpu-gddr" in five
    assert "stated in the file without a source" in five
    assert "on 1 × five" in planned
    assert "inherited: " in planned
    assert "My accelerator 48 GB" in page
    assert "Vendor data sheet, revision 3" in page
    assert by_path == by_name
    assert "llama-3.2-1b on 1 × my-chip" in by_path
    assert "int8-w8a8" in by_path
    assert "prior" in priced
    refused = here(lines[-1].replace("bf16", "fp8-block"), code=2)
    assert "the matrix units have no FP8" in refused


def test_a_figure_without_its_source_is_refused(tmp_path: Path, here: Callable[..., str]) -> None:
    text = files("add-a-device.md")["my-chip.toml"].replace(', source = "sheet"', "", 1)
    (tmp_path / "my-chip.toml").write_text(text, encoding="utf-8")
    said = here("plan devices ./my-chip.toml", code=2)
    assert "my-chip.toml" in said
    assert "source" in said


@pytest.mark.exhaustive
def test_a_model_is_its_configuration(tmp_path: Path, here: Callable[..., str]) -> None:
    config = json.loads(files("add-a-model.md")["config.json"])
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    counted, planned, priced = (here(line) for line in commands("add-a-model.md"))
    width, inner, layers = 512, 1408, 8
    per_layer = (
        width * (512 + 2 * 128) + 512 + 2 * 128 + 512 * width + 3 * width * inner + 2 * width
    )
    assert f"{32000 * width + layers * per_layer + width:,}" in counted
    assert "on 1 × l40s" in planned
    assert "fp8-tensor" in priced
    (tmp_path / "config.json").write_text(
        json.dumps({**config, "mystery_layers": 3}), encoding="utf-8"
    )
    assert "mystery_layers" in here("plan inventory ./config.json", code=2)


def test_a_scheme_is_a_record(copy: Path) -> None:
    catalogue = copy / "planner" / "formats" / "schemes.py"
    text, at = catalogue.read_text(encoding="utf-8"), '    _native(\n        "nvfp4",\n'
    assert text.count(at) == 1
    catalogue.write_text(
        text.replace(at, files("add-a-format.md")["schemes.py"] + at), encoding="utf-8"
    )
    listed, _, priced, _ = commands("add-a-format.md")
    assert re.search(
        r"int4-w4a16-g64 +int4 1×64 +bf16 +4.25 +16 weight-only", run(listed, copy, copy)
    )
    assert "int4-w4a16-g64" in run(priced, copy, copy, code=1)  # its loss is not known yet


@pytest.mark.exhaustive
def test_a_scheme_with_its_errors_is_planned_with(copy: Path) -> None:
    test_a_scheme_is_a_record(copy)
    _, emulated, priced, planned = commands("add-a-format.md")
    rows = dict(re.findall(r"^(int4-\S+) +([\d.]+)%", run(emulated, copy, copy), re.MULTILINE))
    assert 0 < float(rows["int4-w4a16-g64"]) < float(rows["int4-w4a16"])
    subprocess.run(
        [sys.executable, "-c", _EMULATE],
        check=True,
        cwd=copy,
        env={**clean_environment(), "PYTHONPATH": str(copy)},
    )
    assert "int4-w4a16-g64" in run(priced, copy, copy)
    assert "int4-w4a16-g64" in run(planned, copy, copy)


@pytest.mark.exhaustive
def test_an_engine_is_rows(copy: Path) -> None:
    data = copy / "planner" / "planning" / "data"
    rows = files("add-an-engine.md")
    for name in ("engine_matrix.csv", "engine_layouts.csv", "engine_sources.csv"):
        with (data / name).open("a", encoding="utf-8") as file:
            file.write(rows[name])
    versions = copy / "planner" / "memory" / "data" / "engine_versions.csv"
    with versions.open("a", encoding="utf-8") as file:
        file.write(rows["engine_versions.csv"])
    newest, older, formats = (run(line, copy, copy) for line in commands("add-an-engine.md"))
    table = newest.split("\nAssumptions:")[0]
    assert re.search(r"fp8-(tensor|channel)", table)
    assert re.search(r"servable by ourserver: +yes \(1\.2\)", " ".join(newest.split()))
    table = older.split("\nAssumptions:")[0].partition("\nmodule ")[2].partition("\nTPOT ")[0]
    assert table
    assert not re.search(r"fp8-(tensor|channel)", table)
    assert "ourserver 1.2" in " ".join(formats.split())
    refused = run("plan memory llama-3.2-1b l40s --engine ourserver", copy, copy, code=2)
    assert "the memory arithmetic of ourserver is not modelled" in refused


def test_the_pages_have_their_commands() -> None:
    assert [
        len(commands(f"add-a{n}.md")) for n in ("-device", "-model", "-format", "n-engine")
    ] == [6, 3, 4, 3]
    assert os.path.isabs(sys.executable)
