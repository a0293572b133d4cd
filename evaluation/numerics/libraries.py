"""Block quantisation beside modelopt, torchao and compressed-tensors: their own functions, called
on float32 matrices with heavy tails, a row of zeros and blocks of tiny values."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

import numpy as np
import numpy.typing as npt

from evaluation.numerics.rows import Row, compared
from planner.numerics import decode, encode, quantize

Floats = npt.NDArray[np.float32]
ROWS, COLUMNS = 512, 1024
ZERO_SCALE = (
    "scales of blocks of zeros: compressed-tensors has the epsilon of the weights' type, "
    "here float32; ours has that of the scale's, by its own rule 1; all codes are 0"
)
ZERO_MX = "a block of zeros: log2(0) is -inf there, the least scale here; all codes are 0 in both"
ZERO_FP8 = "a row of zeros: torchao divides 0 by a scale of 0 and stores NaN; ours stores zeros"


def matrix(seed: int) -> Floats:
    """Heavy tails over many magnitudes, a row of zeros, columns of tiny values; odd seeds give
    BF16, every other of them few bits, which makes ties."""
    rng = np.random.default_rng(seed)
    x = rng.standard_t(4, (ROWS, COLUMNS)) * np.exp(rng.normal(size=(ROWS, 1)))
    x *= 10.0 ** rng.uniform(-3, 3)
    x[3] = 0
    x[:, 16:32] *= 1e-6
    if seed % 4 == 1:
        step = 2.0 ** np.floor(np.log2(np.abs(x).max() / 256))
        x = np.rint(x / step) * step + 0.0  # no -0, whose sign modelopt drops in NVFP4
    narrow = x.astype(np.float32)
    return decode(encode(narrow, "bf16"), "bf16") if seed % 2 else narrow


def rows(seed: int) -> Iterator[Row]:
    """All three libraries on one matrix."""
    x = matrix(seed)
    yield from _modelopt(x)
    yield from _torchao(x)
    yield from _compressed(x)


def _unpacked(packed: Any) -> npt.NDArray[np.uint8]:
    import torch

    both = packed.view(torch.uint8).numpy().reshape(ROWS, -1)
    codes = np.empty((ROWS, 2 * both.shape[1]), np.uint8)
    codes[:, ::2], codes[:, 1::2] = both & 15, both >> 4
    return codes


def _signed(codes: npt.NDArray[np.uint8], bits: int) -> npt.NDArray[np.float32]:
    return decode(codes, f"int{bits}")


def _modelopt(x: Floats) -> Iterator[Row]:
    import torch
    from modelopt.torch.export.quant_utils import to_quantized_weight
    from modelopt.torch.quantization.qtensor.mxfp4_tensor import MXFP4QTensor
    from modelopt.torch.quantization.qtensor.nvfp4_tensor import NVFP4QTensor

    name, t = f"modelopt {version('nvidia-modelopt')}", torch.from_numpy(x)
    packed, scales, tensor = NVFP4QTensor.quantize(t.clone(), 16)
    ours = quantize(x, "nvfp4", policy="modelopt")
    yield compared("NVFP4 tensor scale", name, np.float32(ours.tensor_scale), tensor.numpy())
    yield compared("NVFP4 block scales", name, ours.scales, scales.float().numpy())
    yield compared("NVFP4 codes", name, ours.codes, _unpacked(packed._quantized_data))
    packed, exponents = MXFP4QTensor.quantize(t.clone(), 32)
    ours = quantize(x, "mxfp4", policy="modelopt")
    yield compared(
        "MXFP4 scales", name, encode(ours.scales, "e8m0"), exponents.numpy().reshape(ROWS, -1)
    )
    # Values: modelopt gives +0 the code of -0, as its sign bit is (2 - sign) // 2.
    yield compared(
        "MXFP4 values",
        name,
        decode(ours.codes, "e2m1"),
        decode(_unpacked(packed._quantized_data), "e2m1"),
    )
    for scheme, kind, top in (("fp8-channel", "fp8", 448), ("int8-w8a8", "int8_sq", 127)):
        factor = t.abs().amax(-1) / top
        factor[factor == 0] = 1  # modelopt refuses a scale of 0
        shaped = factor[:, None] if kind == "fp8" else factor
        theirs = to_quantized_weight(t, shaped, kind).view(torch.uint8).numpy()
        yield compared(
            f"{scheme} codes", name, quantize(x, scheme, policy="modelopt").codes, theirs
        )


def _torchao(x: Floats) -> Iterator[Row]:
    import torch
    from torchao.prototype.mx_formats.mx_tensor import to_mx
    from torchao.prototype.mx_formats.nvfp4_tensor import nvfp4_quantize, per_tensor_amax_to_scale
    from torchao.quantization import quant_primitives as primitives

    name, t = f"torchao {version('torchao')}", torch.from_numpy(x)
    tensor = per_tensor_amax_to_scale(t.abs().max())
    scales, packed = nvfp4_quantize(t, 16, tensor)
    ours = quantize(x, "nvfp4", policy="torchao")
    yield compared("NVFP4 tensor scale", name, np.float32(ours.tensor_scale), tensor.numpy())
    yield compared("NVFP4 block scales", name, ours.scales, scales.float().numpy())
    yield compared("NVFP4 codes", name, ours.codes, _unpacked(packed))
    for scheme, dtype in (("mxfp4", torch.float4_e2m1fn_x2), ("mxfp8", torch.float8_e4m3fn)):
        scales, codes = to_mx(t, dtype, 32)
        ours = quantize(x, scheme, policy="torchao")
        yield compared(
            f"{scheme} scales", name, encode(ours.scales, "e8m0"), scales.view(torch.uint8).numpy()
        )
        theirs = _unpacked(codes) if scheme == "mxfp4" else codes.view(torch.uint8).numpy()
        yield compared(f"{scheme} codes", name, ours.codes, theirs.reshape(ROWS, COLUMNS))
    block = (1, COLUMNS)
    scale, zero = primitives.choose_qparams_affine(
        t,
        primitives.MappingType.SYMMETRIC,
        block,
        torch.int8,
        quant_min=-128,
        quant_max=127,
        eps=torch.finfo(torch.float32).eps,
    )
    codes = primitives.quantize_affine(t, block, scale, zero, torch.int8, -128, 127)
    ours = quantize(x, "int8-w8a8", policy="torchao")
    yield compared("int8-w8a8 scales", name, ours.scales.reshape(-1), scale.numpy().reshape(-1))
    yield compared("int8-w8a8 codes", name, ours.codes.view(np.int8), codes.numpy())
    scale = primitives._choose_scale_float8(t, float8_dtype=torch.float8_e4m3fn, block_size=block)
    codes = primitives._quantize_affine_float8(t, scale, torch.float8_e4m3fn)
    ours = quantize(x, "fp8-channel", policy="torchao")
    yield compared(
        "fp8-channel codes",
        name,
        ours.codes,
        codes.view(torch.uint8).numpy(),
        ~x.any(axis=1, keepdims=True),
        ZERO_FP8,
    )


def _compressed(x: Floats) -> Iterator[Row]:
    import torch
    from compressed_tensors.quantization import QuantizationArgs
    from compressed_tensors.quantization.lifecycle.forward import quantize as stored
    from compressed_tensors.quantization.utils.helpers import calculate_qparams, generate_gparam
    from compressed_tensors.quantization.utils.mxfp_utils import generate_mx_scales

    name = f"compressed-tensors {version('compressed-tensors')}"
    t = torch.from_numpy(x)
    args = QuantizationArgs(
        num_bits=4,
        type="float",
        symmetric=True,
        strategy="tensor_group",
        group_size=16,
        scale_dtype=torch.float8_e4m3fn,
        zp_dtype=torch.float8_e4m3fn,
    )
    whole, groups = generate_gparam(t.amin(), t.amax()), t.reshape(ROWS, -1, 16)
    scale, zero = calculate_qparams(groups.amin(-1), groups.amax(-1), args, global_scale=whole)
    codes = stored(t, scale, zero, args, global_scale=whole)
    ours = quantize(x, "nvfp4", policy="compressed-tensors")
    yield compared("NVFP4 tensor scale", name, np.float32([ours.tensor_scale]), whole.numpy())
    yield compared("NVFP4 block scales", name, ours.scales, scale.float().numpy())
    yield compared("NVFP4 values", name, decode(ours.codes, "e2m1"), codes.float().numpy())
    for scheme, bits, group in (
        ("int4-w4a16", 4, 128),
        ("int4-w4a16-g32", 4, 32),
        ("int8-w8a8", 8, 0),
        ("int8-w8a16", 8, 0),
    ):
        args = QuantizationArgs(
            num_bits=bits,
            type="int",
            symmetric=True,
            group_size=group or None,
            strategy="group" if group else "channel",
        )
        groups = t.reshape(ROWS, -1, group or COLUMNS)
        scale, zero = calculate_qparams(groups.amin(-1), groups.amax(-1), args)
        scale = scale.to(torch.bfloat16).float() if bits == 4 else scale
        codes = stored(t, scale, zero.float(), args).numpy()
        empty = (groups == 0).all(-1).numpy()
        for policy in ("compressed-tensors", None):
            ours, label = quantize(x, scheme, policy=policy), scheme + ("" if policy else " itself")
            yield compared(f"{label} scales", name, ours.scales, scale.numpy(), empty, ZERO_SCALE)
            yield compared(f"{label} codes", name, _signed(ours.codes, bits), codes)
    for scheme, strategy in (("fp8-channel", "channel"), ("fp8-tensor", "tensor")):
        args = QuantizationArgs(num_bits=8, type="float", symmetric=True, strategy=strategy)
        groups = t.reshape(ROWS, 1, -1) if strategy == "channel" else t.reshape(1, -1)
        scale, zero = calculate_qparams(groups.amin(-1), groups.amax(-1), args)
        ours = quantize(x, scheme, policy="compressed-tensors")
        yield compared(f"{scheme} scales", name, ours.scales.reshape(-1), scale.numpy().reshape(-1))
        yield compared(
            f"{scheme} codes",
            name,
            decode(ours.codes, "e4m3fn"),
            stored(t, scale, zero, args).float().numpy(),
        )
    largest = t.reshape(ROWS, -1, 32).abs().amax(-1)
    for scheme, bits in (("mxfp4", 4), ("mxfp8", 8)):
        ours = quantize(x, scheme, policy="compressed-tensors")
        yield compared(
            f"{scheme} scales",
            name,
            encode(ours.scales, "e8m0").astype(np.float32),
            generate_mx_scales(largest, bits).numpy(),
            (largest == 0).numpy(),
            ZERO_MX,
        )
