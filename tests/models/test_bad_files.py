"""Files that are broken, cut short or contradict each other, as a user meets them: one error, one
hint, exit code 2, whatever reads them."""

import json
import os

import pytest

from planner.base.errors import DataError
from planner.cli.main import run
from planner.models.inventory import expand
from tests.models.test_gguf_architectures import tensors_of, write

GPTQ = {"quant_method": "gptq", "bits": 4, "group_size": 128}
SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")


@pytest.fixture
def refused(capsys):
    """Run ``plan inventory`` and return its message, after the form of it was checked."""

    def check(*arguments):
        capsys.readouterr()
        code = run(["inventory", *map(str, arguments)])
        out, err = capsys.readouterr()
        lines = err.splitlines()
        assert code == 2, err
        assert out == ""
        assert lines[0].startswith("error: ")
        assert len(lines[0]) < 900
        assert [line for line in lines if line.startswith("hint: ")]
        assert "Traceback" not in err
        return err

    return check


@pytest.fixture
def folder(tmp_path, tiny, build, write_safetensors):
    """A checkpoint in two files with an index; ``quantised`` as its configuration says."""

    def make(quantised=None, stored=None, beside=None):
        plain = tiny("llama", hidden_size=256, intermediate_size=512)
        config = plain | ({"quantization_config": quantised} if quantised else {})
        kept = plain | ({"quantization_config": stored} if stored else {})
        (tmp_path / "config.json").write_text(json.dumps(config))
        if beside is not None:
            (tmp_path / "hf_quant_config.json").write_text(json.dumps(beside))
        found = [(item.name, item.dtype, item.shape) for item in expand(build(kept))]
        half = len(found) // 2
        where = {}
        for name, part in zip(SHARDS, (found[:half], found[half:]), strict=True):
            write_safetensors(tmp_path / name, part)
            where |= dict.fromkeys((tensor for tensor, _, _ in part), name)
        (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": where}))
        return tmp_path

    return make


def test_the_folder_itself_is_read(folder, capsys):
    assert run(["inventory", str(folder(GPTQ, GPTQ))]) == 0
    assert "int4-w4a16" in capsys.readouterr().out


def test_a_shard_that_is_missing_cut_short_or_something_else(folder, refused):
    made = folder()
    shard = made / SHARDS[1]
    whole = shard.read_bytes()
    shard.unlink()
    assert f"lists '{SHARDS[1]}', which is not here" in refused(made)
    for kept in (0, 4, 100, len(whole) - 1):
        shard.write_bytes(whole[:kept])
        assert SHARDS[1] in refused(made)
    shard.write_bytes(b"PK\x03\x04" + bytes(300))
    assert "not safetensors" in refused(made)
    shard.write_bytes((made / SHARDS[0]).read_bytes())
    assert "is stored twice" in refused(made)


@pytest.mark.parametrize(
    "index",
    [
        [],
        {},
        {"weight_map": []},
        {"weight_map": {"a": 3}},
        {"weight_map": {"a": "../b.safetensors"}},
        {"weight_map": {"a": "absent.safetensors"}},
        {"metadata": {"total_size": -1}},
    ],
)
def test_an_index_that_names_what_is_not_there(folder, refused, index):
    made = folder()
    (made / "model.safetensors.index.json").write_text(json.dumps(index))
    assert "model.safetensors.index.json" in refused(made)


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ({"dtype": "BFLOAT"}, "unknown dtype 'BFLOAT'"),
        ({"dtype": None}, "dtype"),
        ({"shape": [-1, 8]}, "shape holds -1"),
        ({"shape": [2**62, 2**62]}, "shape"),
        ({"shape": [10**40]}, "shape"),
        ({"data_offsets": [0, 2**63]}, "data_offsets"),
        ({"data_offsets": [8, 0]}, "tensor"),
    ],
)
def test_a_header_with_sizes_and_types_that_cannot_be(folder, refused, entry, reason):
    made = folder()
    path = made / SHARDS[0]
    text = path.read_bytes()
    length = int.from_bytes(text[:8], "little")
    header = json.loads(text[8 : 8 + length])
    header[next(name for name in header if name != "__metadata__")] |= entry
    changed = json.dumps(header).encode()
    path.write_bytes(len(changed).to_bytes(8, "little") + changed + text[8 + length :])
    assert reason in refused(made)


