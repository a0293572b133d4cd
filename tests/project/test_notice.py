"""NOTICE says where every shipped data file comes from, and the files say it of every figure."""

import csv
import re
import tomllib
from fnmatch import fnmatch
from pathlib import Path

from support.wheels import ROOT

_LINE = re.compile(r"^    ((?:planner|hardware_profiles|scenarios)/\S+)  +(\S.*)$", re.MULTILINE)
FOLDERS = ("planner", "hardware_profiles", "scenarios")


def patterns() -> list[str]:
    return [found[1] for found in _LINE.finditer((ROOT / "NOTICE").read_text(encoding="utf-8"))]


def data_files() -> list[str]:
    return sorted(
        str(path.relative_to(ROOT))
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("*")
        if path.is_file()
        and path.suffix not in (".py", ".pyc", ".nbi", ".nbc")
        and "__pycache__" not in path.parts
    )


def test_every_data_file_has_an_origin() -> None:
    assert [name for name in data_files() if not any(fnmatch(name, p) for p in patterns())] == []


def test_no_origin_is_of_a_file_that_is_gone() -> None:
    used = {next(p for p in patterns() if fnmatch(name, p)) for name in data_files()}
    assert set(patterns()) - used == set()


def test_every_configuration_has_a_source() -> None:
    folder = ROOT / "planner" / "models" / "configs"
    sources = tomllib.loads((folder / "sources.toml").read_text(encoding="utf-8"))
    ids = {
        path.name.split(".hf_quant_config")[0].removesuffix(".json")
        for path in folder.glob("*.json")
    }
    assert ids == set(sources)
    assert [name for name, entry in sources.items() if not entry["source"].strip()] == []


def test_every_row_of_others_has_a_source() -> None:
    for name, column in (
        ("quality/data/measured_deltas.csv", "source"),
        ("quality/data/measured_models.csv", "source"),
        ("quality/data/measured_metrics.csv", "reason"),
        ("quality/data/kld_agreement.csv", "source"),
        ("quality/data/loss_words.csv", "source"),
        ("quality/data/domain_kl.csv", "source"),
        ("quality/data/quantiser_losses.csv", "source"),
        ("planning/data/release_quantisers.csv", "source"),
        ("planning/data/engine_matrix.csv", "source"),
        ("planning/data/engine_layouts.csv", "source"),
        ("planning/data/engine_pool_stages.csv", "source"),
        ("planning/data/published_practice.csv", "source"),
    ):
        path: Path = ROOT / "planner" / name
        with path.open(encoding="utf-8", newline="") as file:
            assert [row for row in csv.DictReader(file) if not row[column].strip()] == []
