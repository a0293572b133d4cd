"""The process that builds a model on the meta device, bounded in time and memory, and its answer.

It gets an environment without access to hubs; ``auto_map`` is taken out of the configuration, so
that no code but the installed transformers' runs.

What a configuration may ask of it is checked before it is started.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from planner.base.errors import DataError, MissingPackageError, UnsupportedError
from planner.base.records import record
from planner.base.strict_json import short_repr
from planner.models.fields import MAX_CONTEXT, MAX_EXPERTS, MAX_LAYERS

SECONDS = 300.0
"""Time that building may take, the import of PyTorch included."""
MEMORY_BYTES = 6 * 2**30
_WORKER = Path(__file__).with_name("worker.py")
_OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1",
            "TOKENIZERS_PARALLELISM": "false", "OMP_NUM_THREADS": "1",
            "CUDA_VISIBLE_DEVICES": ""}  # fmt: skip


@record
class Tensor:
    """One tensor of a checkpoint: ``region`` is stack, decoder, embedding, head or tower;
    ``blocks`` are the classes of the modules between the layer and the tensor's own, whose class
    is ``owner`` ("" where transformers keeps it in another form). ``buffer``: no parameter."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    region: str
    blocks: tuple[str, ...]
    owner: str
    buffer: bool


@record
class KeptCache:
    """What one layer's cache holds: shapes of one sequence of a few tokens, () for none."""

    name: str
    window: int
    keys: tuple[int, ...]
    values: tuple[int, ...]
    indexer: tuple[int, ...]
    conv: tuple[tuple[int, ...], ...]
    states: tuple[tuple[int, ...], ...]
    state_dtype: str
    conv_dtype: str


@record
class Built:
    """A model as transformers ``version`` builds it. ``not_run`` says why its caches have no
    shapes; ``nested``: the configuration holds others, of towers beside the decoder; ``causal``:
    its layers look back alone; ``shares``: some have weights in common."""

    version: str
    class_name: str
    layers: int
    tensors: tuple[Tensor, ...]
    kept: tuple[KeptCache, ...]
    not_run: str
    nested: bool
    causal: bool
    shares: bool
    layer_types: tuple[str, ...]
    sizes: Mapping[str, Any]

    def size(self, *names: str) -> int:
        """The first positive integer among the sizes ``names``, else 0."""
        for name in names:
            value = self.sizes.get(name)
            if isinstance(value, int) and not isinstance(value, bool) and value > 0:
                return value
        return 0


def installed() -> bool:
    """Whether the extra is installed; nothing is imported."""
    return find_spec("transformers") is not None and find_spec("torch") is not None


def build_apart(values: Mapping[str, object], plain: str, place: str) -> Built:
    """The model that ``values`` configures, plain tensors in torch type ``plain``.

    Raises:
        MissingPackageError: transformers or PyTorch are not installed.
        UnsupportedError: the installed transformers does not know the type.
        DataError: it cannot build it, or not within the time and memory allowed.
    """
    answer = _answer(json.dumps(values, sort_keys=True), plain, place)
    if "missing" in answer:
        raise MissingPackageError(str(answer["missing"]), extra="hf")
    version = f"transformers {answer.get('transformers', '')}"
    if "unknown" in answer:
        raise UnsupportedError(
            f"{place}: neither this program nor {version} knows the model type "
            f"{short_repr(answer['unknown'])}",
            hint="a newer transformers may: pip install -U transformers",
        )
    if "error" in answer:
        raise DataError(
            f"{place}: {version} cannot build this configuration: "
            f"{' '.join(str(answer['error']).split())}",
            hint="compare it with the configuration of the release",
        )
    return read_answer(answer)


