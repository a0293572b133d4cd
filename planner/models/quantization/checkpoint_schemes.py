"""Weight-only integers and codes: GPTQ, AWQ, AutoRound and bitsandbytes configurations."""

from __future__ import annotations

from collections.abc import Iterator

from planner.base.errors import UnsupportedError
from planner.base.strict_json import short_repr
from planner.models.fields import Fields
from planner.models.quantization.forms import Form, integer_scheme
from planner.models.quantization.plan import QuantPlan, StorageRule, excluding, wildcards

_AS_BEFORE = (
    "plan the checkpoint as it was before, with a scheme of `plan list formats`: plan "
    "estimate MODEL DEVICE --scheme NAME"
)
_TUNING = (
    "damp_percent", "true_sequential", "static_groups", "model_seqlen", "model_name_or_path",
    "model_file_base_name", "meta", "quant_type", "dataset", "batch_size", "tokenizer",
    "block_name_to_quantize", "module_name_preceding_first_block", "pad_token_id", "use_exllama",
    "exllama_config", "max_input_length", "cache_block_outputs", "use_cuda_fp16", "backend",
    "disable_exllama", "pack_dtype", "mse", "act_group_aware",
)  # fmt: skip
# How AutoRound searched; what it found lies as ``packing_format`` says.
_ROUNDING = (
    "amp", "autoround_version", "batch_size", "block_name_to_quantize", "damp_percent", "data_type",
    "dataset", "desc_act", "enable_minmax_tuning", "enable_norm_bias_tuning",
    "enable_quanted_input", "gradient_accumulate_steps", "iters", "low_gpu_mem_usage", "lr",
    "minmax_lr", "not_use_best_mse", "nsamples", "quant_block_list", "scale_dtype", "seqlen",
    "super_bits", "super_group_size", "to_quant_block_names", "train_bs", "true_sequential",
)  # fmt: skip
_BNB_HARMLESS = (
    "_load_in_4bit", "_load_in_8bit", "bnb_4bit_compute_dtype", "llm_int8_enable_fp32_cpu_offload",
    "llm_int8_has_fp16_weight", "llm_int8_threshold",
)  # fmt: skip


def _scheme(config: Fields, bits: int, group: int, symmetric: bool) -> str:
    """The weight-only scheme of integers in groups of ``group`` inputs, 0 for a whole row.

    Raises:
        UnsupportedError: no scheme has that width and granularity.
    """
    integer = integer_scheme(bits, group)
    if integer is None:
        raise UnsupportedError(
            f"{config.place}: {bits}-bit weights in groups of {group or 'whole rows'}"
            f"{'' if symmetric else ' with zero points'} have no scheme",
            hint="understood: 2, 3, 4 or 8 bits, in groups of 16 to 1024 (powers of two) or rows",
        )
    return integer


def _group(config: Fields, name: str) -> int:
    size = config.integer(name, low=-1, high=2**16)
    if size == 0:
        raise config.error(name, "is 0; -1 means whole rows")
    return max(size, 0)


def read_gptq(config: Fields) -> QuantPlan:
    """Integers in groups of inputs. ``dynamic`` has rules by expression, matched from the start of
    a name, of which the first counts: ``-:`` leaves modules plain, ``+:`` (or no mark) overrides
    bits and group size (GPTQModel).

    Raises:
        UnsupportedError: modules that are quantised one by one.
    """
    bits, group = config.integer("bits", low=2, high=8), _group(config, "group_size")
    symmetric = config.boolean("sym", default=True)
    config.boolean("desc_act", default=False)
    head = config.boolean("lm_head", default=False)
    config.choice("checkpoint_format", ("gptq", "gptq_v2"), default="gptq")
    for name in _TUNING:
        config.take(name)
    listed = wildcards(config.strings("modules_to_not_convert"), f"{config.place}: modules")
    if config.take("modules_in_block_to_quantize"):
        raise UnsupportedError(
            f"{config.place}: modules quantised one by one are not understood", hint=_AS_BEFORE
        )
    form = _gptq_form(config, bits, group, symmetric)
    rules = (*excluding(listed), *_dynamic(config.nested("dynamic"), bits, group, symmetric))
    return QuantPlan("gptq", rules, form, head=head, main_only=True)


def _gptq_form(place: Fields, bits: int, group: int, symmetric: bool) -> Form:
    return Form("gptq", _scheme(place, bits, group, symmetric), bits=bits,
                block=(1, group), symmetric=symmetric, scale_dtype="fp16")  # fmt: skip


def _awq_form(place: Fields, bits: int, group: int, symmetric: bool) -> Form:
    return Form("awq", _scheme(place, bits, group, symmetric), bits=bits,
                block=(1, group), symmetric=symmetric, scale_dtype="fp16")  # fmt: skip


def _dynamic(
    entries: Fields | None, bits: int, group: int, symmetric: bool
) -> Iterator[StorageRule]:
    """The rules in order; those alike and in a row share one, so that each name is tried once."""
    rules: list[tuple[list[str], Form | None]] = []
    for name in entries.names() if entries is not None else ():
        assert entries is not None
        own = entries.nested(name) or Fields({}, entries.place)
        form = None
        if not name.startswith("-:"):
            form = _gptq_form(
                own,
                own.integer("bits", low=2, high=8, default=bits),
                _group(own, "group_size") if "group_size" in own.names() else group,
                own.boolean("sym", default=symmetric),
            )
            own.boolean("desc_act", default=False)
            own.finish()
        if not rules or rules[-1][1] != form:
            rules.append(([], form))
        rules[-1][0].append("re:" + name.removeprefix("-:").removeprefix("+:"))
    place = entries.place if entries is not None else ""
    for texts, form in rules:
        yield StorageRule(wildcards(texts, place), form)


