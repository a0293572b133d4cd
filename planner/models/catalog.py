"""From a model's name or path to its ModelSpec, offline."""

from __future__ import annotations

import hashlib
import os
import re
import tomllib
from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from pathlib import Path

from planner.base.errors import DataError, InputError, UnknownNameError
from planner.base.records import record
from planner.base.strict_json import parse_object, read_config_bytes, short_repr
from planner.base.system import is_windows_path
from planner.messages.message import Note, message
from planner.models.defaults import Ledger
from planner.models.families import builder_of
from planner.models.fields import Fields
from planner.models.hub.names import hub_name, is_hub_name, required_hub_name
from planner.models.inventory import Inventory
from planner.models.links import require_inside
from planner.models.quantization.plan import QuantPlan, quantise
from planner.models.rows import Provenance
from planner.models.spec import ModelSpec

_CONFIGS = Path(__file__).resolve().parent / "configs"
_MAX_BYTES = 2**53
QUANT_NAME = "hf_quant_config.json"


@record
class CatalogEntry:
    """A bundled configuration, where it came from, and what of the release is not in it.

    ``published``: parameters of the release as others state them, and who; "" where nobody was
    found, so that the total is counted from the sizes alone.
    """

    id: str
    public_name: str
    aliases: tuple[str, ...]
    source: str
    source_kind: str
    note: str
    not_counted: tuple[str, ...] = ()
    published: str = ""


@cache
def catalog() -> dict[str, CatalogEntry]:
    """The bundled models by id, in the order of the provenance file."""
    values = tomllib.loads((_CONFIGS / "sources.toml").read_text(encoding="utf-8"))
    return {
        model_id: CatalogEntry(
            id=model_id, public_name=entry["public_name"], aliases=tuple(entry["aliases"]),
            source=entry["source"], source_kind=entry["source_kind"], note=entry["note"],
            not_counted=tuple(entry.get("not_counted", ())),
            published=entry.get("published", ""),
        )
        for model_id, entry in values.items()
    }  # fmt: skip


def model_ids() -> tuple[str, ...]:
    """The ids of the bundled models."""
    return tuple(catalog())


@cache
def _ids_by_name() -> dict[str, str]:
    names: dict[str, str] = {}
    for entry in catalog().values():
        for name in (entry.id, entry.public_name, entry.public_name.split("/")[-1], *entry.aliases):
            names[_normal(name)] = entry.id
    return names


def known_names() -> frozenset[str]:
    """Every spelling of a bundled model, in lower case."""
    return frozenset(_ids_by_name())


def named_id(name: str) -> str | None:
    """The id of the bundled model that ``name`` means, however it is spelt; None for none."""
    return _id_named(name)


def is_model(name: str) -> bool:
    """Whether ``name`` is a bundled model's; paths are not looked at."""
    return _id_named(name) is not None


def _id_named(name: str) -> str | None:
    """The id that ``name`` means, None for none: as an id, a public name or an alias is written, or
    alike but for signs (``Qwen3 32B``) where that means one model alone."""
    known_id = _ids_by_name().get(_normal(name))
    return known_id if known_id is not None else _ids_by_letters().get(plain_letters(name))


@cache
def _ids_by_letters() -> dict[str, str]:
    """Names without their signs → id, but for those that several models would have."""
    ids: dict[str, set[str]] = {}
    for name, model_id in _ids_by_name().items():
        ids.setdefault(plain_letters(name), set()).add(model_id)
    return {letters: each.pop() for letters, each in ids.items() if len(each) == 1}


def named_repository(name: str) -> str | None:
    """The repository that ``name`` means where it is another checkpoint than that of the bundled
    model, of the same structure (``Llama-3.3-70B`` of llama-3.1-70b); None where it is not."""
    model_id = _id_named(name)
    if model_id is None:
        return None
    entry, letters = catalog()[model_id], plain_letters(name.split("/")[-1])
    own = {plain_letters(own.split("/")[-1]) for own in (model_id, entry.public_name)}
    known = [alias for alias in entry.aliases if "/" in alias]
    exact = [alias for alias in known if _normal(alias) == _normal(name)]
    if letters in own and not exact:
        return None
    alike = [a for a in known if plain_letters(a.split("/")[-1]).startswith(letters)]
    return next(iter((*exact, *alike)), None)


