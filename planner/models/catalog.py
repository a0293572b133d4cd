"""From a model's name or path to its ModelSpec, offline."""

from __future__ import annotations

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
from planner.messages.message import message
from planner.models.configuration import QUANT_NAME, id_of, spec_from_bytes
from planner.models.links import require_inside
from planner.models.spec import ModelSpec

_CONFIGS = Path(__file__).resolve().parent / "configs"


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
    if _is_of_hub(name):
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
        own = "" if "/" in name else message("command.own_model")
        error = UnknownNameError("model", name[:120], model_ids(), note=note, own=own)
        if "/" in name:
            from planner.models.hub.names import hub_name

            if hub_name(name) is not None:
                error.hint = error.way_out = (
                    f"--online reads it from the hub: plan {name} DEVICE --online; {error.hint}"
                )
        raise error
    return _bundled(model_id)


def bundled_of(repository: str, text: bytes, quant_text: bytes | None) -> ModelSpec | None:
    """The bundled model of ``repository`` where ``text`` says what its configuration says, and
    ``quant_text`` what the quantisation beside it does; None where that is not so."""
    model_id = _id_named(repository)
    if model_id is None or catalog()[model_id].public_name.lower() != repository.lower():
        return None
    own, beside = (_CONFIGS / f"{model_id}.{name}" for name in ("json", QUANT_NAME))
    if beside.exists() != (quant_text is not None):
        return None
    pairs = [(own, text)] if quant_text is None else [(own, text), (beside, quant_text)]
    same = all(
        parse_object(read_config_bytes(path), path.name, infinite=True)
        == parse_object(given, f"{repository}/{path.name}", infinite=True)
        for path, given in pairs
    )
    return _bundled(model_id) if same else None


def _is_of_hub(name: str) -> bool:
    """Whether a name begins with ``hf:``; without a colon nothing is loaded to see it."""
    if ":" not in name:
        return False
    from planner.models.hub.names import is_hub_name

    return is_hub_name(name)


def _from_hub(name: str) -> ModelSpec:
    """A model of the hub as it is kept here.

    Raises:
        InputError: nothing is kept of it. DataError, UnsupportedError: as :func:`resolve_model`.
    """
    from planner.models.hub.names import required_hub_name

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
    from planner.models.hub.names import hub_name, required_hub_name

    wanted = required_hub_name(name) if _is_of_hub(name) else hub_name(name)
    if wanted is None:
        return None
    from planner.models.hub.kept import kept_snapshot

    snapshot = kept_snapshot(wanted)
    if snapshot is None:
        return None
    from planner.models.hub.read import hub_model

    return hub_model(wanted, snapshot, bundled_of)


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
