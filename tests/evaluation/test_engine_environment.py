"""Weights off their grid, and the parts of `make engines` that install nothing."""

from pathlib import Path

import gguf
import numpy as np
import pytest
from packaging.requirements import Requirement

from evaluation.closed_loop import install
from evaluation.closed_loop.off_grid import BLOCK, moved, steps_of, write_base


def grid(step: float, seed: int = 0) -> np.ndarray:
    """Rows of 4-bit codes, all of them used, times a step."""
    codes = np.random.default_rng(seed).permuted(np.tile(np.arange(-8, 8), (4, 4)), axis=1)
    return (codes * np.float32(step)).astype(np.float32)


def test_the_step_of_a_grid_is_read_off_its_values() -> None:
    assert steps_of(grid(0.25))[0, 0] == 0.25
    assert steps_of(np.ones((2, BLOCK), np.float32)).tolist() == [[0.0], [0.0]]
    noisy = np.repeat(grid(0.25)[:, :8], 2, axis=1) * np.float32(1 + 1e-7)
    assert steps_of(noisy).min() > 0.2


def test_weights_move_by_half_a_step_at_most_and_alike_every_time() -> None:
    values = grid(0.25)
    found = moved("blk.0.attn_q.weight", values)
    steps = np.repeat(steps_of(values), BLOCK, axis=1)
    assert (np.abs(found - values) <= steps / 2).all()
    assert 0.2 < np.abs(found - values).mean() / steps.mean() < 0.3  # uniform: a quarter
    assert np.array_equal(found, moved("blk.0.attn_q.weight", values))
    assert not np.array_equal(found, moved("blk.1.attn_q.weight", values))


def test_a_base_keeps_names_and_plain_tensors_and_widens_the_rest(tmp_path: Path) -> None:
    kind = gguf.GGMLQuantizationType
    matrix = np.random.default_rng(1).normal(size=(8, 64)).astype(np.float32)
    norm = np.arange(64, dtype=np.float32)
    writer = gguf.GGUFWriter(tmp_path / "in.gguf", "llama")
    writer.add_array("tokenizer.ggml.tokens", ["a", "b"])
    writer.add_uint32("llama.block_count", 1)
    writer.add_tensor("w", gguf.quants.quantize(matrix, kind.Q4_1), raw_dtype=kind.Q4_1)
    writer.add_tensor("norm", norm)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    assert write_base(tmp_path / "in.gguf", tmp_path / "out.gguf") == 1
    again = gguf.GGUFReader(tmp_path / "out.gguf")
    tensors = {t.name: t for t in again.tensors}
    assert tensors["w"].tensor_type == kind.BF16
    near = gguf.quants.dequantize(tensors["w"].data, kind.BF16)
    assert 0 < np.abs(near - matrix).max() < 0.5
    assert np.array_equal(tensors["norm"].data, norm)
    assert again.fields["tokenizer.ggml.tokens"].contents() == ["a", "b"]
    assert again.fields["general.file_type"].contents() == int(gguf.LlamaFileType.MOSTLY_BF16)
    assert not (tmp_path / "out.part").exists()


@pytest.mark.parametrize(
    "name", ["llama.cpp", "vllm", "torch", "tools", "weights", "weights-large"]
)
def test_every_engine_is_pinned(name: str) -> None:
    found = [Requirement(line) for line in install.pins(name)]
    assert found
    assert all([str(s.operator) for s in need.specifier] == ["=="] for need in found)


def test_vllm_brings_neither_its_own_torch_nor_extras() -> None:
    assert install.wanted("numpy")
    assert not install.wanted("torch==2.13.0+cpu; platform_machine != 's390x'")
    assert not install.wanted("torchcodec>=0.14")
    assert not install.wanted("pandas; extra == 'bench'")


def test_what_failed_is_told_and_done_again_and_what_is_done_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []

    def fails(root: Path) -> None:
        done.append("vllm")
        raise install.StepError("no network")

    monkeypatch.setattr(
        install, "STEPS", {"weights": lambda root: done.append("weights"), "vllm": fails}
    )
    told: list[str] = []
    assert install.install(tmp_path, told.append) == {"vllm": "no network"}
    assert install.install(tmp_path, told.append) == {"vllm": "no network"}
    # The steps run beside each other: whichever of the first two began first is chance.
    assert sorted(done) == ["vllm", "vllm", "weights"]
    assert done[-1] == "vllm"
    assert "error: vllm: no network" in told


def test_no_compiler_is_an_error_with_a_hint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(install.shutil, "which", lambda name: None)
    with pytest.raises(install.StepError, match=r"no C\+\+ compiler is found; install one"):
        install.llama_cpp(tmp_path)