@lru_cache(maxsize=8)
def _answer(text: str, plain: str, place: str) -> dict[str, Any]:
    request = f'{{"config": {text}, "plain": {json.dumps(plain)}, "memory_bytes": {MEMORY_BYTES}}}'
    try:
        process = subprocess.Popen(
            [sys.executable, "-P", str(_WORKER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            env={**os.environ, **_OFFLINE},
        )
    except OSError as error:
        raise DataError(
            f"{place}: {sys.executable} cannot be started: {error.strerror}",
            hint="run it from an installed Python",
        ) from None
    try:
        out, err = process.communicate(request.encode(), timeout=SECONDS)
    except subprocess.TimeoutExpired:
        _end(process)
        raise DataError(
            f"{place}: transformers did not build this configuration within "
            f"{SECONDS:.0f} s and was stopped",
            hint="check the sizes in the configuration",
        ) from None
    except BaseException:
        _end(process)
        raise
    try:
        answer = json.loads(out)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        last = " ".join(err.decode(errors="replace").split())[-300:]
        raise DataError(
            f"{place}: transformers ended with status {process.returncode} and without "
            f"an answer (it may use {MEMORY_BYTES // 2**30} GiB): {last!a}",
            hint="check the sizes in the configuration",
        )
    return answer


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.communicate()


def read_answer(answer: Mapping[str, Any]) -> Built:
    return Built(
        version=str(answer["transformers"]), class_name=str(answer["class"]),
        layers=int(answer["layers"]), not_run=str(answer["not_run"]),
        nested=bool(answer["nested"]), causal=bool(answer.get("causal", True)),
        shares=bool(answer.get("shares", False)),
        layer_types=tuple(answer["layer_types"]), sizes=dict(answer["sizes"]),
        tensors=tuple(
            Tensor(name=name, shape=tuple(shape), dtype=dtype, region=place["region"],
                   blocks=tuple(place["blocks"]), owner=owner, buffer=buffer)
            for place in answer["tensors"]
            for name, shape, dtype, owner, buffer in place["tensors"]),
        kept=tuple(_parsed_cache(cache) for cache in answer["caches"]),
    )  # fmt: skip


def _parsed_cache(entry: Mapping[str, Any]) -> KeptCache:
    conv, states = entry.get("conv_states", ()), entry.get("recurrent_states", ())
    return KeptCache(
        name=entry["class"], window=int(entry.get("window") or 0),
        keys=tuple(entry.get("keys", ())), values=tuple(entry.get("values", ())),
        indexer=tuple(entry.get("indexer_keys", ())),
        conv=tuple(tuple(shape) for shape, _ in conv),
        states=tuple(tuple(shape) for shape, _ in states),
        state_dtype=states[0][1] if states else "", conv_dtype=conv[0][1] if conv else "",
    )  # fmt: skip


_MOST = 2**40
_LAYERS = re.compile(r"(^|_)(layers?|n_layers?|depths?|blocks?|stages?)$")
_EXPERTS = re.compile(r"experts?$")
_LONGEST = 4 * MAX_LAYERS
MAX_MODULES = 10**6
"""Layers × experts: older classes make a module of each expert."""


def check(values: Mapping[str, object], place: str) -> None:
    """Refuse sizes that no model has, wherever they are nested.

    Raises:
        DataError: naming the key.
    """
    layers = experts = 1
    for name, value in _walk(values):
        key = name.rpartition(".")[2]
        if isinstance(value, list) and len(value) > _LONGEST and key not in ("vocab",):
            raise _error(place, name, f"is a list of {len(value):,}", _LONGEST)
        if isinstance(value, bool) or not isinstance(value, int):
            continue
        if not -_MOST <= value <= _MOST:
            raise _error(place, name, f"is {short_repr(value)}", _MOST)
        if _LAYERS.search(key):
            layers = max(layers, _within(place, name, value, MAX_LAYERS))
        elif _EXPERTS.search(key):
            experts = max(experts, _within(place, name, value, MAX_EXPERTS))
        elif key.endswith(("position_embeddings", "n_positions", "max_seq_len")):
            _within(place, name, value, MAX_CONTEXT)
    if layers * experts > MAX_MODULES:
        raise DataError(
            f"{place}: {layers:,} layers of {experts:,} experts are more than "
            f"{MAX_MODULES:,} modules",
            hint="check the sizes in the configuration",
        )


def _walk(values: Mapping[str, object], before: str = "") -> Iterator[tuple[str, object]]:
    for key, value in values.items():
        name = f"{before}{key}"
        if isinstance(value, dict):
            if key not in ("id2label", "label2id"):
                yield from _walk(value, f"{name}.")
            continue
        yield name, value
        if isinstance(value, list):
            for item in value:
                if isinstance(item, dict):
                    yield from _walk(item, f"{name}.")
                elif isinstance(item, int):
                    yield name, item


def _within(place: str, name: str, value: int, most: int) -> int:
    if value > most:
        raise _error(place, name, f"is {value:,}", most)
    return value


def _error(place: str, name: str, what: str, most: int) -> DataError:
    return DataError(
        f"{place}: {short_repr(name)} {what}; the most is {most:,}",
        hint="check the sizes in the configuration: no model is that large",
    )
