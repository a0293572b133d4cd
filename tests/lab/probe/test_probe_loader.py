"""Checkpoints that run: what is read, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
from support.checkpoints import as_bf16, values_of, write_llama, write_safetensors

from planner.base.errors import DataError, UnsupportedError
from planner.lab.probe.loader import activations, load_probe_model

IDS = np.arange(12).reshape(2, 6)


def test_a_llama_folder_runs(tmp_path) -> None:
    folder = write_llama(tmp_path / "m")
    model = load_probe_model(folder)
    assert (model.layers, len(model.units)) == (2, 14)
    seen = dict(activations(folder, IDS))
    assert list(seen) == [u.id for u in model.units]
    assert {u.id: seen[u.id].shape for u in model.units} == {
        u.id: (12, u.inputs) for u in model.units
    }
    assert sum(u.parameters for u in model.units) == sum(
        model.weight(u.id).size for u in model.units
    )


def test_weights_are_those_stored(tmp_path) -> None:
    kept = {}

    def keep(tensors) -> None:
        kept.update({n: t.copy() for n, t in tensors.items()})

    model = load_probe_model(write_llama(tmp_path / "m", keep))
    name = "model.layers.1.mlp.down_proj.weight"
    assert np.array_equal(model.weight(name), values_of(as_bf16(kept[name])))


def test_biases_and_head_norms_of_qwen_enter(tmp_path) -> None:
    def add(tensors) -> None:
        for n in range(2):
            p = f"model.layers.{n}.self_attn."
            tensors[p + "q_proj.bias"] = np.full(64, 0.5, np.float32)
            tensors[p + "k_proj.bias"] = np.arange(32, dtype=np.float32) / 8
            tensors[p + "v_proj.bias"] = np.full(32, 0.5, np.float32)
            tensors[p + "q_norm.weight"] = np.full(16, 2, np.float32)
            tensors[p + "k_norm.weight"] = np.full(16, 2, np.float32)

    plain = dict(activations(write_llama(tmp_path / "a"), IDS))
    changed = dict(activations(write_llama(tmp_path / "b", add), IDS))
    first, out = "model.layers.0.self_attn.{}.weight".format, "o_proj"
    assert np.array_equal(plain[first("q_proj")], changed[first("q_proj")])
    assert not np.allclose(plain[first(out)], changed[first(out)])


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"model_type": "mamba"}, "mamba"),
        ({"rope_scaling": {"rope_type": "llama3", "factor": 8.0}}, "llama3"),
    ],
)
def test_what_does_not_run(tmp_path, changes, says) -> None:
    folder = write_llama(tmp_path / "m")
    config = json.loads((folder / "config.json").read_text()) | changes
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(UnsupportedError, match=says):
        load_probe_model(folder)


def test_a_missing_tensor_is_named(tmp_path) -> None:
    def drop(tensors) -> None:
        del tensors["model.layers.1.mlp.up_proj.weight"]

    with pytest.raises(DataError, match=r"layers\.1\.mlp\.up_proj"):
        load_probe_model(write_llama(tmp_path / "m", drop))


def test_other_types_are_refused_by_name(tmp_path) -> None:
    folder = write_llama(tmp_path / "m")
    write_safetensors(folder / "model.safetensors", {"x": ("I8", np.zeros(4, np.int8))})
    with pytest.raises(UnsupportedError, match="I8"):
        load_probe_model(folder)


def test_another_gguf_architecture(tmp_path, monkeypatch) -> None:
    from planner.lab.probe import loader
    from planner.models.gguf_header import GgufFile

    held = GgufFile(3, {"general.architecture": "gemma3"}, ())
    monkeypatch.setattr(loader, "read_gguf", lambda path: held)
    with pytest.raises(UnsupportedError, match="gemma3"):
        load_probe_model(tmp_path / "x.gguf")
