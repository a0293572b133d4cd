"""A model of what is kept of a repository: the same record as that of a bundled model where the
configuration is the same."""

from __future__ import annotations

import re
from dataclasses import replace

from planner.base.errors import DataError, InputError
from planner.base.strict_json import read_config_bytes
from planner.models.hub.kept import Snapshot
from planner.models.hub.names import HubName
from planner.models.spec import ModelSpec

CONFIG = "config.json"
QUANTISATION = "hf_quant_config.json"
QUANTISATIONS = (QUANTISATION, "quantize_config.json")
USUAL = ("q4_k_m", "q8_0")
"""What is taken of a repository of GGUF files where none is named, as llama.cpp's ``-hf`` does."""
_PART = re.compile(r"-(\d{5})-of-(\d{5})\.gguf$")
_SHOWN = 12


def hub_model(name: HubName, snapshot: Snapshot) -> ModelSpec:
    """The ModelSpec of what is kept of ``name``.

    Raises:
        DataError: a configuration or a header is invalid or not understood.
        UnsupportedError: the structure is understood and not modelled yet.
        InputError: the repository has no file of that quantisation.
    """
    place = f"{HubName(name.repository, name.revision).text}"
    try:
        if CONFIG in snapshot.files and not name.quant:
            return _of_checkpoint(name, snapshot, place)
        return _of_gguf(name, snapshot)
    except DataError as error:
        message = error.message.replace(str(snapshot.folder), place)
        raise DataError(message, hint=_way_out(error)) from None


def _way_out(error: DataError) -> str:
    if "download" in error.hint or "damaged" in error.hint:
        return (
            "the file is damaged at the hub: name another revision, hf:org/name@REVISION, or read "
            "it again with --online"
        )
    return error.hint


def _of_checkpoint(name: HubName, snapshot: Snapshot, place: str) -> ModelSpec:
    from planner.models.catalog import bundled_of, spec_from_bytes
    from planner.models.checkpoint import is_checkpoint, read_stored

    text = read_config_bytes(snapshot.folder / CONFIG)
    quant_path = snapshot.folder / QUANTISATION
    quant = read_config_bytes(quant_path) if quant_path.is_file() else None
    bundled = bundled_of(text, quant)
    spec = bundled or spec_from_bytes(
        text, f"{place}/{CONFIG}", model_id=_id_of(name.repository),
        public_name=name.repository, source=f"{name.repository}@{snapshot.commit}/{CONFIG}",
        source_kind="hub", quant_text=quant,
    )  # fmt: skip
    if not is_checkpoint(snapshot.folder):
        return spec
    return read_stored(spec, snapshot.folder, size_of=snapshot.size_of)


def _of_gguf(name: HubName, snapshot: Snapshot) -> ModelSpec:
    from planner.models.gguf_model import spec_from_gguf

    file = chosen_gguf(snapshot, name)[0]
    spec = spec_from_gguf(
        snapshot.folder / file,
        model_id=_id_of(file.rsplit("/", 1)[-1].removesuffix(".gguf")),
        public_name=f"{name.repository}:{quant_of(file)}",
        size_of=snapshot.size_of,
    )
    return replace(spec, source=f"{name.repository}@{snapshot.commit}/{file}", source_kind="hub")


def chosen_gguf(snapshot: Snapshot, name: HubName) -> tuple[str, ...]:
    """The GGUF file that ``name`` means, all its parts, first to last.

    Raises:
        InputError: there is none, or of that quantisation none or several.
    """
    files = sorted(f for f in snapshot.files if f.endswith(".gguf") and "mmproj" not in f.lower())
    firsts = [f for f in files if (part := _PART.search(f)) is None or int(part[1]) == 1]
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
    shown = ", ".join(dict.fromkeys(quant_of(f) for f in firsts[:_SHOWN]))
    raise InputError(
        f"{name.text}: the repository has no GGUF file of {name.quant!r}",
        hint=f"hf:{name.repository}:QUANT with one of {shown}",
    )


def quant_of(file: str) -> str:
    """What a GGUF file is quantised in, by its name: ``UD-Q4_K_XL`` of
    ``Qwen3-8B-UD-Q4_K_XL.gguf``."""
    stem = _PART.sub("", file.rsplit("/", 1)[-1]).removesuffix(".gguf")
    found = re.search(
        r"(?:^|[-.])((?:UD-)?(?:I?Q\d\w*|T?Q\d\w*|BF16|F16|F32|MXFP4\w*|NVFP4\w*))$", stem, re.I
    )
    return found[1] if found else stem


def _all_parts(file: str, files: list[str]) -> tuple[str, ...]:
    part = _PART.search(file)
    if part is None:
        return (file,)
    stem = file[: part.start()]
    return tuple(f for f in files if f.startswith(f"{stem}-") and f.endswith(f"-of-{part[2]}.gguf"))


def _id_of(text: str) -> str:
    from planner.models.catalog import id_of

    return id_of(text.rsplit("/", 1)[-1])
