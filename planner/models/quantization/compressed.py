"""compressed-tensors: groups of modules with the format of their weights and activations.

Source: github.com/vllm-project/compressed-tensors.
"""

from __future__ import annotations

from planner.base.errors import UnsupportedError
from planner.base.strict_json import short_repr
from planner.models.fields import Fields
from planner.models.quantization.forms import MX_GROUP, Form, integer_scheme
from planner.models.quantization.plan import Names, QuantPlan, StorageRule, wildcards

_UNQUANTISED = (
    "plan the checkpoint as it was before, with a scheme of `plan list formats`: plan "
    "estimate MODEL DEVICE --scheme NAME"
)

HARMLESS = frozenset({
    "global_compression_ratio", "quantization_status", "version", "transform_config",
})  # fmt: skip
_FORMATS = ("float-quantized", "int-quantized", "naive-quantized", "pack-quantized",
            "nvfp4-pack-quantized", "mxfp4-pack-quantized", "mxfp8-quantized",
            "mixed-precision")  # fmt: skip
_EVERYTHING = wildcards(["*"], "")
_E8M0 = "torch.float8_e8m0fnu"
_OBSERVED = ("observer", "observer_kwargs", "actorder", "block_structure", "scale_dtype",
             "zp_dtype")  # fmt: skip


def read_plan(config: Fields) -> QuantPlan:
    """The plan of a compressed-tensors configuration.

    Raises:
        DataError: a key or value that is not understood.
        UnsupportedError: sparsity, or a granularity without a scheme in the catalogue.
    """
    layout = config.choice("format", _FORMATS, default=None)
    groups = config.nested("config_groups")
    if groups is None or not groups.names():
        raise config.error("config_groups", "is missing or empty")
    if config.take("sparsity_config"):
        raise UnsupportedError(
            f"{config.place}: sparsity_config: sparse weights are not known", hint=_UNQUANTISED
        )
    ignored = wildcards(config.strings("ignore"), f"{config.place}: ignore")
    rules = [StorageRule(ignored, None)] if ignored else []
    for name in groups.names():
        group = groups.nested(name)
        if group is None:
            raise groups.error(name, "is null; an object is needed")
        rules.append(_group(group, layout))
    cache = config.nested("kv_cache_scheme")
    if cache is not None:
        _read_numbers(cache, widths=(8,), types=("float",))
    return QuantPlan("compressed-tensors", tuple(rules), None, head=True, splits=True,
                     kv_scheme="fp8" if cache is not None else "")  # fmt: skip


def _group(group: Fields, layout: str) -> StorageRule:
    """The modules of ``targets`` (a class, names or expressions) and their form."""
    targets = group.strings("targets")
    if not targets:
        raise group.error("targets", "is missing or empty")
    layout = group.choice("format", _FORMATS, default=layout)
    weights, inputs = group.nested("weights"), group.nested("input_activations")
    if group.take("output_activations") is not None:
        raise UnsupportedError(
            f"{group.place}: quantised outputs are not understood", hint=_UNQUANTISED
        )
    if weights is None:
        raise group.error("weights", "is missing")
    group.finish()
    form = _form(group, weights, inputs, layout)
    names: Names = _EVERYTHING if "Linear" in targets else wildcards(targets, group.place)
    return StorageRule(names, form, named="Linear" not in targets, tables="Embedding" in targets)