@pytest.mark.parametrize(
    ("quantised", "stored", "reason"),
    [
        (None, GPTQ, "qweight"),
        (GPTQ | {"group_size": 64}, GPTQ, "scales is 2x"),
        (GPTQ | {"bits": 8}, GPTQ, "differs from its config.json"),
        (
            {"quant_method": "bitsandbytes", "load_in_4bit": True},
            GPTQ,
            "differs from its config.json",
        ),
    ],
)
def test_a_quantisation_that_the_headers_contradict(folder, refused, quantised, stored, reason):
    message = refused(folder(quantised, stored))
    assert reason in message or "q_proj" in message
    assert "config.json belongs to these files" in message


@pytest.mark.parametrize(
    "beside",
    [
        [],
        {},
        {"quantization": {}},
        {"quantization": {"quant_algo": "FP5_MAGIC"}},
        {"quantization": {"quant_algo": ["FP8"]}},
        {"quantization": {"quant_algo": "FP8", "kv_cache_quant_algo": "INT1"}},
    ],
)
def test_an_unknown_quantisation_beside_the_configuration(folder, refused, beside):
    assert "hf_quant_config.json" in refused(folder(beside=beside))


@pytest.mark.parametrize(
    "change",
    [
        {"quant_method": "magic"},
        {"bits": 5},
        {"bits": -4},
        {"bits": 10**30},
        {"group_size": 7},
        {"group_size": -128},
        {"bits": "four"},
        {"bits": True},
    ],
)
def test_a_quantisation_that_no_one_writes(folder, refused, change):
    assert "quantization_config" in refused(folder(GPTQ | change, GPTQ))


def parts_of(tmp_path):
    """A GGUF file of two parts."""
    half = len(tensors_of("jamba")) // 2
    split = {"split.count": 2, "split.no": 0}
    names = [tmp_path / f"m-{number:05d}-of-00002.gguf" for number in (2, 1)]
    for path, cut in zip(names, (slice(half, None), slice(half)), strict=True):
        try:
            write(path, "jamba", lambda tensors, cut=cut: tensors[cut], **split)
        except DataError:  # the second part alone
            assert path == names[0]
    return names[::-1]


def test_parts_that_are_missing_cut_short_or_of_another_model(tmp_path, refused):
    first, second = parts_of(tmp_path)
    assert run(["inventory", str(second)]) == 0
    whole = second.read_bytes()
    for kept in (0, 10, 30, 200, len(whole) - 64):
        second.write_bytes(whole[:kept])
        refused(first)
    second.unlink()
    assert second.name in refused(first)
    write(tmp_path / "other.gguf", "gemma")
    os.replace(tmp_path / "other.gguf", second)
    refused(first)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"GGUF", b"GGML"),
        (b"GGUF\x03", b"GGUF\x09"),
        (b"\x05\0\0\0\0\0\0\0gemma", b"\x05" + bytes(7) + b"gemm9"),
    ],
)
def test_a_file_of_another_kind_version_or_architecture(tmp_path, refused, old, new):
    write(tmp_path / "m.gguf", "gemma")
    text = (tmp_path / "m.gguf").read_bytes()
    assert old in text
    (tmp_path / "m.gguf").write_bytes(text.replace(old, new, 1))
    assert "m.gguf" in refused(tmp_path / "m.gguf")


def test_a_folder_that_is_called_like_a_file(tmp_path, refused):
    (tmp_path / "m.gguf").mkdir()
    assert "neither config.json nor a safetensors file" in refused(tmp_path / "m.gguf")
