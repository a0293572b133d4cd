"""The view of ``plan memory``: whether it fits and for how many requests, what fits instead, the
parts of the fullest device; with ``details`` every part in bytes and what was assumed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from planner.base.units import GIB, format_bytes
from planner.export.launch import cache_word
from planner.memory.answer import MemoryAnswer
from planner.memory.breakdown import StageMemory
from planner.memory.engines.records import EngineResult
from planner.memory.on_disk import NAMED, OnDisk
from planner.memory.resident import ENGINE_MADE, Line
from planner.planning.answer.recommend_text import format_word
from planner.report.phrases import Phrases
from planner.report.view.record import Fact, Items, Section, Table, View
from planner.report.view.verb_words import notes_view, verb_phrases, word
from planner.report.words import NAMES

VERB = "memory"
LEAST_SHARE = 0.01
"""Parts below this share of a device are one row."""
LEAST_SHOWN = GIB // 200
"""Bytes that two decimals of GiB show."""
RELEASED = " as released"
"""What a scheme's name ends with where nothing was chosen."""
INDENT = "  "
CACHE_FLAG = "kv-cache-dtype"
"""The setting whose value engines name in their own ways."""


def memory_view(answer: MemoryAnswer, lang: str) -> View:
    """The whole answer.

    Raises:
        UnknownNameError: no such language.
    """
    t = verb_phrases(VERB, lang)
    sections = [
        *_ways(t, answer),
        Section("", (_parts(t, answer),)),
        *_engine(t, answer.engine),
        *_files(t, answer.on_disk),
        Section(t("exact.title"), (_exact(t, answer.parts.fullest),), detail=True),
        *_stages(t, answer),
        *(
            replace(section, title=t("assumptions.title"), detail=True)
            for section in notes_view(answer.assumptions, lang).sections
        ),
        Section("", (Fact(t("fact.more"), t("more.flags")),)),
    ]
    return View(_title(t, answer), tuple(_facts(t, answer)), tuple(sections))


def _gib(size: int) -> str:
    return f"{size / GIB:,.2f}"


def _title(t: Phrases, answer: MemoryAnswer) -> str:
    layout = answer.parts.layout
    devices = (
        t("head.on", n=layout.devices, device=answer.device)
        if answer.device
        else t("head.devices" if layout.devices > 1 else "head.device", n=layout.devices)
    )
    shape = _layout(answer) if layout.ranks > 1 else ""
    if layout.replicas > 1:
        shape = t("head.replicas", n=layout.replicas, text=shape or "TP1")
    values = {
        "model": answer.model,
        "scheme": format_word(answer.scheme.split(" ")[0]),
        "devices": devices,
        "layout": t("head.layout", text=shape) if shape else "",
        "used": _gib(answer.parts.fullest.total_bytes),
    }
    if not answer.usable_bytes:
        return t("head.alone", **values)
    return t("head.title", **values, usable=_gib(answer.usable_bytes))


def _layout(answer: MemoryAnswer) -> str:
    """``TP8 EP8``: the axes above 1; ``TP1`` for one device."""
    layout = answer.parts.layout
    axes = (("TP", layout.tp), ("DP", layout.dp), ("PP", layout.pp), ("EP", layout.ep))
    return " ".join(f"{name}{n}" for name, n in axes if n > 1) or "TP1"


def _facts(t: Phrases, answer: MemoryAnswer) -> Iterator[Fact]:
    parts, use = answer.parts, answer.parts.use
    if answer.usable_bytes or answer.engine is not None:
        yield Fact(t("fact.fits"), _fits(t, answer))
    if answer.usable_bytes:
        yield Fact(t("fact.room"), _room(t, answer))
    request = format_bytes(parts.request_bytes)
    yield Fact(t("fact.cache"), t("cache.text", bytes=f"{parts.token_bytes:,}", request=request))
    scheme = answer.scheme
    if scheme.endswith(RELEASED):
        scheme = t("setup.published", scheme=scheme.removesuffix(RELEASED))
    setup = t("setup.text", scheme=scheme, kv=answer.kv.upper(), layout=_layout(answer))
    if answer.engine is not None:
        name = NAMES.get(answer.engine.engine, answer.engine.engine)
        setup = t("setup.engine", text=setup, engine=f"{name} {answer.engine.version}".rstrip())
    yield Fact(t("fact.setup"), setup)
    if answer.engine is not None:
        yield from _pool(t, answer.engine)
    yield Fact(
        t("fact.assumed"),
        t(
            "assumed.text",
            batch=t("assumed.sequences" if use.batch > 1 else "assumed.sequence", n=use.batch),
            context=f"{use.context:,}",
            held=t("assumed.held", n=f"{use.tokens:,}") if use.tokens < use.context else "",
            chunk=f"{use.chunk:,}",
        ),
    )
    if parts.not_loaded:
        texts = (
            f"{word(t, 'part', line.name)} {format_bytes(line.bytes)}" for line in parts.not_loaded
        )
        yield Fact(t("fact.left_out"), t("join.comma").join(texts))


