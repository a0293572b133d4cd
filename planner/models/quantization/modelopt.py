"""NVIDIA ModelOpt: ``hf_quant_config.json``, and the same keys inside ``quantization_config``."""

from __future__ import annotations

from planner.base.errors import UnsupportedError
from planner.base.strict_json import parse_object, short_repr
from planner.models.fields import Fields
from planner.models.quantization.forms import INT4_GROUP, MX_GROUP, NVFP4_GROUP, Form
from planner.models.quantization.plan import Names, QuantPlan, StorageRule, wildcards

_LISTED = ("FP8", "NVFP4", "W4A16_NVFP4", "MXFP8")
_AWQ = "W4A16_AWQ"
_ALGORITHMS = (*_LISTED, "FP8_PER_CHANNEL_PER_TOKEN", _AWQ)
_MIXED = "MIXED_PRECISION"
_CACHES = {"FP8": "fp8", "NVFP4": "nvfp4"}
_FORMS = {
    "FP8": Form("scalar", "fp8-tensor", calibrated=True),
    "NVFP4": Form("nvfp4", "nvfp4", bits=4, block=(1, NVFP4_GROUP), calibrated=True),
    "W4A16_NVFP4": Form("nvfp4", "nvfp4-w4a16", bits=4, block=(1, NVFP4_GROUP)),
    "FP8_PER_CHANNEL_PER_TOKEN": Form("fp8", "fp8-channel", block=(1, 0)),
    "MXFP8": Form("mx-ct", "mxfp8", block=(1, MX_GROUP)),
    _AWQ: Form("modelopt-int4", "int4-w4a16", bits=4, block=(1, INT4_GROUP), scale_dtype="bf16"),
}
_GROUPS = {"MXFP8": MX_GROUP, _AWQ: INT4_GROUP}


def read_file(text: bytes, place: str) -> QuantPlan:
    """The plan of a ``hf_quant_config.json``.

    Raises:
        DataError: invalid JSON, or a key or value that is not understood.
        UnsupportedError: an algorithm that is not understood.
    """
    fields = Fields(parse_object(text, place), place)
    producer = fields.nested("producer")
    if producer is not None:
        producer.choice("name", ("modelopt",), default="modelopt")
        producer.take("version")
        producer.finish()
    fields.choice("quant_method", ("modelopt",), default="modelopt")
    config = fields.nested("quantization")
    if config is None:
        raise fields.error("quantization", "is missing")
    fields.finish()
    config.choice("quant_method", ("modelopt",), default="modelopt")
    plan = read_plan(config)
    config.finish()
    return plan


def read_plan(config: Fields) -> QuantPlan:
    """The plan in ModelOpt's keys; ``exclude_modules`` (or ``ignore``) may hold wildcards.

    Raises:
        UnsupportedError: a format that is not understood.
    """
    algorithm = config.choice("quant_algo", (*_ALGORITHMS, _MIXED), default=None)
    cache = config.choice("kv_cache_quant_algo", _CACHES, default="none")
    if isinstance(config.take("kv_cache_scheme"), str):
        cache = config.choice("kv_cache_scheme", _CACHES, default=None)
    elif (cache_scheme := config.nested("kv_cache_scheme")) is not None:
        cache = _cache_algorithm(cache_scheme)
    excluded = wildcards(
        config.strings("exclude_modules") + config.strings("ignore"), f"{config.place}: modules"
    )
    size = _GROUPS.get(algorithm, NVFP4_GROUP)
    config.integer("group_size", low=size, high=size, default=size)
    config.choice("moe_quant_algo", _ALGORITHMS, default="NVFP4")
    config.nested("config_groups")
    config.take("producer")
    for name in ("has_zero_point", "pre_quant_scale"):
        expected = algorithm == _AWQ and name == "pre_quant_scale"
        if config.boolean(name, default=False) and not expected:
            raise UnsupportedError(
                f"{config.place}: {name} is not understood",
                hint="plan the checkpoint as it was before, with a scheme of "
                "`plan list formats`: plan estimate MODEL DEVICE --scheme NAME",
            )
    rules = [StorageRule(excluded, None)] if excluded else []
    listed = config.nested("quantized_layers")
    if (listed is not None) != (algorithm == _MIXED):
        raise config.error("quantized_layers", f"and quant_algo {algorithm} contradict each other")
    if listed is not None:
        rules += _listed(listed)
    return QuantPlan(
        "modelopt", tuple(rules), None if algorithm == _MIXED else _FORMS[algorithm],
        head=True, replaces=True, splits=True, kv_scheme=_CACHES.get(cache, ""),
    )  # fmt: skip


def _listed(layers: Fields) -> list[StorageRule]:
    """One rule an algorithm: the modules listed with it."""
    names: dict[str, set[str]] = {algorithm: set() for algorithm in _LISTED}
    for name in layers.names():
        entry = layers.nested(name)
        if entry is None:
            raise layers.error(short_repr(name), "is null; an object is needed")
        algorithm = entry.choice("quant_algo", _LISTED, default=None)
        if algorithm != "FP8":
            size = _GROUPS.get(algorithm, NVFP4_GROUP)
            entry.integer("group_size", low=size, high=size, default=size)
        entry.finish()
        names[algorithm].add(name)
    return [StorageRule(Names(frozenset(module_names), ()), _FORMS[algorithm], named=True)
            for algorithm, module_names in names.items() if module_names]  # fmt: skip


def _cache_algorithm(scheme: Fields) -> str:
    bits = scheme.integer("num_bits", low=4, high=8)
    scheme.choice("type", ("float",), default=None)
    scheme.boolean("dynamic", default=False)
    scheme.finish()
    return "FP8" if bits == 8 else "NVFP4"