def read_awq(config: Fields) -> QuantPlan:
    """Integers in groups of inputs, words along the outputs (AutoAWQ's GEMM layout)."""
    bits = config.integer("bits", low=4, high=8, default=4)
    group = _group(config, "group_size")
    zero_point = config.boolean("zero_point", default=True)
    config.choice("version", ("gemm", "GEMM"), default="gemm")
    for name in ("do_fuse", "fuse_max_seq_len", "modules_to_fuse", "exllama_config", "backend"):
        config.take(name)
    listed = wildcards(config.strings("modules_to_not_convert"), f"{config.place}: modules")
    return QuantPlan(
        "awq", excluding(listed), _awq_form(config, bits, group, not zero_point), main_only=True
    )


def read_auto_round(config: Fields) -> QuantPlan:
    """AutoRound: integers as GPTQ or AWQ pack them; ``extra_config`` overrides single modules, of
    which 16 bits are plain.

    Raises:
        UnsupportedError: a packing or a type that is not integers of GPTQ or AWQ.
    """
    bits, group = config.integer("bits", low=2, high=8), _group(config, "group_size")
    symmetric = config.boolean("sym", default=True)
    kind = config.choice("data_type", ("int",), default="int")
    packing = config.take("packing_format")
    text = "auto_round:auto_gptq" if packing is None else packing
    awq = isinstance(text, str) and text.split(":")[-1] in ("auto_awq", "awq")
    if not awq and (
        not isinstance(text, str)
        or text.split(":")[-1] not in ("auto_gptq", "gptq", "gptqmodel", "auto_round")
    ):
        raise UnsupportedError(
            f"{config.place}: packing_format {short_repr(text)} ({kind}) is not understood",
            hint="understood: auto_round:auto_gptq, auto_round:auto_awq",
        )
    for name in _ROUNDING:
        config.take(name)
    make = _awq_form if awq else _gptq_form
    rules = []
    extra = config.nested("extra_config")
    for name in extra.names() if extra is not None else ():
        assert extra is not None
        own = extra.nested(name) or Fields({}, extra.place)
        width = own.integer("bits", low=2, high=32, default=bits)
        size = _group(own, "group_size") if "group_size" in own.names() else group
        even = own.boolean("sym", default=symmetric)
        own.take("data_type")
        own.finish(
            frozenset(own.names())
            & {
                "act_bits",
                "act_data_type",
                "act_dynamic",
                "act_group_size",
                "act_sym",
                "scale_dtype",
                "super_bits",
                "super_group_size",
            }
        )
        form = None if width >= 16 else make(own, width, size, even)
        names = wildcards(
            [name if not any(c in name for c in "*$^\\|") else "re:" + name], extra.place
        )
        rules.append(StorageRule(names, form, named=True))
    return QuantPlan(
        "auto-round", tuple(rules), make(config, bits, group, symmetric), main_only=True
    )


def read_bitsandbytes(config: Fields) -> QuantPlan:
    """bitsandbytes: NF4 or FP4 codes in blocks of 64, or LLM.int8() with a scale a row. Without a
    list of skipped modules the head stays plain.

    Raises:
        DataError: neither 4 nor 8 bits, or both.
        UnsupportedError: codes stored as floats.
    """
    four = config.boolean("load_in_4bit", default=False)
    eight = config.boolean("load_in_8bit", default=False)
    if four == eight:
        raise config.error("load_in_4bit", f"is {short_repr(four)}, and load_in_8bit too")
    code = config.choice("bnb_4bit_quant_type", ("nf4", "fp4"), default="fp4")
    nested = config.boolean("bnb_4bit_use_double_quant", default=False)
    storage = config.choice(
        "bnb_4bit_quant_storage", ("uint8", "bfloat16", "float16", "float32"), default="uint8"
    )
    for name in _BNB_HARMLESS:
        config.take(name)
    if four and storage != "uint8":
        raise UnsupportedError(
            f"{config.place}: codes stored as {storage} are not understood", hint=_AS_BEFORE
        )
    stated = config.take("llm_int8_skip_modules") is not None
    listed = config.strings("llm_int8_skip_modules") if stated else ("lm_head",)
    if four:
        form = Form("bnb-4bit", f"{code}-w4a16" + ("-nested" if nested else ""), bits=4, scale=code)
    else:
        form = Form("bnb-8bit", "int8-w8a8")
    return QuantPlan(
        "bitsandbytes",
        excluding(wildcards(listed, f"{config.place}: llm_int8_skip_modules")),
        form,
        head=stated,
        main_only=True,
    )


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
    from planner.models.quantization import checkpoint_schemes

    if method == "gptq":
        return checkpoint_schemes.read_gptq(config)
    if method == "awq":
        return checkpoint_schemes.read_awq(config)
    if method == "bitsandbytes":
        return checkpoint_schemes.read_bitsandbytes(config)
    return checkpoint_schemes.read_auto_round(config)


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
