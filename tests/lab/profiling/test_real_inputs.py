"""Real inputs: a user's files, or the model run here; experts and routers; tiers in nats."""

import json
from pathlib import Path

import numpy as np
import pytest
from support.checkpoints import as_bf16, values_of, write_llama, write_safetensors

from planner.base.errors import DataError, InputError
from planner.lab.profiling.profile import profile
from planner.numerics import error, quantize
from planner.quality.profile import Profile

FEW = ["fp8-block", "int8-w8a8", "nvfp4"]
RNG = np.random.default_rng(8)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return write_llama(tmp_path / "tiny")


def test_inputs_of_a_unit_replace_its_constant(checkpoint: Path, tmp_path: Path) -> None:
    folder = tmp_path / "inputs"
    folder.mkdir()
    np.save(folder / "mlp-down.1.npy", RNG.standard_normal((32, 96)).astype(np.float32))
    found = profile(checkpoint, inputs=folder, schemes=FEW, workers=1)
    assert found.by_unit["mlp-down", 1].error_basis == "measured on real inputs"
    assert "constant" in found.by_unit["mlp-down", 0].error_basis
    np.save(folder / "mlp-down.1.npy", RNG.standard_normal((32, 95)).astype(np.float32))
    with pytest.raises(InputError, match="95"):
        profile(checkpoint, inputs=folder, schemes=FEW, workers=1)


def test_keys_and_values_of_a_layer(checkpoint: Path, tmp_path: Path) -> None:
    folder = tmp_path / "inputs"
    folder.mkdir()
    k = RNG.standard_normal((2, 64, 16)).astype(np.float32)
    k[:, :, 3] *= 12  # a steady outlier channel
    np.savez(
        folder / "attention.0.npz",
        q=RNG.standard_normal((4, 64, 16)).astype(np.float32),
        k=k,
        v=RNG.standard_normal((2, 64, 16)).astype(np.float32),
    )
    found = profile(checkpoint, inputs=folder, schemes=FEW, workers=1)
    keys = found.by_unit["kv-k", 0]
    assert keys.error_basis == "measured on real keys and values"
    assert keys.error["int4-channel"] < keys.error["int4-token"]
    assert "constant" in found.by_unit["kv-k", 1].error_basis
    np.savez(folder / "attention.0.npz", q=k)
    with pytest.raises(DataError, match="arrays q"):
        profile(checkpoint, inputs=folder, schemes=FEW, workers=1)
    (folder / "attention.0.npz").rename(folder / "attention.9.npz")
    with pytest.raises(DataError, match="no attention in layer 9"):
        profile(checkpoint, inputs=folder, schemes=FEW, workers=1)


@pytest.fixture
def ids(tmp_path: Path) -> Path:
    path = tmp_path / "ids.npy"
    np.save(path, RNG.integers(0, 128, (2, 24)))
    return path


def test_t2_and_t3_run_the_model_and_agree_on_the_probe(checkpoint: Path, ids: Path) -> None:
    measured = profile(checkpoint, tier="measured", text=ids, schemes=FEW, workers=1)
    assert (measured.tier, measured.unit) == ("T3", "nats")
    probed = profile(checkpoint, tier="T2", text=ids, schemes=FEW, workers=1, probe="nvfp4")
    for key, unit in probed.by_unit.items():
        if key[0].startswith("kv"):
            continue
        assert unit.error_basis == "measured on real inputs"
        assert unit.loss["nvfp4"] == pytest.approx(measured.by_unit[key].loss["nvfp4"], rel=1e-3)
        assert unit.loss["fp8-block"] < unit.loss["nvfp4"]
    fp8 = (probed.uniform_loss("fp8-block"), measured.uniform_loss("fp8-block"))
    assert fp8[0] == pytest.approx(fp8[1], rel=0.5)
    assert measured.settings["tokens"] == 48
    keys = measured.by_unit["kv-k", 1]
    assert keys.loss["bf16"] == 0
    assert keys.loss["int4-token"] > keys.loss["int8-token"] > 0


def test_a_killed_probe_goes_on(checkpoint: Path, ids: Path, tmp_path: Path) -> None:
    whole = profile(
        checkpoint, tier="T2", text=ids, schemes=FEW, workers=1, output=tmp_path / "whole"
    )

    class KilledError(Exception):
        pass

    def stop(line: str) -> None:
        if line.startswith("loss of matrices"):
            raise KilledError

    with pytest.raises(KilledError):
        profile(
            checkpoint,
            tier="T2",
            text=ids,
            schemes=FEW,
            workers=1,
            notify=stop,
            output=tmp_path / "p",
        )
    kept = (tmp_path / "p.journal").read_bytes().count(b"loss/")
    assert kept == 1
    again = profile(checkpoint, tier="T2", text=ids, schemes=FEW, workers=1, output=tmp_path / "p")
    assert again == whole
    assert (tmp_path / "p").read_bytes() == (tmp_path / "whole").read_bytes()


def test_t1_takes_no_text_and_is_the_same_again(checkpoint: Path, ids: Path) -> None:
    with pytest.raises(InputError, match="writes itself"):
        profile(checkpoint, tier="T1", text=ids, schemes=FEW, workers=1)
    found = profile(checkpoint, tier="T1", schemes=FEW, workers=1, tokens=96)
    again = profile(checkpoint, tier="T1", schemes=FEW, workers=1, tokens=96)
    assert found == again
    assert found.settings["text"] == "written by the model"


