"""A model of what is kept of a repository: the record of the bundled model of that name where the
configuration is the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from planner.base.errors import DataError, InputError
from planner.base.strict_json import read_config_bytes
from planner.messages.message import Note, message
from planner.models.checkpoint import is_checkpoint, read_stored
from planner.models.configuration import QUANT_NAME, id_of, spec_from_bytes
from planner.models.gguf_model import spec_from_gguf
from planner.models.hub.kept import Snapshot
from planner.models.hub.names import GGUF_PART, MAIN, PREFIX, HubName, quant_of
from planner.models.spec import ModelSpec

CONFIG = "config.json"
Bundled = Callable[[str, bytes, bytes | None], ModelSpec | None]
"""The bundled model of a repository, its configuration and the quantisation beside it; None where
none is, or it says something else."""
USUAL = ("q4_k_m", "q8_0")
"""What is taken of a repository of GGUF files where none is named, as llama.cpp's ``-hf`` does."""
_SHOWN = 12


def hub_model(name: HubName, snapshot: Snapshot, bundled: Bundled) -> ModelSpec:
    """The ModelSpec of what is kept of ``name``; where that is what ``bundled`` finds, that model.

    Raises:
        DataError: a configuration or a header is invalid or not understood.
        UnsupportedError: the structure is understood and not modelled yet.
        InputError: the repository has no file of that quantisation.
    """
    place = f"{HubName(name.repository, name.revision).text}"
    try:
        if is_of_checkpoint(name, snapshot):
            return _of_checkpoint(name, snapshot, place, bundled)
        return _of_gguf(name, snapshot)
    except DataError as error:
        text = error.message.replace(str(snapshot.folder), place)
        raise DataError(text, hint=_way_out(error)) from None


def is_of_checkpoint(name: HubName, snapshot: Snapshot) -> bool:
    """Whether ``name`` means a checkpoint by its configuration, which repositories of GGUF files
    may hold as well."""
    weights = any(file.endswith(".safetensors") for file in snapshot.files)
    return CONFIG in snapshot.files and not name.quant and (weights or not _gguf_files(snapshot)[1])


def _way_out(error: DataError) -> str:
    if "download" in error.hint or "damaged" in error.hint:
        return (
            "the file is damaged at the hub: name another revision, hf:org/name@REVISION, or read "
            "it again with --online"
        )
    return error.hint


def _of_checkpoint(name: HubName, snapshot: Snapshot, place: str, bundled: Bundled) -> ModelSpec:
    text = read_config_bytes(snapshot.folder / CONFIG)
    quant_path = snapshot.folder / QUANT_NAME
    quant = read_config_bytes(quant_path) if quant_path.is_file() else None
    spec = bundled(name.repository, text, quant) or _with_revision(
        name,
        spec_from_bytes(
            text, f"{place}/{CONFIG}", model_id=_id_of(name.repository),
            public_name=name.repository, source=_source(snapshot, CONFIG),
            source_kind="hub", quant_text=quant,
        ),
    )  # fmt: skip
    if not is_checkpoint(snapshot.folder):
        return spec
    return read_stored(spec, snapshot.folder, size_of=snapshot.size_of)


def _of_gguf(name: HubName, snapshot: Snapshot) -> ModelSpec:
    file = chosen_gguf(snapshot, name)[0]
    quants = quants_of(snapshot)
    spec = spec_from_gguf(
        snapshot.folder / file,
        model_id=_id_of(file.rsplit("/", 1)[-1].removesuffix(".gguf")),
        public_name=f"{name.repository}:{quant_of(file)}",
        size_of=snapshot.size_of,
    )
    spec = replace(spec, source=_source(snapshot, file), source_kind="hub")
    if name.quant or len(quants) == 1:
        return _with_revision(name, spec)
    others = ", ".join(quant for quant in quants if quant != quant_of(file))
    note = Note(
        "GGUF file",
        file,
        message("assumptions.hub_file_taken", repository=name.repository, others=others),
    )
    return _with_revision(name, replace(spec, notes=(*spec.notes, note)))


def _source(snapshot: Snapshot, file: str) -> str:
    return f"{PREFIX}{snapshot.repository}@{snapshot.commit}/{file}"


def _with_revision(name: HubName, spec: ModelSpec) -> ModelSpec:
    """``spec``, with what a command that serves it must name where it is no branch's newest."""
    if name.revision == MAIN:
        return spec
    note = Note("revision", name.revision, message("assumptions.hub_revision", name=name.text))
    return replace(spec, notes=(*spec.notes, note))


def chosen_gguf(snapshot: Snapshot, name: HubName) -> tuple[str, ...]:
    """The GGUF file that ``name`` means, all its parts, first to last.

    Raises:
        InputError: there is none, or of that quantisation none or several.
    """
    files, firsts = _gguf_files(snapshot)
    if not firsts:
        raise InputError(
            f"{name.text}: the repository has neither {CONFIG} nor a GGUF file",
            hint="name the repository of the model itself, hf:org/name",
        )
    wanted = [name.quant.lower()] if name.quant else [*USUAL, quant_of(firsts[0]).lower()]
    for quant in wanted:
        found = [f for f in firsts if quant_of(f).lower() == quant]
        if found:
            return _all_parts(found[0], files)
    quants = quants_of(snapshot)
    shown = ", ".join(quants[:_SHOWN]) + (", …" if len(quants) > _SHOWN else "")
    raise InputError(
        f"{name.text}: the repository has no GGUF file of {name.quant!r}",
        hint=f"hf:{name.repository}:QUANT with one of {shown}",
    )


def quants_of(snapshot: Snapshot) -> tuple[str, ...]:
    """What the GGUF files of a repository are quantised in."""
    return tuple(dict.fromkeys(quant_of(file) for file in _gguf_files(snapshot)[1]))


def _gguf_files(snapshot: Snapshot) -> tuple[list[str], list[str]]:
    """(every GGUF file of a model, the first part of each)."""
    files = sorted(f for f in snapshot.files if f.endswith(".gguf") and "mmproj" not in f.lower())
    return files, [f for f in files if (part := GGUF_PART.search(f)) is None or int(part[1]) == 1]


def _all_parts(file: str, files: list[str]) -> tuple[str, ...]:
    part = GGUF_PART.search(file)
    if part is None:
        return (file,)
    stem = file[: part.start()]
    return tuple(f for f in files if f.startswith(f"{stem}-") and f.endswith(f"-of-{part[2]}.gguf"))


def _id_of(text: str) -> str:
    return id_of(text.rsplit("/", 1)[-1])
