"""The answer of ``plan memory`` for a terminal of 80 columns."""

from __future__ import annotations

from collections.abc import Iterable

from planner.base.units import format_bytes
from planner.memory.answer import MemoryAnswer
from planner.memory.breakdown import StageMemory
from planner.memory.engines.records import EngineResult
from planner.memory.on_disk import NAMED, OnDisk
from planner.memory.resident import ENGINE_MADE, Line
from planner.report.columns import width_of_output, wrapped

EXACT_FROM = 64
"""Columns from which bytes stand beside GiB."""


def memory_text(answer: MemoryAnswer) -> str:
    """Headline, parts of the fullest device, other stages, engine, files; ends with a newline."""
    blocks = [_headline(answer), _device(answer.parts.fullest)]
    if len(answer.parts.stages) > 1:
        blocks.append(_stages(answer))
    if answer.parts.not_loaded:
        blocks.append(
            [
                f"{line.name}: {format_bytes(line.bytes)} {line.basis}"
                for line in answer.parts.not_loaded
            ]
        )
    if answer.engine is not None:
        blocks.append(_engine(answer.engine))
    if answer.on_disk is not None:
        blocks.append(_files(answer.on_disk))
    return (
        "\n\n".join(
            "\n".join(part for line in block for part in _wrapped(line)) for block in blocks
        )
        + "\n"
    )


def memory_assumptions(answer: MemoryAnswer) -> str:
    """The assumptions, one a line, for stderr."""
    lines = ["assumptions:"]
    for key, value, reason in answer.assumptions:
        lines += _wrapped(f"  {key}: {value} — {reason}")
    return "\n".join(lines) + "\n"


def _headline(answer: MemoryAnswer) -> list[str]:
    layout, use = answer.parts.layout, answer.parts.use
    shape = " ".join(
        f"{name}{value}"
        for name, value in (
            ("tp", layout.tp),
            ("dp", layout.dp),
            ("pp", layout.pp),
            ("ep", layout.ep),
        )
        if value > 1
    )
    where = (
        f" on {layout.ranks} × {answer.device}"
        if answer.device
        else f" on {layout.ranks} device{'s' if layout.ranks > 1 else ''}"
    )
    full = answer.parts.fullest
    lines = [
        f"{answer.model}, {answer.scheme}, caches {answer.kv}{where}"
        + (f" ({shape})" if shape else ""),
        f"{format_bytes(full.total_bytes)} on the fullest device for {use.batch} "
        f"sequence{'s' if use.batch > 1 else ''} of {use.tokens:,} tokens"
        + (f", or one of {use.context:,}" if use.tokens < use.context else ""),
    ]
    if answer.usable_bytes:
        left = answer.usable_bytes - full.total_bytes
        lines.append(
            f"of {format_bytes(answer.usable_bytes)} usable: "
            + (f"{format_bytes(left)} left" if left >= 0 else f"{format_bytes(-left)} too many")
            + f"; {answer.at_requests} such sequences fit on the replica"
        )
    return lines


def _device(stage: StageMemory) -> list[str]:
    kinds = {"prefill": stage.prefill, "decode": stage.decode, "images": stage.encode}
    kind = max(kinds, key=lambda name: sum(line.bytes for line in kinds[name]))
    peak = kinds[kind]
    rows = [
        *_part("weights", stage.weights),
        *_part("caches", stage.caches),
        *_part(f"activations, {kind}", peak),
    ]
    if stage.runtime_bytes:
        rows.append(_row("runtime", stage.runtime_bytes))
    return [*rows, _row("total", stage.total_bytes)]


def _part(title: str, lines: Iterable[Line]) -> list[str]:
    sorted_lines = sorted(lines, key=lambda line: -line.bytes)
    if not sorted_lines:
        return []
    return [
        _row(title, sum(line.bytes for line in sorted_lines)),
        *(_row("  " + line.name, line.bytes) for line in sorted_lines),
    ]


def _row(name: str, size: int) -> str:
    if width_of_output() < EXACT_FROM:
        return f"{name:<27}{format_bytes(size):>12}"
    return f"{name:<28}{format_bytes(size):>12}{size:>22,} B"


def _stages(answer: MemoryAnswer) -> list[str]:
    return [
        f"stage {s.stage}: {s.devices} × {format_bytes(s.total_bytes)} "
        f"(weights {format_bytes(s.weights_bytes)}, caches {format_bytes(s.cache_bytes)})"
        for s in answer.parts.stages
    ]


def _engine(result: EngineResult) -> list[str]:
    flags = ", ".join(f"{name} {value}" for name, value in result.settings)
    lines = [f"{result.engine} {result.version}: {flags}"]
    if result.reason:
        lines.append(result.reason)
    rank = result.rank
    lines += [_row("device memory", result.total_bytes), _row("weights", rank.weights_bytes)]
    lines += [
        _row("  of them " + line.name, line.bytes)
        for line in rank.weights
        if line.name in ENGINE_MADE
    ]
    lines += [_row("  " + line.name, line.bytes) for line in rank.overheads]
    lines.append(_row("for caches", rank.budget_bytes))
    lines.append(
        f"{result.tokens:,} tokens in {result.blocks:,} blocks of {result.block_tokens} "
        f"({result.block_bytes:,} B); {result.replica_tokens:,} over the replica; "
        f"{result.max_concurrency:.2f} requests of the longest length at once"
    )
    lines += [
        f"not derived from shapes: {line.name} {format_bytes(line.bytes)} ({line.basis})"
        for line in result.unexplained
    ]
    return lines + [f"note: {note}" for note in result.notes]


def _files(files: OnDisk) -> list[str]:
    lines = [
        f"{files.directory}: {files.files} files",
        _row("predicted tensors", files.predicted_bytes),
        _row("stored tensors", files.stored_bytes),
        _row("files", files.file_bytes),
    ]
    for name in ("missing", "unexpected", "different"):
        tensors: tuple[str, ...] = getattr(files, name)
        if tensors:
            more = f" and {len(tensors) - NAMED} more" if len(tensors) > NAMED else ""
            lines.append(f"{len(tensors)} {name}: {', '.join(tensors[:NAMED])}{more}")
    if files.agrees:
        lines.append("every tensor agrees in name, shape and type")
    return lines


def _wrapped(line: str) -> list[str]:
    if len(line) <= width_of_output():
        return [line]
    return wrapped(line, "    ")
