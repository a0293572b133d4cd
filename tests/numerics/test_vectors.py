"""The published vectors: made again byte for byte, and read as README.md there describes them."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from planner.formats.elements import element
from planner.numerics import decode, encode, policy_names
from planner.numerics.policies import Policy

FOLDER = Path(__file__).resolve().parents[1] / "golden" / "vectors"
KINDS = ("codes", "casts", "blocks")
F = np.float32


def module(name: str):
    spec = importlib.util.spec_from_file_location(f"vectors_{name}", FOLDER / f"{name}.py")
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = loaded
    spec.loader.exec_module(loaded)
    return loaded


read = module("reader").read


@pytest.mark.exhaustive
def test_the_generator_gives_the_committed_bytes():
    files = module("make").build()
    assert set(files) == {f"{k}.{end}" for k in KINDS for end in ("json", "bin")}
    for name, content in files.items():
        assert (FOLDER / name).read_bytes() == content, name


@pytest.mark.parametrize("format", ["e4m3fn", "e2m1"])
def test_the_generator_gives_the_committed_sets(format, monkeypatch, tmp_path):
    """Codes and casts of two formats, and all blocks by their bytes: the long version above makes
    the casts of eleven formats."""
    make = module("make")
    monkeypatch.setattr(make, "FORMATS", (format,))
    for writer, kind in ((make.codes(), "codes"), (make.casts(), "casts")):
        for name, content in writer.files(kind).items():
            (tmp_path / name).write_bytes(content)
        made = [described(*found) for found in read(kind, tmp_path)]
        assert made == [described(*found) for found in read(kind) if found[0]["format"] == format]


def test_the_generator_gives_the_committed_blocks():
    for name, content in module("make").blocks().files("blocks").items():
        assert (FOLDER / name).read_bytes() == content, name


def described(entry, arrays):
    """A set with its arrays as bytes, for comparison."""
    return entry, {name: (a.dtype.str, a.shape, a.tobytes()) for name, a in arrays.items()}


def test_size_licence_and_reader():
    assert sum(p.stat().st_size for p in FOLDER.iterdir() if p.is_file()) < 2 << 20
    assert "CC0" in (FOLDER / "LICENCE").read_text(encoding="utf-8")
    assert len((FOLDER / "reader.py").read_text(encoding="utf-8").splitlines()) <= 40


def test_codes_decode_to_their_values():
    seen = set()
    for entry, arrays in read("codes"):
        seen.add(entry["format"])
        values = decode(arrays["code"], entry["format"])
        bits = np.where(np.isnan(values), np.uint32(0x7FC00000), values.view(np.uint32))
        np.testing.assert_array_equal(bits, arrays["value"])
    assert len(seen) == 17


@pytest.mark.parametrize("engine", ["numpy", "numba"])
def test_casts_give_their_codes(engine):
    if engine == "numba":
        pytest.importorskip("numba", reason="numba is not installed (the [fast] extra)")
    named, checked = set(), 0
    for entry, arrays in read("casts"):
        format, policy = entry["format"], Policy("vector", **entry["choices"])
        if engine == "numba" and (element(format).bits > 8 or element(format).kind == "int"):
            continue
        named |= {(format, p) for p in entry["policies"]}
        x = arrays["input"].view(F)
        if "draw" in arrays:
            continue  # the Generator's draws are its own; the reference made these
        np.testing.assert_array_equal(
            encode(x, format, policy=policy, engine=engine), arrays["code"]
        )
        for name in set(entry["policies"]) & set(policy_names()):
            np.testing.assert_array_equal(encode(x, format, policy=name), arrays["code"])
        checked += arrays["code"].size
    assert checked > 50_000
    assert {p for _, p in named} >= {*policy_names(), "toward-zero", "away", "half-to-zero"}


def spread(scale, block, shape):
    """One entry a block to one an element."""
    rows, columns = (side or whole for side, whole in zip(block, shape, strict=True))
    return scale.repeat(rows, axis=0)[: shape[0]].repeat(columns, axis=1)[:, : shape[1]]


def test_blocks_decode_as_described():
    count = 0
    for entry, arrays in read("blocks"):
        code, scale = arrays["code"], arrays["scale"].view(F)
        block = entry["block"]
        if "storage" in arrays:  # groups inside a super-block: as many as there are scales
            block = [1, code.shape[1] // scale.shape[1]]
        elements = decode(code, entry["element"]) * F(2.0 ** entry["element_exponent"])
        if "minimum" in arrays:
            elements = code.astype(F)
        if "zero_point" in arrays:
            elements = elements - spread(arrays["zero_point"].astype(F), block, code.shape)
        if "tensor_scale_bits" in entry:
            scale = scale * np.uint32(entry["tensor_scale_bits"]).view(F)
        values = elements * spread(scale, block, code.shape)
        if "minimum" in arrays:
            values = values - spread(arrays["minimum"].view(F), block, code.shape)
        np.testing.assert_array_equal(values, arrays["value"].view(F))
        x = arrays["input"].view(F)
        assert np.square(values - x).sum() < 0.04 * np.square(x).sum()
        count += 1
    assert count > 40
