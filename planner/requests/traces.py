"""Traces of requests read from files: JSON lines as Mooncake published them, and CSV."""

from __future__ import annotations

import csv
import json
import math
import os
from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from planner.base.errors import InputError
from planner.base.files import check_regular
from planner.base.strict_json import short_repr
from planner.messages.message import Note, message
from planner.requests.stream import RequestStream, Tokens

TIMES, PROMPTS, ANSWERS, BLOCKS = "timestamp", "input_length", "output_length", "hash_ids"
HEADER = ("arrival_seconds", "input_tokens", "output_tokens")
BLOCK_TOKENS = 512
"""Tokens that a hash id of Mooncake's traces stands for."""
MOST_REQUESTS = 10_000_000
MOST_SECONDS = 1e10
"""Three hundred years: clocks that count from 1970 are within it, in seconds."""
MOST_TOKENS = 1_000_000_000
MOST_LINE = 1 << 22
"""Bytes of a line: a prompt of ten million tokens has 20,000 ids."""
_WIDE = {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}
_FORMATS = (
    f'a line is {{"{TIMES}": 0, "{PROMPTS}": 6758, "{ANSWERS}": 500}} (milliseconds, tokens), or '
    f"the first one is {','.join(HEADER)}"
)
_WHOLE = f"a whole number from 1 to {MOST_TOKENS:,}: leave out requests that failed"


@dataclass(slots=True)
class _Read:
    """What was read so far; ids of blocks by what the trace calls them."""

    place: str
    line: int = 0
    seconds: array[float] = field(default_factory=lambda: array("d"))
    prompts: array[int] = field(default_factory=lambda: array("q"))
    answers: array[int] = field(default_factory=lambda: array("q"))
    starts: array[int] = field(default_factory=lambda: array("q", [0]))
    blocks: array[int] = field(default_factory=lambda: array("q"))
    ids: dict[int, int] = field(default_factory=dict)

    def wrong(self, what: str, hint: str) -> InputError:
        return InputError(f"{self.place}: line {self.line:,}: {what}", hint=hint)


def read_trace(
    path: str | os.PathLike[str], progress: Callable[[int], None] | None = None
) -> tuple[RequestStream, tuple[Note, ...]]:
    """The requests of a file, the first at 0 s, and what was done to them. Each line is read by
    itself; ``progress`` is called now and then with the number of requests so far.

    JSON lines have ``timestamp`` [ms], ``input_length``, ``output_length`` and maybe ``hash_ids``
    of 512 tokens each (https://github.com/kvcache-ai/Mooncake, FAST25-release); other keys are left
    alone. CSV has a header with ``arrival_seconds``, ``input_tokens`` and ``output_tokens``.

    Raises:
        InputError: no file, no request, too many, or a line that is none; with its number.
    """
    file = Path(path)
    try:
        check_regular(file, hint="name a file of JSON lines or CSV", there=True)
        read = _read(file, progress)
    except OSError as error:
        raise InputError(
            f"{file}: cannot be read: {error.strerror}", hint="check the path and its permissions"
        ) from None
    if not read.prompts:
        raise InputError(f"{file}: no requests", hint=_FORMATS)
    return _stream(read)


def _read(file: Path, progress: Callable[[int], None] | None) -> _Read:
    read = _Read(str(file))
    lines = _lines(file, read)
    first = next(lines, "")
    if first.lstrip()[:1] in ("{", "["):
        requests: Iterator[None] = _json_lines(_and_then(first, lines), read)
    else:
        requests = _rows(_and_then(first, lines), read) if first else iter(())
    for _ in requests:
        count = len(read.prompts)
        if count > MOST_REQUESTS:
            raise read.wrong(f"more than {MOST_REQUESTS:,} requests", "take a part of the trace")
        if progress is not None and count % 10_000 == 0:
            progress(count)
    return read


def _and_then(first: str, lines: Iterator[str]) -> Iterator[str]:
    yield first
    yield from lines


def _lines(file: Path, read: _Read) -> Iterator[str]:
    """The lines that are not empty, without their ends; counts all."""
    with file.open("rb") as opened:
        mark = opened.read(2)
        encoding = _WIDE.get(mark, "utf-8")
        opened.seek(0 if encoding == "utf-8" else 2)
        width = 1 if encoding == "utf-8" else 2
        end = "\n".encode(encoding)
        while data := opened.readline(MOST_LINE + 1):
            # The second byte of a little-endian end of line comes after it.
            if width == 2 and encoding == "utf-16-le" and data.endswith(b"\n"):
                data += opened.read(1)
            read.line += 1
            if len(data) > MOST_LINE and not data.endswith(end):
                raise read.wrong(f"longer than {MOST_LINE:,} bytes", _FORMATS)
            try:
                text = data.decode(encoding)
            except UnicodeDecodeError:
                raise read.wrong("not UTF-8", "save the file as UTF-8") from None
            if "\0" in text:
                raise read.wrong("a NUL character", "save the file as text in UTF-8")
            text = (text.removeprefix("\ufeff") if read.line == 1 else text).rstrip("\r\n")
            if text.strip():
                yield text


