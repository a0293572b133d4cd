"""``quantization_config`` of a model configuration: fp8, blockwise_int8, mxfp4, gptq, awq …"""

from __future__ import annotations

from collections.abc import Iterator

from planner.errors import UnsupportedError
from planner.models.fields import Fields
from planner.models.quantization.forms import INTEGER_SCHEMES, Form
from planner.models.quantization.matching import Names, wildcards
from planner.models.quantization.plan import QuantPlan, StorageRule

_METHODS = ("fp8", "blockwise_int8", "mxfp4", "gptq", "awq", "compressed-tensors", "modelopt",
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
    elif method == "gptq":
        plans = (_gptq(config),)
    elif method == "awq":
        plans = (_awq(config),)
    elif method == "compressed-tensors":
        from planner.models.quantization import compressed

        plans, harmless = (compressed.read_plan(config),), compressed.HARMLESS
    else:
        plans = (_modelopt(config),)
    config.finish(harmless)
    return plans


def _excluding(names: Names) -> tuple[StorageRule, ...]:
    return (StorageRule(names, None),) if names else ()


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
    first = QuantPlan("fp8", _excluding(wildcards(listed, place)), form)
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
    return QuantPlan("blockwise_int8", _excluding(wildcards(listed, place)), form)


def _modelopt(config: Fields) -> QuantPlan:
    from planner.models.quantization import modelopt

    return modelopt.read_plan(config)


def _mxfp4(config: Fields) -> QuantPlan:
    listed = wildcards(config.strings("modules_to_not_convert"), f"{config.place}: modules")
    return QuantPlan("mxfp4", _excluding(listed), Form("mxfp4", "mxfp4-w4a16", bits=4))


def _integer_scheme(config: Fields, bits: int, group: int, symmetric: bool) -> str:
    """The weight-only scheme of integers in groups of ``group`` inputs, 0 for a whole row.

    Raises:
        UnsupportedError: no scheme of the catalogue has that width and granularity.
    """
    found = INTEGER_SCHEMES.get((bits, group))
    if found is None:
        raise UnsupportedError(
            f"{config.place}: {bits}-bit weights in groups of {group or 'whole rows'}"
            f"{'' if symmetric else ' with zero points'} have no scheme",
            hint="understood: 4 bits in groups of 128 or 32, 8 bits a row",
        )
    return found


def _group(config: Fields, name: str) -> int:
    size = config.integer(name, low=-1, high=2**16)
    if size == 0:
        raise config.error(name, "is 0; -1 means whole rows")
    return max(size, 0)


def _gptq(config: Fields) -> QuantPlan:
    """Integers in groups of inputs. ``dynamic`` has rules by expression, matched from the start of
    a name, of which the first counts: ``-:`` leaves modules plain, ``+:`` (or no mark) overrides
    bits and group size (GPTQModel)."""
    bits, group = config.integer("bits", low=2, high=8), _group(config, "group_size")
    symmetric = config.boolean("sym", default=True)
    config.boolean("desc_act", default=False)
    head = config.boolean("lm_head", default=False)
    config.choice("checkpoint_format", ("gptq", "gptq_v2"), default="gptq")
    for name in _TUNING:
        config.take(name)
    listed = wildcards(config.strings("modules_to_not_convert"), f"{config.place}: modules")
    if config.take("modules_in_block_to_quantize"):
        raise UnsupportedError(f"{config.place}: modules quantised one by one are not understood",
                               hint="plan the checkpoint as it was before, with a scheme of `plan "
                                    "formats`: plan estimate MODEL DEVICE --scheme NAME")
    form = _gptq_form(config, bits, group, symmetric)
    rules = (*_excluding(listed), *_dynamic(config.nested("dynamic"), bits, group, symmetric))
    return QuantPlan("gptq", rules, form, head=head, main_only=True)


def _gptq_form(place: Fields, bits: int, group: int, symmetric: bool) -> Form:
    return Form("gptq", _integer_scheme(place, bits, group, symmetric), bits=bits,
                block=(1, group), symmetric=symmetric, scale_dtype="fp16")  # fmt: skip


def _dynamic(entries: Fields | None, bits: int, group: int,
             symmetric: bool) -> Iterator[StorageRule]:
    """The rules in order; those alike and in a row share one, so that each name is tried once."""
    found: list[tuple[list[str], Form | None]] = []
    for name in entries.names() if entries is not None else ():
        assert entries is not None
        own = entries.nested(name) or Fields({}, entries.place)
        form = None
        if not name.startswith("-:"):
            form = _gptq_form(own, own.integer("bits", low=2, high=8, default=bits),
                              _group(own, "group_size") if "group_size" in own.names() else group,
                              own.boolean("sym", default=symmetric))
            own.boolean("desc_act", default=False)
            own.finish()
        if not found or found[-1][1] != form:
            found.append(([], form))
        found[-1][0].append("re:" + name.removeprefix("-:").removeprefix("+:"))
    place = entries.place if entries is not None else ""
    for texts, form in found:
        yield StorageRule(wildcards(texts, place), form)


_TUNING = (
    "damp_percent", "true_sequential", "static_groups", "model_seqlen", "model_name_or_path",
    "model_file_base_name", "meta", "quant_type", "dataset", "batch_size", "tokenizer",
    "block_name_to_quantize", "module_name_preceding_first_block", "pad_token_id", "use_exllama",
    "exllama_config", "max_input_length", "cache_block_outputs", "use_cuda_fp16", "backend",
    "disable_exllama", "pack_dtype", "mse", "act_group_aware",
)  # fmt: skip


def _awq(config: Fields) -> QuantPlan:
    bits = config.integer("bits", low=4, high=8, default=4)
    group = _group(config, "group_size")
    zero_point = config.boolean("zero_point", default=True)
    config.choice("version", ("gemm", "GEMM"), default="gemm")
    for name in ("do_fuse", "fuse_max_seq_len", "modules_to_fuse", "exllama_config", "backend"):
        config.take(name)
    listed = wildcards(config.strings("modules_to_not_convert"), f"{config.place}: modules")
    form = Form("awq", _integer_scheme(config, bits, group, not zero_point), bits=bits,
                block=(1, group), symmetric=not zero_point, scale_dtype="fp16")  # fmt: skip
    return QuantPlan("awq", _excluding(listed), form, main_only=True)