def plain_letters(name: str) -> str:
    """Letters, digits and points alone, in lower case: qwen3 8b and Qwen3-8B are the same."""
    return re.sub(r"[^a-z0-9.]+", "", name.lower())


def resolve_model(name: str, *, ignore_keys: Iterable[str] = ()) -> ModelSpec:
    """The model called ``name``; keys in ``ignore_keys`` are passed over on the user's word.

    ``name`` is an id, an alias, a public repository name (any case), or a path: a configuration
    file, a GGUF file, a directory with ``config.json``, or a checkpoint directory, whose headers
    are then compared with the configuration and give the stored types. A path wins if it contains
    a slash and exists; ``./name`` is always a path, and so is a name of no bundled model that a
    file or folder here has.

    Raises:
        UnknownNameError: no such model; the hint has the nearest names.
        DataError: the configuration or the checkpoint is invalid or not understood.
        UnsupportedError: the structure is understood and not modelled yet.
        InputError: keys to pass over of a bundled model.
    """
    path = _as_path(name)
    if path is not None:
        return _from_path(path, name, tuple(ignore_keys))
    for key in ignore_keys:
        raise InputError(
            f"{short_repr(key)}: a bundled model has no key to pass over",
            hint="leave --ignore-keys out, or name a configuration file",
        )
    if is_hub_name(name):
        return _from_hub(name)
    note = "a folder of that name is here; write it as a path" if os.path.isdir(name) else ""
    try:
        return bundled_model(name, note=note)
    except UnknownNameError:
        kept = _kept_at_hub(name)
        if kept is None:
            raise
        return kept


def bundled_model(name: str, *, note: str = "") -> ModelSpec:
    """The bundled model called ``name``, never a file. Raises UnknownNameError."""
    model_id = _id_named(name)
    if model_id is None:
        error = UnknownNameError("model", name[:120], model_ids(), note=note)
        if "/" in name and hub_name(name) is not None:
            error.hint = error.way_out = (
                f"--online reads it from the hub: plan {name} DEVICE --online; {error.hint}"
            )
        raise error
    return _bundled(model_id)


def bundled_of(text: bytes, quant_text: bytes | None) -> ModelSpec | None:
    """The bundled model of which ``text`` is the configuration, byte for byte, and ``quant_text``
    the quantisation beside it; None where none is."""
    for model_id in model_ids():
        path = _CONFIGS / f"{model_id}.json"
        if path.stat().st_size != len(text) or read_config_bytes(path) != text:
            continue
        quant = _CONFIGS / f"{model_id}.{QUANT_NAME}"
        if (read_config_bytes(quant) if quant.exists() else None) == quant_text:
            return _bundled(model_id)
    return None


def _from_hub(name: str) -> ModelSpec:
    """A model of the hub as it is kept here.

    Raises:
        InputError: nothing is kept of it. DataError, UnsupportedError: as :func:`resolve_model`.
    """
    spec = _kept_at_hub(name)
    if spec is None:
        wanted = required_hub_name(name)
        own = _id_named(wanted.repository)
        bundled = f"; without hf: {wanted.repository} is bundled" if own is not None else ""
        raise InputError(
            f"{wanted.text}: nothing of it was read yet, and nothing is fetched without --online",
            hint=f"plan {wanted.text} DEVICE --online (pip install 'precision-planner[hub]')"
            + bundled,
        )
    return spec


def _kept_at_hub(name: str) -> ModelSpec | None:
    """The model that is kept of a repository of the hub; None where nothing is."""
    wanted = required_hub_name(name) if is_hub_name(name) else hub_name(name)
    if wanted is None:
        return None
    from planner.models.hub.kept import kept_snapshot

    snapshot = kept_snapshot(wanted)
    if snapshot is None:
        return None
    from planner.models.hub.read import hub_model

    return hub_model(wanted, snapshot)


