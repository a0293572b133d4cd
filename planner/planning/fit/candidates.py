"""Published files that may suit a machine: which engine runs each, in which scheme, and what it
takes at least, before anything is priced."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import cache, lru_cache

from planner.base.records import record
from planner.formats.schemes import SCHEMES
from planner.formats.sizes import bits_per_element
from planner.hardware.profile import DeviceProfile
from planner.memory.engines.catalog import parse_engine
from planner.memory.usable import usable_memory
from planner.models.catalog import model_ids
from planner.models.kv import cache_description, sequence_bytes
from planner.models.spec import ModelSpec
from planner.planning.answer.servability import engines_on
from planner.planning.engines.mixes import engine_mixes, importance_type
from planner.planning.engines.published import PublishedWeights, published_weights
from planner.planning.engines.repositories import GGUF, MLX, repositories_of
from planner.planning.files.catalogue import PublishedFile, files_of
from planner.planning.fit.rating import FitUse

ENGINES = ("llama.cpp", "mlx", "vllm")
"""Engines whose files are tried: of GGUF, of MLX, and of the releases for servers."""
AS_PUBLISHED = "MXFP4"
"""The name of GGUF files that keep a checkpoint's own MXFP4."""
_PLAIN_CACHE = "bf16"
_BYTE_BITS = 8


@record
class Candidate:
    """A published ``file``, the ``engine`` that runs it, the ``scheme`` that it is priced in (None:
    the checkpoint as it is), and the ``bytes`` that its weights take at least. ``weighed``:
    a mixture of llama.cpp that gives tensors the bits they need: no smaller file loses less."""

    file: PublishedFile
    engine: str
    scheme: str | None
    bytes: float
    weighed: bool = False


def engines_for(device: DeviceProfile) -> tuple[str, ...]:
    """Those of :data:`ENGINES` that run on ``device``; servers of releases need an accelerator."""
    usable = engines_on(device)
    return tuple(
        name for name in ENGINES if name in usable and (name != "vllm" or device.kind != "cpu")
    )


def releases_with_files() -> dict[tuple[str, str], int]:
    """(checkpoint, bundled model) of every checkpoint that files are known of → how often its most
    popular repository was downloaded, as far as a source says."""
    downloads: dict[tuple[str, str], int] = {}
    for model in model_ids():
        for row in repositories_of(model):
            downloads[row.of, model] = max(downloads.get((row.of, model), 0), row.downloads)
        for release in _servers(model):
            downloads.setdefault((release.of, model), 0)
    return downloads


def candidates(
    release: str,
    model: str,
    spec: ModelSpec,
    engines: Sequence[str],
    use: FitUse,
    device: DeviceProfile,
) -> list[Candidate]:
    """Files of ``release`` for ``engines`` that ``device`` may have room for beside the cache of
    ``use``, and whose weights it can read often enough for its tokens/s; the largest first."""
    cached = sequence_bytes(cache_description(spec), use.context, _PLAIN_CACHE)
    resident, read = _shares(spec)
    room = {name: usable_memory(device, parse_engine(name)).bytes - cached for name in engines}
    readable = device.bandwidth_bytes_per_s.value / use.tokens_per_second
    largest = math.inf if use.file_bytes is None else use.file_bytes
    some = [*_gguf(release, model, spec, engines), *_others(release, model, spec, engines)]
    possible = (
        one
        for one in some
        if one.bytes <= largest
        and one.bytes * resident <= room[one.engine]
        and one.bytes * read <= readable
    )
    return sorted(possible, key=lambda one: -one.bytes)


def _gguf(release: str, model: str, spec: ModelSpec, engines: Sequence[str]) -> Iterator[Candidate]:
    """Files in mixtures of llama.cpp, one a mixture, and of the checkpoint's own MXFP4."""
    if "llama.cpp" not in engines or not repositories_of(model):
        return
    by_quant: dict[str, PublishedFile] = {}
    for file in files_of(model):
        if file.of == release and file.container == GGUF and file.bytes is not None:
            by_quant.setdefault(file.quant.upper(), file)
    own = _stores_mxfp4(spec)
    for quant, file in by_quant.items():
        if quant in engine_mixes() and not own:
            if importance_type(spec, quant):
                continue  # what it lost depends on a matrix that is not published with it
            weighed = "_K" in quant or quant == "Q8_0"
            size = float(file.bytes or 0)
            yield Candidate(file, "llama.cpp", quant.lower(), size, weighed)
        elif quant == AS_PUBLISHED and own:
            yield Candidate(file, "llama.cpp", None, float(file.bytes or 0))


def _others(
    release: str, model: str, spec: ModelSpec, engines: Sequence[str]
) -> Iterator[Candidate]:
    """Files of MLX and releases for servers, one a scheme."""
    files = (
        {file.repository: file for file in files_of(model)} if set(engines) - {"llama.cpp"} else {}
    )
    seen: set[tuple[str, str]] = set()
    for row in _servers(model):
        engine = "mlx" if row.container == (MLX,) else "vllm"
        if row.of != release or engine not in engines or row.repository not in files:
            continue
        scheme = row.by_kind(spec)
        if (engine, scheme) in seen:
            continue
        seen.add((engine, scheme))
        file = files[row.repository]
        yield Candidate(file, engine, scheme, float(file.bytes or _least_bytes(row, spec)))


def _least_bytes(row: PublishedWeights, spec: ModelSpec) -> float:
    """The model's parameters in the narrowest format of a release."""
    names = {row.dense, row.experts, row.attention} - {""}
    bits = min(bits_per_element(SCHEMES[name].weight) for name in names)
    elements = sum(row.elements * row.copies for row in spec.rows if row.part == "main")
    return elements * bits / _BYTE_BITS


@lru_cache(maxsize=256)
def _shares(spec: ModelSpec) -> tuple[float, float]:
    """Shares of a model's elements: those beside the table of tokens, which may stay with the host,
    and those of them that one token reads, of experts the ones that it is sent to."""
    resident = read = stored = 0.0
    for row in spec.rows:
        if row.part != "main":
            continue
        elements = float(row.elements * row.copies)
        stored += elements
        if row.kind == "embedding":
            continue
        resident += elements
        if row.experts > 1 and spec.experts is not None:
            elements *= spec.experts.per_token / row.experts
        read += elements
    return resident / stored, read / stored


@cache
def _servers(model: str) -> tuple[PublishedWeights, ...]:
    return tuple(row for row in published_weights(model) if GGUF not in row.container)


def _stores_mxfp4(spec: ModelSpec) -> bool:
    """Whether the checkpoint's experts are in MXFP4 already, which llama-quantize keeps."""
    return any((row.scheme or "").startswith("mxfp4") for row in spec.rows)