def _pool(t: Phrases, result: EngineResult) -> Iterator[Fact]:
    """The engine's settings, and the pool that it makes by them."""
    flags = (
        (name, cache_word(result.engine, str(value)) if name == CACHE_FLAG else value)
        for name, value in result.settings
    )
    yield Fact(t("fact.engine"), t("join.comma").join(f"--{name} {value}" for name, value in flags))
    yield Fact(
        t("fact.pool"),
        t(
            "engine.pool",
            tokens=f"{result.tokens:,}",
            blocks=f"{result.blocks:,}",
            block=result.block_tokens,
            bytes=f"{result.block_bytes:,}",
            replica=f"{result.replica_tokens:,}",
            concurrency=f"{result.max_concurrency:.2f}",
        ),
    )


def _fits(t: Phrases, answer: MemoryAnswer) -> str:
    result, left = answer.engine, answer.usable_bytes - answer.parts.fullest.total_bytes
    if result is not None and not result.starts:
        return t("fits.refuses", engine=result.engine, reason=t.original(result.reason))
    if not answer.usable_bytes:
        return t("fits.starts", engine="" if result is None else result.engine)
    if left < 0:
        return t("fits.no", over=_gib(-left))
    return t("fits.yes", left=_gib(left))


def _room(t: Phrases, answer: MemoryAnswer) -> str:
    n, tokens = answer.at_requests, f"{answer.parts.use.tokens:,}"
    key = "requests" if n > 1 else "request" if n == 1 else "none"
    text = t(f"room.{key}", n=f"{n:,}", tokens=tokens)
    if not answer.longest_context:
        return text
    return t("room.context", text=text, n=f"{answer.longest_context:,}")


def _ways(t: Phrases, answer: MemoryAnswer) -> list[Section]:
    """Changes with which it fits, those that lose nothing first."""
    if not answer.proposals:
        return []
    rows = tuple(
        (
            t(f"ways.{one.kind}", n=one.devices),
            one.flags,
            _gib(one.bytes_per_device),
            _gib(answer.usable_bytes - one.bytes_per_device),
        )
        for one in answer.proposals
    )
    heads = (t("ways.change"), t("ways.flags"), t("ways.gib"), t("ways.left"))
    return [Section(t("ways.title"), (Table(heads, rows, (0, 1)),))]


def _peak(stage: StageMemory) -> tuple[str, tuple[Line, ...]]:
    """The step whose temporary tensors are largest, and these."""
    kinds = {"prefill": stage.prefill, "decode": stage.decode, "images": stage.encode}
    kind = max(kinds, key=lambda name: sum(line.bytes for line in kinds[name]))
    return kind, kinds[kind]


def _groups(t: Phrases, stage: StageMemory) -> Iterator[tuple[str, list[Line]]]:
    kind, peak = _peak(stage)
    for title, lines in (
        (t("parts.weights"), stage.weights),
        (t("parts.caches"), stage.caches),
        (t(f"parts.{kind}"), peak),
    ):
        if lines:
            yield title, sorted(lines, key=lambda line: -line.bytes)


