"""Published tables made compact: floors, groups, broken types, levels; on a hand-made folder."""

import csv
import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from planner.lab.tables import measured_losses
from planner.lab.tables.measured_losses import ggml_weight_error
from planner.quality.sensitivity.kld_data import kld_models
from planner.quality.sensitivity.level import saturated

SHARED = Path(__file__).resolve().parents[4] / "shared" / "measured" / "kld"
LAYERS, FLOOR, LEVEL, TABLE_FLOOR, G = 3, 0.010, 5.0, 0.002, -0.2
BY_NAME = {m.name: m for m in kld_models()}
PLAIN = replace(
    BY_NAME["GLM-4.5-Air"],
    name="plain",
    structure=replace(BY_NAME["GLM-4.5-Air"].structure, layers=LAYERS),
)
DEEP, SIGNAL, HEAD = 9, 0.03, 0.2
LINEAR = replace(
    BY_NAME["Qwen3.5-35B-A3B"],
    name="linear",
    levelled=False,
    structure=replace(BY_NAME["Qwen3.5-35B-A3B"].structure, layers=DEEP),
)
Made = dict[tuple[str, int], tuple[float, float]]


def write(path: Path, head: str, rows: Iterable[Iterable[object]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([head.split(","), *rows])


def plain_rows() -> list[tuple[object, ...]]:
    """Queries and keys cut together in one layer and apart in another, four unused matrices at the
    floor, one broken type."""
    q = "iq1_kt"
    return [
        ("plain", q, "blk.0.attn_q.weight", 0.110),
        ("plain", q, "blk.0.attn_k.weight", 0.110),
        ("plain", q, "blk.1.attn_q.weight", 0.040),
        ("plain", q, "blk.1.attn_k.weight", 0.030),
        ("plain", q, "output.weight", 0.310),
        *(
            ("plain", q, f"blk.{LAYERS}.{s}.weight", v)
            for s, v in (
                ("attn_q", 0.009),
                ("attn_k", 0.010),
                ("attn_v", 0.010),
                ("attn_output", 0.012),
            )
        ),
        ("plain", "iq2_bn", "blk.0.attn_q.weight", 9.0),
    ]


def linear_rows() -> list[tuple[object, ...]]:
    """Matrices that hardly do anything show a floor that falls with depth."""
    return [
        ("linear", "iq1_kt", f"blk.{n}.{stem}.weight", idle(n) + added)
        for n in range(DEEP)
        for stem, added in (("ssm_alpha", 0.0), ("ssm_out", SIGNAL))
    ] + [("linear", "iq1_kt", "output.weight", HEAD)]


def idle(layer: int) -> float:
    return 0.02 + 0.01 * (DEEP - 1 - layer)


def whole_rows() -> list[tuple[object, ...]]:
    """Whole models that follow the law: floor + saturated(level · e)."""
    rows: list[tuple[object, ...]] = []
    for name in (*measured_losses.LEVEL_TYPES, *measured_losses.COARSE_TYPES):
        errors = ggml_weight_error()[name].values()
        kld = TABLE_FLOOR + saturated(LEVEL * sum(errors) / len(errors), G)
        rows.append(("plain", name.upper(), "", kld))
    return [*rows, ("plain", "iq3_s", "", 0)]


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write(tmp_path / "kld_tensors.csv", "model,qtype,tensor,kld", plain_rows() + linear_rows())
    write(
        tmp_path / "kld_groups.csv",
        "model,pattern",
        [("plain", r"^blk\.0\.attn_[qk]\.weight$,^never$")],
    )
    write(tmp_path / "kld_whole.csv", "model,qtype,bits_per_weight,kld", whole_rows())
    monkeypatch.setattr(measured_losses, "DATA", tmp_path)
    monkeypatch.setattr(measured_losses, "kld_index", lambda: (PLAIN, LINEAR))
    measured_losses.main([tmp_path])
    return tmp_path / "kld"


def points(path: Path) -> Made:
    with path.open(encoding="utf-8", newline="") as file:
        return {
            (row["stems"], int(row["layer"])): (float(row["signal_nats"]), float(row["noise_nats"]))
            for row in csv.DictReader(file)
        }


def test_the_floor_is_that_of_unused_layers_and_groups_count_once(made: Path) -> None:
    found = points(made / "plain.csv")
    assert set(found) == {("attn_k+attn_q", 0), ("attn_k", 1), ("attn_q", 1), ("output", -1)}
    signal = {place: value for place, (value, _) in found.items()}
    assert signal["attn_k+attn_q", 0] == pytest.approx(0.110 - FLOOR)
    assert signal["attn_q", 1] == pytest.approx(0.040 - FLOOR)
    assert signal["output", -1] == pytest.approx(0.310 - FLOOR)
    noise = {value for _, value in found.values()}
    assert len(noise) == 1
    assert 0 < noise.pop() < FLOOR


def test_the_floor_of_a_layer_is_what_idle_matrices_show(made: Path) -> None:
    """Without its own floor every layer's matrix loses the same; nothing is taken off the head,
    which no layer follows. The floor is a running median, so that the ends keep a part of it."""
    found = points(made / "linear.csv")
    base = json.loads((made / "levels.json").read_text(encoding="utf-8"))["linear"]["floor_nats"]
    assert base == pytest.approx(0.02, rel=0.1)
    for layer in range(2, DEEP - 2):
        signal, noise = found["ssm_out", layer]
        assert signal == pytest.approx(SIGNAL)
        assert noise > 0.3 * (idle(layer) - base), "a floor of a layer is noise as well"
    assert found["output", -1][0] == pytest.approx(HEAD - base, rel=1e-3)
    assert found["output", -1][1] < found["ssm_out", 2][1]


def test_levels_come_from_whole_models(made: Path) -> None:
    found = json.loads((made / "levels.json").read_text())
    assert found["plain"]["level"] == pytest.approx(LEVEL, rel=0.02)
    assert found["plain"]["whole_floor_nats"] == pytest.approx(TABLE_FLOOR, rel=0.1)
    assert found["plain"]["level_band"] < 1.02
    assert found["plain"]["qtype"] == "iq1_kt", "broken types are left out"
    assert "level" not in found["linear"]


def test_g_is_the_whole_model_over_level_and_error(made: Path) -> None:
    """Not over what single matrices lose in sum, which floors hide or add to."""
    found = json.loads((made / "levels.json").read_text())
    assert G < found["plain"]["saturation"] < 0.3 * G, "one type near the knee says little"
    assert "saturation" not in found["linear"]


def test_the_same_tables_give_the_same_files(made: Path) -> None:
    before = {path.name: path.read_bytes() for path in made.iterdir()}
    measured_losses.main([made.parent])
    assert {path.name: path.read_bytes() for path in made.iterdir()} == before


def test_the_shipped_files_are_those_of_the_published_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not SHARED.is_dir():
        pytest.skip(f"{SHARED} is not there: the published tables are not part of the repository")
    shipped = measured_losses.DATA / "kld"
    monkeypatch.setattr(measured_losses, "DATA", tmp_path)
    measured_losses.main([SHARED, SHARED.with_name("kld_more")])
    for path in (tmp_path / "kld").iterdir():
        assert path.read_bytes() == (shipped / path.name).read_bytes(), path.name
