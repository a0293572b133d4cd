"""Quick profiles: beside measured losses, level, caches, resumed draws, refusals, plans."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.checkpoints import write_llama

from planner.base.errors import InputError
from planner.lab.profiling import quick
from planner.lab.profiling.profile import profile
from planner.quality.profile import JointCheck, Profile
from planner.quality.profile_file import read_profile
from planner.quality.profile_units import TIER_BANDS

FEW = ["fp8-block", "fp8-tensor", "int8-w8a8", "nvfp4"]
TOKENS, SMALL = (12, 24), 128


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_llama(tmp_path_factory.mktemp("quick") / "tiny")


@pytest.fixture(scope="module")
def ids(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ids") / "ids.npy"
    np.save(path, np.random.default_rng(8).integers(0, SMALL, TOKENS))
    return path


@pytest.fixture(scope="module")
def make(checkpoint: Path, ids: Path) -> Callable[..., Profile]:
    return lambda **more: profile(checkpoint, text=ids, schemes=FEW, workers=1, **more)


@pytest.fixture(scope="module")
def found(make: Callable[..., Profile]) -> Profile:
    return make(quick=True)


@pytest.fixture(scope="module")
def measured(make: Callable[..., Profile]) -> Profile:
    return make(tier="T3")


def test_quick_losses_are_near_measured_ones(found: Profile, measured: Profile) -> None:
    ratios = [
        np.log(unit.loss[name] / measured.by_unit[key].loss[name])
        for key, unit in found.by_unit.items()
        if not key[0].startswith("kv")
        for name in FEW
    ]
    assert len(ratios) == 4 * len(FEW) * 2
    assert abs(np.median(ratios)) < np.log(1.5)
    assert np.quantile(np.abs(ratios), 0.8) < np.log(TIER_BANDS["quick"].factor)


def test_caches_are_near_measured_ones(found: Profile, measured: Profile) -> None:
    ratios = [
        np.log(found.by_unit[kind, layer].loss[name] / measured.by_unit[kind, layer].loss[name])
        for kind in ("kv-k", "kv-v")
        for layer in range(2)
        for name in ("fp8", "int4-token")
    ]
    assert abs(np.median(ratios)) < np.log(2)
    assert found.by_unit["kv-v", 0].loss["bf16"] == 0


def test_a_quick_profile_says_so(found: Profile, tmp_path: Path) -> None:
    assert found.label == "T1 quick"
    assert found.unit == "nats"
    assert found.band_factor == TIER_BANDS["quick"].factor > TIER_BANDS["T2"].factor
    (note,) = (n for n in found.notes if n.startswith("quick:"))
    settings = found.settings
    passes = sum(settings["passes"].values())
    assert f"{passes} passes of the model" in note
    assert str(settings["passes_of_t3"]) in note
    assert settings["passes"]["backward"] == settings["draws"] == quick.DRAWS
    assert settings["probe"] == "nvfp4"


def test_the_level_is_that_of_whole_models(found: Profile) -> None:
    assert [c.scheme for c in found.joint] == list(quick.CHECKED)
    for check in found.joint:
        assert check.total == pytest.approx(found.uniform_loss(check.scheme), rel=1e-4)
    ratios = [c.joint / c.total for c in found.joint if c.joint <= 0.3]
    assert np.prod(ratios) == pytest.approx(1, rel=1e-6)
    assert found.settings["level"] > 0


def test_only_checks_that_add_up_give_the_level() -> None:
    fine, coarse = JointCheck("a", 0.10, 0.05, 0.0), JointCheck("b", 1.0, 3.0, 0.0)
    assert quick.level_factor([fine, coarse]) == pytest.approx(0.5)
    assert quick.level_factor([coarse]) == quick.level_factor([]) == 1.0
    assert quick.level_factor([replace(fine, joint=0.0)]) == 1.0


def test_passes_of_every_loss_are_counted_from_its_layer_up(found: Profile) -> None:
    """Two layers of seven matrices: those of the second run half a pass."""
    assert found.settings["passes_of_t3"] == round(len(FEW) * 7 * (1 + 0.5))


def test_a_killed_run_keeps_its_draws(
    make: Callable[..., Profile], found: Profile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    true = quick.squared_changes

    def stop(*given: object) -> dict[quick.Place, float]:
        calls.append(1)
        if len(calls) > 3:
            raise KeyboardInterrupt
        return true(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(quick, "squared_changes", stop)
    with pytest.raises(KeyboardInterrupt):
        make(quick=True, output=tmp_path / "p")
    assert not (tmp_path / "p").exists()
    assert (tmp_path / "p.journal").read_bytes().count(b"quick/") == 3
    monkeypatch.setattr(quick, "squared_changes", true)
    assert make(quick=True, output=tmp_path / "p") == found
    assert read_profile(tmp_path / "p") == found
    assert not (tmp_path / "p.journal").exists()


def test_an_older_file_is_read_as_before(measured: Profile, tmp_path: Path) -> None:
    from planner.quality.profile_file import parse_profile, profile_text

    assert parse_profile(json.loads(profile_text(measured)), "p") == measured


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"tier": "T2"}, "tier"),
        ({"scores": "scores.csv"}, "scores"),
        ({"inputs": "."}, "inputs"),
        ({"imatrix": "m.dat"}, "imatrix"),
    ],
)
def test_what_excludes_quick(checkpoint: Path, given: dict[str, str], named: str) -> None:
    with pytest.raises(InputError, match=f"quick and {named} exclude each other") as caught:
        profile(checkpoint, quick=True, **given)
    assert caught.value.hint


def test_a_probe_scheme_needs_a_tier_that_has_one(checkpoint: Path) -> None:
    with pytest.raises(InputError, match="no probe scheme"):
        profile(checkpoint, tier="T3", probe="nvfp4")


def test_a_plan_of_a_quick_profile_has_its_wider_band(checkpoint: Path, found: Profile) -> None:
    import planner

    made = planner.plan(str(checkpoint), "h100-sxm", profile=found, context=512, batch=8)
    basis = next(note for note in made.assumptions if note.key == "loss basis")
    assert "T1 quick" in str(basis.value)
    assert f"{found.band_factor:.3g}" in str(basis.value)
    assert any("quick:" in str(note.value) for note in made.assumptions if note.key == "profile")


def test_the_command(
    checkpoint: Path,
    ids: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from planner.cli.main import run

    monkeypatch.chdir(tmp_path)
    place = str(checkpoint)
    assert run(["profile", place, "--quick", "--text", str(ids), "--workers", "1"]) == 0
    said = capsys.readouterr()
    assert "Tier T1 quick" in " ".join(said.out.split())
    assert "passes of the model in all" in " ".join(said.err.split())
    assert run(["profile", place, "--quick", "--tier", "T3", "--workers", "1"]) == 2
    said = capsys.readouterr()
    assert "quick and tier exclude each other" in said.err
    assert "leave out" in said.err
