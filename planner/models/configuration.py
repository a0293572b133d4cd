"""From the text of a configuration to its ModelSpec."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from planner.base.errors import DataError, InputError
from planner.base.strict_json import parse_object, short_repr
from planner.messages.message import Note, message
from planner.models.defaults import Ledger
from planner.models.families import builder_of
from planner.models.fields import Fields
from planner.models.inventory import Inventory
from planner.models.quantization.plan import QuantPlan, quantise
from planner.models.rows import Provenance
from planner.models.spec import ModelSpec

_MAX_BYTES = 2**53
QUANT_NAME = "hf_quant_config.json"


def id_of(stem: str) -> str:
    """The id of a model that has a name of its own."""
    return re.sub(r"[^a-z0-9.]+", "-", stem.lower()).strip("-.") or "model"


def spec_from_bytes(
    text: bytes,
    place: str,
    *,
    model_id: str,
    public_name: str,
    source: str,
    source_kind: str,
    quant_text: bytes | None = None,
    ignore_keys: Iterable[str] = (),
) -> ModelSpec:
    """The ModelSpec of the configuration in ``text``; ``place`` names it in errors.

    ``quant_text`` is the ``hf_quant_config.json`` beside it, if there is one. Keys in
    ``ignore_keys`` (``name``, or ``text_config.name``) are passed over where nobody reads them.

    Raises:
        DataError: invalid JSON, or keys or values that are not understood.
        InputError: a key to pass over that is not there, or is understood.
        UnsupportedError: it names a class of an engine's registry that is not modelled.
    """
    values = parse_object(text, place, infinite=True)
    ledger = Ledger(ignore_keys)
    fields = Fields(values, place, ledger=ledger)
    if "model_type" not in values:
        raise fields.error("model_type", "is missing, so this is not a model configuration")
    model_type = fields.take("model_type")
    fields.take("quantization_config")
    if source_kind in ("file", "hub"):
        _check_class(values, model_type, fields)
    build = builder_of(model_type, place, values)
    origin = Provenance(
        id=model_id, public_name=public_name, source=source, source_kind=source_kind,
        config_sha256=hashlib.sha256(text).hexdigest(),
    )  # fmt: skip
    spec = _with_head(build(fields, str(model_type), origin), fields, values)
    spec = replace(
        _noted(spec, fields, ledger),
        architecture=_architecture(values),
        own_code=isinstance(values.get("auto_map"), dict),
    )
    plans = _plans(values, fields.place, model_type, quant_text)
    if plans:
        spec = quantise(spec, plans)
    elif source_kind in ("file", "hub"):
        spec = _said_by_name(spec, values, place)
    size = Inventory(spec).payload_bytes
    if size > _MAX_BYTES:
        raise DataError(
            f"{place}: the sizes give {short_repr(size)} bytes, more than 2^53",
            hint="check the sizes in the configuration: no model is that large",
        )
    return spec


def _check_class(values: dict[str, object], model_type: object, fields: Fields) -> None:
    """Refuse the classes of engines' registries of which it is known that no family reads them."""
    name = _architecture(values)
    if not name:
        return
    from planner.models.architectures import refuse_class
    from planner.models.families import FAMILY_OF
    from planner.models.through_transformers.built import installed

    known = isinstance(model_type, str) and model_type in FAMILY_OF
    refuse_class(name, fields, known=known, builds=not known and installed())


_LANGUAGE_HEADS = (
    "ChatGLMModel", "ForCausalLM", "ForConditionalGeneration", "LMHeadModel", "OmniModel",
    "VLChatModel",
)  # fmt: skip


def _architecture(values: dict[str, object]) -> str:
    """The class that a configuration names first; empty where it names none."""
    stated = values.get("architectures")
    first = stated[0] if isinstance(stated, list) and stated else None
    return first if isinstance(first, str) else ""


def _with_head(spec: ModelSpec, fields: Fields, values: dict[str, object]) -> ModelSpec:
    """``spec``, a causal language model, with the head that ``architectures`` names."""
    if _architecture(values).endswith(_LANGUAGE_HEADS):
        fields.strings("architectures")
        return spec
    from planner.models.heads import fit_head

    return fit_head(spec, fields)


def _noted(spec: ModelSpec, fields: Fields, ledger: Ledger) -> ModelSpec:
    """``spec`` with what reading it came upon.

    Raises:
        InputError: a key to pass over that is not there, or is understood.
    """
    if ledger.idle:
        raise InputError(
            f"{fields.place}: no key {short_repr(ledger.idle[0])} to pass over",
            hint="--ignore-keys is for keys that are refused: leave out those that "
            "are understood, harmless or not there",
        )
    return replace(
        spec, assumed_keys=tuple(sorted(ledger.assumed.items())),
        harmless_keys=tuple(sorted(name for name in ledger.harmless if not fields.has_read(name))),
        ignored_keys=tuple(sorted(ledger.passed_over)),
        not_counted=tuple(dict.fromkeys((*spec.not_counted, *ledger.left_out))),
    )  # fmt: skip


_QUANTISED = re.compile(
    r"(?<![a-z0-9])(nvfp4|mxfp4|mxfp8|fp8|fp4|awq|gptq|int4|int8|w[48]a(?:4|8|16)|4bit|8bit|nf4|bnb)"
    r"(?![a-z0-9])")  # fmt: skip


def _said_by_name(spec: ModelSpec, values: dict[str, object], place: str) -> ModelSpec:
    """``spec``, nothing of whose files states a quantisation, with a note if its name does."""
    own = values.get("_name_or_path")
    names = [" ".join(Path(place).parts[-2:]), own if isinstance(own, str) else ""]
    match = next((m for name in names if (m := _QUANTISED.search(name.lower()))), None)
    if match is None or spec.quantization not in ("bf16", "fp16", "fp32"):
        return spec
    note = Note(
        "stored as",
        message(
            "assumptions.throughout_and_name_says",
            quantization=spec.quantization,
            b=match[1].upper(),
        ),
        message("assumptions.neither_config_json_nor_beside", quant_name=QUANT_NAME),
    )
    return replace(spec, notes=(*spec.notes, note))


def _plans(
    values: dict[str, object], place: str, model_type: object, quant_text: bytes | None
) -> tuple[QuantPlan, ...]:
    """The quantisations a configuration states, in its own keys or in its text model's."""
    text = values.get("text_config")
    inner = text if isinstance(text, dict) else {}
    outer = Fields(values, place).nested("quantization_config")
    fields = outer or Fields(inner, f"{place}: text_config").nested("quantization_config")
    if fields is None and quant_text is None:
        return ()
    from planner.models.quantization.checkpoint_schemes import read_plans
    from planner.models.quantization.modelopt import read_file

    plans = () if fields is None else read_plans(fields, model_type)
    if quant_text is None:
        return plans
    beside = read_file(quant_text, f"{place}: hf_quant_config.json")
    if beside.default is None:  # a mixed plan changes what it lists and leaves the rest
        return (*(plan for plan in plans if plan.method != beside.method), beside)
    others = [plan.method for plan in plans if plan.method != beside.method]
    if others:
        raise DataError(
            f"{place}: quantization_config is {others[0]}, and hf_quant_config.json "
            "beside it quantises everything else",
            hint="remove quantization_config from config.json, or hf_quant_config.json beside it",
        )
    return (beside,)
