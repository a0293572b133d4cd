"""Weight-only integers and codes: GPTQ, AWQ, AutoRound and bitsandbytes configurations."""

from __future__ import annotations

from collections.abc import Iterator

from planner.errors import UnsupportedError
from planner.models.fields import Fields
from planner.models.quantization.forms import Form, integer_scheme
from planner.models.quantization.matching import wildcards
from planner.models.quantization.plan import QuantPlan, StorageRule, excluding
from planner.models.strict_json import shown

_AS_BEFORE = (
    "plan the checkpoint as it was before, with a scheme of `plan formats`: plan "
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
    found = integer_scheme(bits, group)
    if found is None:
        raise UnsupportedError(
            f"{config.place}: {bits}-bit weights in groups of {group or 'whole rows'}"
            f"{'' if symmetric else ' with zero points'} have no scheme",
            hint="understood: 2, 3, 4 or 8 bits, in groups of 16 to 1024 (powers of two) or rows",
        )
    return found


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
    found: list[tuple[list[str], Form | None]] = []
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
        if not found or found[-1][1] != form:
            found.append(([], form))
        found[-1][0].append("re:" + name.removeprefix("-:").removeprefix("+:"))
    place = entries.place if entries is not None else ""
    for texts, form in found:
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
            f"{config.place}: packing_format {shown(text)} ({kind}) is not understood",
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
        raise config.error("load_in_4bit", f"is {shown(four)}, and load_in_8bit too")
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
