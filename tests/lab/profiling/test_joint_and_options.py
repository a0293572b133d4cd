"""Whole-model checks of a profile, flips in plans, static scales and SmoothQuant."""

from pathlib import Path

import numpy as np
import pytest
from support.checkpoints import write_llama
from support.probe_models import tiny_decoder, tokens

from planner import plan, read_plan
from planner.base.errors import InputError
from planner.lab.probe.emulate import Quantizer
from planner.lab.probe.measure import make_reference, plan_loss
from planner.lab.probe.options import InputOptions, input_amax, recipes
from planner.lab.profiling import probe_tokens
from planner.lab.profiling.profile import profile
from planner.quality.profile import Profile
from planner.quality.profile_file import profile_text, read_profile

SCHEMES = ["fp8-block", "fp8-tensor", "int8-w8a8", "nvfp4"]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_llama(tmp_path_factory.mktemp("joint") / "tiny")


@pytest.fixture(scope="module")
def ids(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ids") / "ids.npy"
    np.save(path, np.random.default_rng(3).integers(0, 96, (2, 96)))
    return path


@pytest.fixture(scope="module")
def measured(checkpoint: Path, ids: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("measured") / "p.json"
    profile(checkpoint, tier="T2", text=ids, schemes=SCHEMES, workers=1, probe="nvfp4", output=path)
    return path


def test_joint_losses_are_those_of_whole_models_and_stand_beside_the_sum(measured: Path) -> None:
    found = read_profile(measured)
    assert [c.scheme for c in found.joint] == ["fp8-block", "int8-w8a8", "nvfp4"]
    for check in found.joint:
        assert check.total == pytest.approx(found.uniform_loss(check.scheme))
        assert 0.5 < check.joint / check.total < 2.0
    losses = [c.joint for c in found.joint]
    assert losses[-1] == max(losses)


def test_flips_of_a_plan_are_the_measured_share_at_the_measured_loss(
    checkpoint: Path, measured: Path
) -> None:
    found = read_profile(measured)
    slope = found.flips_per_root_nat
    assert slope is not None
    made = plan(
        checkpoint,
        "h100-sxm",
        devices=1,
        context=64,
        profile=measured,
        schemes=["fp8-block"],
        batch=1,
    )
    assert made.quality.top1 == pytest.approx(1 - min(1.0, slope * np.sqrt(made.quality.loss)))
    assert any(
        a.key == "additivity" and "measured under uniform fp8-block" in a.reason
        for a in made.assumptions
    )
    again = read_plan(made.to_dict())
    assert again.quality.top1 == made.quality.top1


def test_a_profile_without_joint_checks_has_no_flips(checkpoint: Path) -> None:
    found: Profile = profile(checkpoint, schemes=["fp8-block"], workers=1)
    assert found.joint == ()
    assert found.flips_per_root_nat is None


def write(path: Path, found: Profile) -> Path:
    path.write_text(profile_text(found), encoding="utf-8")
    return path


def test_static_scales_change_their_schemes_alone(
    checkpoint: Path, ids: Path, measured: Path, tmp_path: Path
) -> None:
    dynamic = read_profile(measured)
    static = profile(
        checkpoint,
        tier="T2",
        text=ids,
        schemes=SCHEMES,
        workers=1,
        probe="nvfp4",
        static_scales=True,
    )
    assert static.settings["inputs"].startswith("static scales of inputs in fp8-tensor and int8")
    assert static.settings["calibration"] == "the probe's own ids"
    made = plan(
        checkpoint,
        "h100-sxm",
        devices=1,
        context=64,
        batch=1,
        schemes=["int8-w8a8"],
        profile=write(tmp_path / "static.json", static),
    )
    assert [a.value for a in made.assumptions if a.key == "input scales"] == [
        static.settings["inputs"]
    ]
    for a, b in zip(dynamic.units, static.units, strict=True):
        for scheme in ("fp8-block", "nvfp4"):
            assert a.loss.get(scheme) == b.loss.get(scheme)
    total = [sum(u.loss.get("int8-w8a8", 0.0) for u in p.units) for p in (dynamic, static)]
    assert total[1] > total[0]  # one scale for all tokens rounds more coarsely


def test_smoothquant_moves_outliers_into_the_weights() -> None:
    model, ids = tiny_decoder(seed=1), tokens(4, 32)
    model.weights["0.norm1"][5] = 40.0  # an outlier channel behind the norm
    reference = make_reference(model, ids)
    amax = input_amax(model, tokens(4, 32, seed=9))
    losses = []
    for options in (InputOptions(), InputOptions(smoothquant=0.5)):
        made = recipes(model, "int8-w8a8", options, amax)
        changed = {u.id: made[u.id] for u in model.units if u.layer == 0}
        losses.append(plan_loss(model, reference, changed).mean)
    assert losses[1] < losses[0]
    smooth = recipes(model, "int8-w8a8", InputOptions(smoothquant=0.5), amax)
    assert {u.kind for u in model.units if smooth[u.id].input_scale is not None} == {
        "attention-qkv",
        "mlp-gate-up",
    }
    assert recipes(model, "nvfp4", InputOptions(True, 0.5), {}) == {
        u.id: Quantizer("nvfp4") for u in model.units
    }


def test_scales_are_calibrated_on_tokens_beside_the_probes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Letters:
        def encode(self, text: str) -> list[int]:
            return [ord(c) for c in text]

    monkeypatch.setattr(probe_tokens, "load_tokenizer", lambda path: Letters())
    text = tmp_path / "prose.txt"
    text.write_text("".join(chr(256 + n) for n in range(3000)), encoding="utf-8")
    asked = probe_tokens.ProbeSetup("T2", 192, 1, text, "nvfp4", InputOptions(static=True))
    model = tiny_decoder()
    probe, _ = probe_tokens.probe_tokens(text, None, asked, model)
    others, source = probe_tokens.calibration_tokens(text, None, asked, model)
    assert (probe.shape, others.shape) == ((2, 96), (8, 96))
    assert not set(probe.ravel().tolist()) & set(others.ravel().tolist())
    assert source == "prose.txt, 768 tokens beside the probe's"
    text.write_text("".join(chr(256 + n) for n in range(900)), encoding="utf-8")
    with pytest.raises(InputError, match="7 chunks of 96 tokens are left, 8 wanted"):
        probe_tokens.calibration_tokens(text, None, asked, model)


def test_wrong_options(checkpoint: Path) -> None:
    with pytest.raises(InputError, match="out of range"):
        profile(checkpoint, tier="T2", smoothquant=1.5)
    with pytest.raises(InputError, match="SmoothQuant need inputs"):
        profile(checkpoint, static_scales=True)
    for given in ({"static_scales": True}, {"smoothquant": 0.5}, {"text": "prose.txt"}):
        with pytest.raises(InputError, match="exclude each other"):
            profile(checkpoint, scores="scores.csv", **given)