def _form(group: Fields, weights: Fields, inputs: Fields | None, layout: str) -> Form:
    exponents = weights.take("scale_dtype") == _E8M0
    bits, kind, strategy, size, symmetric = _read_numbers(weights)
    calibrated = inputs is not None and inputs.take("dynamic") in (None, False)
    if inputs is not None:
        _read_numbers(inputs, dynamic_too=True)
    if kind == "float" and size == MX_GROUP:
        name = (
            ("mxfp8" if bits == 8 else "mxfp4")
            if inputs is not None
            else "mxfp4-w4a16"
            if bits == 4
            else ""
        )
        if not name:
            raise UnsupportedError(
                f"{group.place}: 8-bit floats in groups of 32 without 8-bit "
                "activations have no scheme",
                hint=_UNQUANTISED,
            )
        return Form("mx-ct", name, bits=bits, block=(1, MX_GROUP))
    if layout == "nvfp4-pack-quantized" or (kind == "float" and bits == 4):
        if (kind, bits, size) != ("float", 4, 16):
            raise UnsupportedError(
                f"{group.place}: only 4-bit floats in groups of 16 are NVFP4", hint=_UNQUANTISED
            )
        scheme = "nvfp4" if inputs is not None else "nvfp4-w4a16"
        return Form("nvfp4-ct", scheme, bits=4, block=(1, 16), calibrated=inputs is not None)
    if kind == "float":
        return _float_form(group, strategy, inputs is not None, calibrated, exponents)
    if layout == "pack-quantized":
        packed = integer_scheme(bits, size) if inputs is None else None
        if packed is None:
            raise UnsupportedError(
                f"{group.place}: {bits}-bit integers in groups of {size or 'whole rows'} have no "
                "scheme", hint="understood: 4 or 8 bits, in groups of 16 to 1024 (powers of 2) or "
                               "rows"
            )  # fmt: skip
        return Form("pack-quantized", packed, bits=bits, block=(1, size), symmetric=symmetric,
                    scale_dtype="bf16")  # fmt: skip
    if bits != 8 or strategy != "channel" or inputs is None or not symmetric:
        raise UnsupportedError(f"{group.place}: unpacked integers are understood with 8 bits, "
                               "symmetric scales a channel and 8-bit activations only",
                               hint=_UNQUANTISED)  # fmt: skip
    return Form("int8", "int8-w8a8", block=(1, 0), calibrated=calibrated, scale_dtype="bf16")


def _float_form(
    group: Fields, strategy: str, activations: bool, calibrated: bool, exponents: bool
) -> Form:
    """E4M3 with a scale a tensor, a channel or a 128×128 block, in the model's type; those of
    blocks may be ``exponents`` (powers of two)."""
    if exponents and not (strategy == "block" and activations):
        raise UnsupportedError(
            f"{group.place}: power-of-two scales are understood with blocks and "
            "8-bit activations only",
            hint=_UNQUANTISED,
        )
    if strategy == "tensor" and activations:
        return Form("fp8", "fp8-tensor", calibrated=calibrated, scale_dtype="bf16")
    if strategy == "channel" and activations:
        return Form("fp8", "fp8-channel", block=(1, 0), calibrated=calibrated, scale_dtype="bf16")
    if exponents:
        return Form("fp8", "fp8-block-ue8m0", block=(128, 128), scale_dtype="e8m0")
    if strategy == "block":
        return Form(
            "fp8", "fp8-block" if activations else "fp8-w8a16", block=(128, 128), scale_dtype="bf16"
        )
    raise UnsupportedError(
        f"{group.place}: 8-bit floats a {strategy}"
        f"{'' if activations else ' without 8-bit activations'} have no scheme",
        hint=_UNQUANTISED,
    )


def _read_numbers(
    fields: Fields, *, widths: tuple[int, ...] = (4, 8), types: tuple[str, ...] = ("int", "float"),
    dynamic_too: bool = False,
) -> tuple[int, str, str, int, bool]:  # fmt: skip
    """Width [bits], kind, strategy, group size (0 for none) and symmetry of one number format."""
    bits = fields.integer("num_bits", low=1, high=16)
    if bits not in widths:
        raise fields.error("num_bits", f"is {bits}; understood: {', '.join(map(str, widths))}")
    kind = fields.choice("type", types, default="int" if "int" in types else "float")
    symmetric = fields.boolean("symmetric", default=True)
    size = fields.optional_integer("group_size", low=-1, high=2**16)
    strategies = ("tensor", "channel", "group", "block", "token", "tensor_group")
    implied = "group" if size not in (None, -1) else "channel" if size == -1 else "tensor"
    strategy = fields.choice("strategy", strategies, default=implied)
    dynamic = fields.take("dynamic")
    if dynamic not in ((None, False, True, "local") if dynamic_too else (None, False)):
        raise fields.error(
            "dynamic", f"is {short_repr(dynamic)}; stored numbers have stored scales"
        )
    structure = fields.take("block_structure")
    if structure not in (None, "128x128", [128, 128]):
        raise fields.error("block_structure", "is not 128x128")
    for name in _OBSERVED:
        fields.take(name)
    fields.finish()
    return bits, kind, strategy, max(size or 0, 0) if strategy != "channel" else 0, symmetric