@pytest.mark.parametrize("bad", [np.zeros((2, 3)), np.full((1, 4), 128), np.zeros(3, np.int64)])
def test_bad_token_ids(checkpoint: Path, tmp_path: Path, bad: np.ndarray) -> None:
    np.save(tmp_path / "bad.npy", bad)
    with pytest.raises(DataError, match="token ids"):
        profile(checkpoint, tier="T3", text=tmp_path / "bad.npy", workers=1)


EXPERTS, PICKED = 4, 2


@pytest.fixture
def mixture(tmp_path: Path) -> Path:
    """A Mixtral-type model of one layer with four experts."""
    folder = tmp_path / "moe"
    folder.mkdir()
    h, inner = 64, 96
    config = {
        "model_type": "mixtral",
        "hidden_size": h,
        "num_hidden_layers": 1,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "intermediate_size": inner,
        "vocab_size": 96,
        "max_position_embeddings": 512,
        "torch_dtype": "bfloat16",
        "num_local_experts": EXPERTS,
        "num_experts_per_tok": PICKED,
        "hidden_act": "silu",
        "rms_norm_eps": 1e-5,
        "rope_theta": 1e6,
        "tie_word_embeddings": False,
    }
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    layer, moe = "model.layers.0.", "model.layers.0.block_sparse_moe."
    shapes = {
        "model.embed_tokens": (96, h),
        "lm_head": (96, h),
        "model.norm": (h,),
        layer + "input_layernorm": (h,),
        layer + "post_attention_layernorm": (h,),
        layer + "self_attn.q_proj": (h, h),
        layer + "self_attn.k_proj": (32, h),
        layer + "self_attn.v_proj": (32, h),
        layer + "self_attn.o_proj": (h, h),
        moe + "gate": (EXPERTS, h),
    }
    for n in range(EXPERTS):
        shapes |= {
            f"{moe}experts.{n}.w1": (inner, h),
            f"{moe}experts.{n}.w3": (inner, h),
            f"{moe}experts.{n}.w2": (h, inner),
        }
    tensors = {
        f"{name}.weight": ("BF16", as_bf16(RNG.standard_normal(shape) * 0.05))
        for name, shape in shapes.items()
    }
    outliers = values_of(tensors[f"{moe}experts.3.w2.weight"][1]).copy()
    outliers[::7, 5] *= 40  # the last expert is hard to quantise
    tensors[f"{moe}experts.3.w2.weight"] = ("BF16", as_bf16(outliers))
    write_safetensors(folder / "model.safetensors", tensors)
    return folder


def expert_error(found: Profile) -> float:
    return found.by_unit["experts-down", 0].error["int4-w4a16"]


def test_experts_are_weighted_by_routing_and_routers_have_margins(
    mixture: Path,
    tmp_path: Path,
) -> None:
    few = ["fp8-block", "int4-w4a16"]
    even = profile(mixture, schemes=few, workers=1)
    [router] = even.routers
    rates = [router.flip_rate[e] for e in sorted(router.flip_rate, key=float)]
    assert rates == sorted(rates)
    assert 0 < rates[-1] < 0.5
    assert "synthetic" in router.basis
    assert "router" not in {u.kind for u in even.units}
    assert any("policy" in note for note in even.notes)
    [row] = [t for t in even.tensors if t.kind == "experts-down"]
    assert row.matrices == EXPERTS
    routing = tmp_path / "r.csv"
    routing.write_text("layer,expert,tokens\n0,3,900\n0,0,100\n", encoding="utf-8")
    busy = profile(mixture, schemes=few, workers=1, routing=routing)
    routing.write_text("layer,expert,tokens\n0,0,900\n0,1,100\n", encoding="utf-8")
    calm = profile(mixture, schemes=few, workers=1, routing=routing)
    assert expert_error(calm) < expert_error(even) < expert_error(busy)
    assert busy.by_unit["attention-qkv", 0].error == even.by_unit["attention-qkv", 0].error


@pytest.mark.parametrize(
    "text",
    [
        "layer,expert\n0,1\n",
        "layer,expert,tokens\n0,9,1\n",
        "layer,expert,tokens\n1,0,1\n",
        "layer,expert,tokens\n0,0,x\n",
        "layer,expert,tokens\n0,0,0\n",
        "layer,expert,tokens\n0,0,-1\n",
    ],
)
def test_bad_routing_files(mixture: Path, tmp_path: Path, text: str) -> None:
    (tmp_path / "r.csv").write_text(text, encoding="utf-8")
    with pytest.raises(DataError):
        profile(mixture, routing=tmp_path / "r.csv", workers=1)


def test_routing_needs_experts(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text("layer,expert,tokens\n0,0,1\n", encoding="utf-8")
    with pytest.raises(DataError, match="no routed experts"):
        profile(checkpoint, routing=tmp_path / "r.csv", workers=1)


def test_a_mean_of_experts_is_a_mean_of_their_errors(mixture: Path) -> None:
    found = profile(mixture, schemes=["fp8-block"], workers=1)
    [row] = [t for t in found.tensors if t.kind == "experts-down"]
    from planner.models.checkpoint_places import read_places

    places = read_places(mixture).places
    errors = []
    for n in range(EXPERTS):
        place = places[f"model.layers.0.block_sparse_moe.experts.{n}.w2.weight"]
        codes = np.fromfile(place.file, "<u2", 64 * 96, offset=place.offset).reshape(64, 96)
        w = values_of(codes)
        errors.append(error(w, quantize(w, "fp8-block").dequantize()).relative_power)
    assert row.weight_error["fp8-block"] == pytest.approx(np.mean(errors), rel=1e-4)