@cache
def _bundled(model_id: str) -> ModelSpec:
    entry = catalog()[model_id]
    path = _CONFIGS / f"{model_id}.json"
    quant = _CONFIGS / f"{model_id}.{QUANT_NAME}"
    spec = spec_from_bytes(
        read_config_bytes(path), path.name, model_id=model_id, public_name=entry.public_name,
        source=entry.source, source_kind=entry.source_kind,
        quant_text=read_config_bytes(quant) if quant.exists() else None,
    )  # fmt: skip
    return replace(spec, not_counted=(*spec.not_counted, *entry.not_counted))


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
    """
    values = parse_object(text, place, infinite=True)
    ledger = Ledger(ignore_keys)
    fields = Fields(values, place, ledger=ledger)
    if "model_type" not in values:
        raise fields.error("model_type", "is missing, so this is not a model configuration")
    model_type = fields.take("model_type")
    fields.take("quantization_config")
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


_LANGUAGE_HEADS = ("ForCausalLM", "ForConditionalGeneration", "LMHeadModel", "OmniModel")


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


def _from_path(path: Path, name: str, ignore_keys: tuple[str, ...]) -> ModelSpec:
    from planner.models.checkpoint import is_checkpoint, read_stored, require_structure

    if not os.path.exists(path):
        raise DataError(
            f"{short_repr(name)}: no such file or directory",
            hint="a path names a config.json, a .gguf file or a checkpoint's folder; "
            "`plan list models` lists ids",
        )
    if path.suffix == ".gguf" and not path.is_dir():
        from planner.models.gguf_model import spec_from_gguf

        if ignore_keys:
            raise InputError(
                f"{short_repr(name)}: a GGUF file has no keys to pass over",
                hint="leave --ignore-keys out",
            )
        return spec_from_gguf(path, model_id=id_of(path.stem), public_name=name)
    config = path / "config.json" if path.is_dir() else path
    if path.is_dir() and not os.path.exists(config):
        require_structure(path)
    stem = config.name.removesuffix("config.json")
    quant = config.with_name(stem + QUANT_NAME if stem != config.name else QUANT_NAME)
    for beside in (config, quant) if path.is_dir() else (quant,):
        if os.path.lexists(beside):
            require_inside(beside, config.parent)
    stem = config.resolve().parent.name if config.name == "config.json" else config.stem
    spec = spec_from_bytes(
        read_config_bytes(config), str(config), model_id=id_of(stem), public_name=name,
        source=str(config), source_kind="file",
        quant_text=read_config_bytes(quant) if os.path.exists(quant) else None,
        ignore_keys=ignore_keys,
    )  # fmt: skip
    return read_stored(spec, path) if path.is_dir() and is_checkpoint(path) else spec


def id_of(stem: str) -> str:
    """The id of a model that has a name of its own."""
    return re.sub(r"[^a-z0-9.]+", "-", stem.lower()).strip("-.") or "model"


def _as_path(name: str) -> Path | None:
    if name in (".", "..") or name.startswith(("./", "../", "/")) or is_windows_path(name):
        if "\0" in name:
            raise DataError(
                f"{short_repr(name)}: not a path",
                hint="name a config.json, a GGUF file, or the folder of a checkpoint",
            )
        return Path(name)
    if "/" in name:
        return Path(name) if os.path.exists(name) else None
    known = not name or "\0" in name or is_model(name)
    return None if known or not _is_there(name) else Path(name)


def _is_there(name: str) -> bool:
    """Whether a file has that name, or a folder of a model; a longer name than any file's has
    none."""
    return os.path.isfile(name) or os.path.isfile(os.path.join(name, "config.json"))


def _normal(name: str) -> str:
    return name.strip().lower().replace("_", "-")