def _json_lines(lines: Iterable[str], read: _Read) -> Iterator[None]:
    decode = json.JSONDecoder(
        object_pairs_hook=_unrepeated, parse_constant=_refused, strict=True
    ).decode
    for line in lines:
        try:
            row = decode(line)
        except (ValueError, RecursionError) as error:
            what = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
            raise read.wrong(f"not JSON: {what}", _FORMATS) from None
        if not isinstance(row, dict):
            raise read.wrong(f"{short_repr(row)} where an object is needed", _FORMATS)
        for key in (TIMES, PROMPTS, ANSWERS):
            if key not in row:
                raise read.wrong(f"no {key}", _FORMATS)
        prompt = _tokens(read, PROMPTS, row[PROMPTS])
        read.seconds.append(_time(read, TIMES, row[TIMES], 1e-3))
        read.prompts.append(prompt)
        read.answers.append(_tokens(read, ANSWERS, row[ANSWERS]))
        _add_blocks(read, row.get(BLOCKS), prompt)
        yield


def _add_blocks(read: _Read, ids: object, prompt: int) -> None:
    if ids is not None:
        if not isinstance(ids, list) or not all(type(one) is int for one in ids):
            raise read.wrong(
                f"{BLOCKS} = {short_repr(ids)}: a list of whole numbers is required",
                f'one for every {BLOCK_TOKENS} tokens of the prompt: "{BLOCKS}": [0, 1]',
            )
        if len(ids) > -(-prompt // BLOCK_TOKENS):
            raise read.wrong(
                f"{len(ids)} {BLOCKS} for a prompt of {prompt:,} tokens",
                f"one for every {BLOCK_TOKENS} tokens of the prompt",
            )
        dense = read.ids
        read.blocks.extend([dense.setdefault(one, len(dense)) for one in ids])
    read.starts.append(len(read.blocks))


def _rows(lines: Iterable[str], read: _Read) -> Iterator[None]:
    rows = csv.reader(lines, strict=True)
    try:
        header = [name.strip().lower() for name in next(rows)]
        places = _columns(header, read)
        for row in rows:
            if len(row) != len(header):
                raise read.wrong(
                    f"{len(row)} cells where the header has {len(header)}", "mend the line"
                )
            time, prompt, answer = (row[place] for place in places)
            read.seconds.append(_time(read, HEADER[0], _number(time), 1.0))
            read.prompts.append(_tokens(read, HEADER[1], _number(prompt)))
            read.answers.append(_tokens(read, HEADER[2], _number(answer)))
            yield
    except csv.Error as error:
        raise read.wrong(f"not CSV: {error}", _FORMATS) from None


def _columns(header: list[str], read: _Read) -> list[int]:
    for name in HEADER:
        if header.count(name) > 1:
            raise read.wrong(f"column {name} is there twice", "keep one of the two")
        if name not in header:
            raise read.wrong(f"no column {name}", _FORMATS)
    return [header.index(name) for name in HEADER]


def _number(text: str) -> float | int | str:
    """A number of a cell; the text itself where it is none."""
    text = text.strip()
    try:
        whole = text.isdecimal() and len(text) < 20
        return text if "_" in text else int(text) if whole else float(text)
    except ValueError:
        return text


def _time(read: _Read, key: str, value: object, unit: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise read.wrong(f"{key} = {short_repr(value)}: a number is required", _FORMATS)
    # Compared before it is multiplied: an integer may be beyond the range of a double.
    if not (0 <= value <= MOST_SECONDS / unit and math.isfinite(value)):
        raise read.wrong(
            f"{key} = {short_repr(value)}: out of range", f"from 0 to {MOST_SECONDS / unit:,.0f}"
        )
    return float(value) * unit


def _tokens(read: _Read, key: str, value: object) -> int:
    if type(value) is int and 1 <= value <= MOST_TOKENS:
        return value
    if type(value) is float and 1 <= value <= MOST_TOKENS and value.is_integer():
        return int(value)
    raise read.wrong(f"{key} = {short_repr(value)}", _WHOLE)


def _unrepeated(pairs: list[tuple[str, object]]) -> dict[str, object]:
    row = dict(pairs)
    if len(row) != len(pairs):
        raise ValueError("a key is given twice")
    return row


def _refused(name: str) -> object:
    raise ValueError(f"{name} is no number of JSON")


def _stream(read: _Read) -> tuple[RequestStream, tuple[Note, ...]]:
    seconds = np.frombuffer(read.seconds, dtype=np.float64)
    prompts, answers, starts = (
        np.frombuffer(a, dtype=np.int64) for a in (read.prompts, read.answers, read.starts)
    )
    blocks = np.zeros(0, np.int64)
    if read.blocks:
        blocks = np.frombuffer(read.blocks, dtype=np.int64)
    else:  # zeros that nobody wrote take no memory
        starts = np.zeros(len(prompts) + 1, dtype=np.int64)
    notes = []
    if np.any(np.diff(seconds) < 0):
        late = int((np.diff(seconds) < 0).sum())
        order = np.argsort(seconds, kind="stable")
        seconds, prompts, answers = seconds[order], prompts[order], answers[order]
        starts, blocks = _in_order(starts, blocks, order)
        notes.append(
            Note(
                "trace",
                message("requests.sorted", count=f"{late:,}"),
                message("requests.sorted_why"),
            )
        )
    stream = RequestStream(
        seconds - seconds[0],
        prompts,
        answers,
        np.zeros(len(prompts), dtype=np.int64),
        BLOCK_TOKENS if len(blocks) else 0,
        starts,
        blocks,
    )
    return stream, tuple(notes)


def _in_order(starts: Tokens, blocks: Tokens, order: Tokens) -> tuple[Tokens, Tokens]:
    """Blocks of requests in another order."""
    counts = np.diff(starts)[order]
    moved = np.concatenate([[0], np.cumsum(counts)])
    offset = np.repeat(starts[:-1][order] - moved[:-1], counts)
    return moved, blocks[offset + np.arange(len(blocks))]
