"""``plan calibrate`` on made-up tables: the file it writes, and what it refuses."""

import csv
import json
from pathlib import Path

import pytest

from planner.cli.main import run
from planner.hardware.loader import load_profile

FIELDS = ("device", "software", "w_a_dtype", "m", "n", "k", "latency_us")


def table(folder: Path, device: str = "h20") -> Path:
    """BF16 GEMMs of a device that is 10 % slower than its roofline and 4 µs late."""
    folder.mkdir(exist_ok=True)
    with (folder / "mine.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, FIELDS)
        writer.writeheader()
        for m in (1, 32, 256, 4096):
            for n in (1024, 4096, 8192):
                for k in (1024, 2048, 4096, 8192):
                    busy = max(2 * m * n * k / 148e12, 2 * (n * k + m * k + m * n) / 4e12)
                    writer.writerow(
                        dict(
                            zip(
                                FIELDS,
                                (device, "vllm 1.0", "bfloat16", m, n, k, 4 + 1.1e6 * busy),
                                strict=True,
                            )
                        )
                    )
    return folder


def test_a_profile_with_the_parameters_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "h20.toml"
    assert (
        run(
            [
                "calibrate",
                str(table(tmp_path / "data")),
                "-o",
                str(out),
                "--source",
                "our lab",
                "--date",
                "2030-01-02",
                "--json",
            ]
        )
        == 0
    )
    answer = json.loads(capsys.readouterr().out)
    assert answer["device"] == "h20"
    fit = load_profile(out).fitted["gemm", "vllm", "bf16"]
    assert fit.date == "2030-01-02"
    assert fit.error.mean == pytest.approx(answer["fits"][0]["error"]["mean"], abs=1e-4)
    assert fit.error.mean < 0.10
    source = next(s for s in load_profile(out).sources if s.key == fit.source)
    assert source.title.startswith("our lab; mine.csv, 48 rows of h20")
    assert not list(tmp_path.glob(".*"))  # nothing half-written is left


@pytest.mark.exhaustive
def test_other_sets_and_text_of_the_profile_stay(tmp_path: Path) -> None:
    data, out = table(tmp_path / "data", "h100_sxm"), tmp_path / "h100-sxm.toml"
    assert run(["calibrate", str(data), "-o", str(out), "--quiet"]) == 0
    from planner.hardware.catalog import resolve_device

    before, after = resolve_device("h100-sxm"), load_profile(out)
    assert set(after.fitted) == set(before.fitted)
    assert after.fitted["gemm", "vllm", "bf16"] != before.fitted["gemm", "vllm", "bf16"]
    assert after.fitted["gemm", "trtllm", "bf16"] == before.fitted["gemm", "trtllm", "bf16"]
    head = Path(before.path).read_text(encoding="utf-8").split("[sources]")[0]
    assert out.read_text(encoding="utf-8").startswith(head)


def test_few_rows_start_from_the_relative(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "h20.toml"
    assert run(["calibrate", str(table(tmp_path / "data")), "-o", str(out), "--few", "12"]) == 0
    assert "12" in capsys.readouterr().out
    fit = load_profile(out).fitted["gemm", "vllm", "bf16"]
    assert fit.error.rows == 12
    assert "the rest carried over" in fit.note


@pytest.mark.exhaustive
def test_a_device_of_ones_own(tmp_path: Path) -> None:
    from planner.hardware.catalog import resolve_device

    text = Path(resolve_device("h20").path).read_text(encoding="utf-8")
    folder = tmp_path / "mine"
    folder.mkdir()
    own = text.replace('id = "h20"', 'id = "lab-gpu"').replace("aliases = [", "aliases = [] # ")
    (folder / "lab-gpu.toml").write_text(own, encoding="utf-8")
    out = tmp_path / "lab-gpu.toml"
    arguments = [
        "calibrate",
        str(table(tmp_path / "data", "lab-gpu")),
        "-o",
        str(out),
        "--device",
        "lab-gpu",
        "--hardware-dir",
        str(folder),
        "--quiet",
    ]
    assert run(arguments) == 0
    assert ("gemm", "vllm", "bf16") in load_profile(out).fitted


@pytest.mark.parametrize(
    ("words", "name", "error"),
    [
        ([], "other.toml", "would not be found as h20"),
        (["--only", "gem"], "h20.toml", "unknown operator 'gem'"),
        (["--only", "quantise"], "h20.toml", "no operator table with rows of h20"),
        (["--device", "b200-sxm"], "b200-sxm.toml", "no operator table with rows of b200-sxm"),
        (["--few", "2"], "h20.toml", "2 of 48 rows cannot be fitted"),
    ],
)
def test_refusals(
    tmp_path: Path, words: list[str], name: str, error: str, capsys: pytest.CaptureFixture[str]
) -> None:
    data, out = table(tmp_path / "data"), tmp_path / name
    assert run(["calibrate", str(data), "-o", str(out), *words]) == 2
    assert error in capsys.readouterr().err
    assert not out.exists()


def test_an_existing_file_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, out = table(tmp_path / "data"), tmp_path / "h20.toml"
    out.write_text("mine", encoding="utf-8")
    assert run(["calibrate", str(data), "-o", str(out)]) == 2
    assert "exists" in capsys.readouterr().err
    assert out.read_text(encoding="utf-8") == "mine"
    assert run(["calibrate", str(data), "-o", str(out), "--few", "12", "--force", "--quiet"]) == 0
    assert load_profile(out).id == "h20"


def test_tables_of_several_devices_want_a_choice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = table(tmp_path / "data")
    text = (data / "mine.csv").read_text(encoding="utf-8")
    (data / "more.csv").write_text(text.replace("h20,", "a100_sxm,"), encoding="utf-8")
    assert run(["calibrate", str(data), "-o", str(tmp_path / "h20.toml")]) == 2
    assert "h20, a100-sxm" in capsys.readouterr().err


def test_an_empty_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "data").mkdir()
    assert run(["calibrate", str(tmp_path / "data"), "-o", str(tmp_path / "h20.toml")]) == 2
    assert "no device" in capsys.readouterr().err