def _parts(t: Phrases, answer: MemoryAnswer) -> Table:
    """The parts of the fullest device; what is small in one row, and a lone line is its part."""
    stage = answer.parts.fullest
    whole = answer.usable_bytes or stage.total_bytes

    def row(name: str, size: int) -> tuple[str, str, str]:
        return name, _gib(size), f"{size / whole:.0%}"

    rows = []
    for title, lines in _groups(t, stage):
        rows.append(row(title, _total(lines)))
        if len(lines) > 1:
            large = [line for line in lines if line.bytes >= LEAST_SHARE * whole]
            rows += [row(INDENT + word(t, "part", line.name), line.bytes) for line in large]
            rest = _total(lines) - _total(large)
            if large and rest >= LEAST_SHOWN:
                rows.append(row(INDENT + t("parts.rest"), rest))
    if stage.runtime_bytes:
        rows.append(row(t("parts.runtime"), stage.runtime_bytes))
    rows.append(row(t("parts.total"), stage.total_bytes))
    if answer.usable_bytes:
        rows.append((t("parts.usable"), _gib(answer.usable_bytes), ""))
    return Table((t("parts.part"), t("parts.gib"), t("parts.share")), tuple(rows))


def _total(lines: Iterable[Line]) -> int:
    return sum(line.bytes for line in lines)


def _exact(t: Phrases, stage: StageMemory) -> Table:
    """Every part of the fullest device to the byte."""
    rows = []
    for title, lines in _groups(t, stage):
        rows.append(_bytes(title, _total(lines)))
        rows += [_bytes(INDENT + word(t, "part", line.name), line.bytes) for line in lines]
    if stage.runtime_bytes:
        rows.append(_bytes(t("parts.runtime"), stage.runtime_bytes))
    rows.append(_bytes(t("parts.total"), stage.total_bytes))
    return Table((t("parts.part"), "", t("exact.bytes")), tuple(rows))


def _bytes(name: str, size: int) -> tuple[str, str, str]:
    return name, format_bytes(size), f"{size:,}"


def _stages(t: Phrases, answer: MemoryAnswer) -> list[Section]:
    if len(answer.parts.stages) < 2:
        return []
    texts = tuple(
        t(
            "stages.text",
            n=stage.stage,
            devices=stage.devices,
            total=format_bytes(stage.total_bytes),
            weights=format_bytes(stage.weights_bytes),
            caches=format_bytes(stage.cache_bytes),
        )
        for stage in answer.parts.stages
    )
    return [Section(t("stages.title"), (Items(texts),), detail=True)]


def _engine(t: Phrases, result: EngineResult | None) -> list[Section]:
    """What the engine counts before its pool."""
    if result is None:
        return []
    rank = result.rank
    rows = [
        _bytes(t("engine.device"), result.total_bytes),
        _bytes(t("parts.weights"), rank.weights_bytes),
        *(
            _bytes(INDENT + t("engine.of_them", part=word(t, "part", line.name)), line.bytes)
            for line in rank.weights
            if line.name in ENGINE_MADE
        ),
        *(_bytes(word(t, "part", line.name), line.bytes) for line in rank.overheads),
        _bytes(t("engine.budget"), rank.budget_bytes),
    ]
    notes = (
        *(
            t(
                "engine.unexplained",
                part=word(t, "part", line.name),
                bytes=format_bytes(line.bytes),
                basis=t.original(line.basis),
            )
            for line in result.unexplained
        ),
        *(t("engine.note", text=t.original(note)) for note in result.notes),
    )
    title = t("engine.title", engine=result.engine, version=result.version)
    counted = Table((t("parts.part"), "", t("exact.bytes")), tuple(rows), (0,), notes)
    return [Section(title, (counted,), detail=True)]


def _files(t: Phrases, files: OnDisk | None) -> list[Section]:
    """The files that were compared: bytes, then what differs."""
    if files is None:
        return []
    rows = (
        _bytes(t("files.predicted"), files.predicted_bytes),
        _bytes(t("files.stored"), files.stored_bytes),
        _bytes(t("files.files"), files.file_bytes),
    )
    texts = []
    for name in ("missing", "unexpected", "different"):
        tensors: tuple[str, ...] = getattr(files, name)
        if tensors:
            names = t("join.comma").join(tensors[:NAMED])
            if len(tensors) > NAMED:
                names = t("files.hidden", names=names, n=len(tensors) - NAMED)
            texts.append(t(f"files.{name}", n=len(tensors), names=names))
    if files.agrees:
        texts.append(t("files.agrees"))
    title = t("files.title", directory=files.directory, n=files.files)
    table = Table((t("parts.part"), "", t("exact.bytes")), rows)
    return [Section(title, (table, Items(tuple(texts))))]
