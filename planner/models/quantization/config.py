"""``quantization_config`` of a model configuration, by its method: fp8, mxfp4, gptq, awq …"""

from __future__ import annotations

from planner.models.fields import Fields
from planner.models.quantization.forms import Form
from planner.models.quantization.matching import wildcards
from planner.models.quantization.plan import QuantPlan, excluding

_INTEGERS = ("gptq", "awq", "auto-round", "intel/auto-round", "bitsandbytes")
_METHODS = ("fp8", "blockwise_int8", "mxfp4", *_INTEGERS, "compressed-tensors", "modelopt",
            "modelopt_fp4")  # fmt: skip
_BLOCK = 128
# These families name block scales otherwise and store them as exponents.
_SCALES = {"deepseek_v4": ("scale", "e8m0"), "deepseek_ref": ("scale", "e8m0")}


def read_plans(config: Fields, model_type: object) -> tuple[QuantPlan, ...]:
    """The plans of ``quantization_config``, to be applied in order.

    Raises:
        DataError: a method, key or value that is not understood.
        UnsupportedError: a granularity without a scheme in the catalogue.
    """
    unnamed = "modelopt" if config.take("quant_algo") is not None else None
    method = config.choice("quant_method", _METHODS, default=unnamed)
    harmless: frozenset[str] = frozenset()
    if method == "fp8":
        plans = _fp8(config, str(model_type))
    elif method == "blockwise_int8":
        plans = (_block_int8(config),)
    elif method == "mxfp4":
        plans = (_mxfp4(config),)
    elif method in _INTEGERS:
        plans = (_integers(method, config),)
    elif method == "compressed-tensors":
        from planner.models.quantization import compressed

        plans, harmless = (compressed.read_plan(config),), compressed.HARMLESS
    else:
        plans = (_modelopt(config),)
    config.finish(harmless)
    return plans


def _integers(method: str, config: Fields) -> QuantPlan:
    from planner.models.quantization import integers

    if method == "gptq":
        return integers.read_gptq(config)
    if method == "awq":
        return integers.read_awq(config)
    if method == "bitsandbytes":
        return integers.read_bitsandbytes(config)
    return integers.read_auto_round(config)


def _fp8(config: Fields, model_type: str) -> tuple[QuantPlan, ...]:
    """E4M3 matrices with FP32 scales, in 128×128 blocks (``weight_scale_inv``) or one a tensor.

    ``scale_fmt`` ue8m0 means power-of-two scales. A ``quant_algo`` beside it is NVIDIA ModelOpt's
    second pass over the same checkpoint.
    """
    config.choice("fmt", ("e4m3", "float8_e4m3fn"), default="e4m3")
    activations = config.choice("activation_scheme", ("dynamic", "static"), default="dynamic")
    block = config.integers("weight_block_size", low=1, high=2**16)
    scale = config.choice("scale_fmt", ("float", "ue8m0"), default="float")
    listed = config.strings("modules_to_not_convert") + config.strings("ignored_layers")
    if model_type in _SCALES:
        config.take("expert_dtype")  # the family reads it
    if block and block != (_BLOCK, _BLOCK):
        stated = "x".join(map(str, block))
        raise config.error("weight_block_size", f"is {stated}; only 128x128 is understood")
    if block and activations == "static":
        raise config.error("activation_scheme", "is static; scales of blocks are dynamic")
    if block:
        name, dtype = _SCALES.get(model_type, ("weight_scale_inv", "fp32"))
        form = Form("fp8", "fp8-block-ue8m0" if scale == "ue8m0" else "fp8-block",
                    block=(_BLOCK, _BLOCK), scale=name, scale_dtype=dtype)  # fmt: skip
    else:
        form = Form("scalar", "fp8-tensor", calibrated=activations == "static")
    place = f"{config.place}: modules_to_not_convert"
    first = QuantPlan("fp8", excluding(wildcards(listed, place)), form)
    if config.take("quant_algo") is None:
        return (first,)
    return (first, _modelopt(config))


def _block_int8(config: Fields) -> QuantPlan:
    """INT8 matrices with FP32 scales in 128×128 blocks (SGLang's blockwise_int8)."""
    config.choice("activation_scheme", ("dynamic",), default="dynamic")
    block = config.integers("weight_block_size", low=1, high=2**16)
    if block != (_BLOCK, _BLOCK):
        raise config.error("weight_block_size", "is not 128x128")
    listed = config.strings("ignored_layers") + config.strings("modules_to_not_convert")
    form = Form("int8", "int8-block", block=(_BLOCK, _BLOCK), scale="weight_scale_inv")
    place = f"{config.place}: ignored_layers"
    return QuantPlan("blockwise_int8", excluding(wildcards(listed, place)), form)


def _modelopt(config: Fields) -> QuantPlan:
    from planner.models.quantization import modelopt

    return modelopt.read_plan(config)


def _mxfp4(config: Fields) -> QuantPlan:
    listed = wildcards(config.strings("modules_to_not_convert"), f"{config.place}: modules")
    return QuantPlan("mxfp4", excluding(listed), Form("mxfp4", "mxfp4-w4a16", bits=4))
