"""Parts of drawings as SVG text: scales, lines, labels that keep out of each other's way."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from html import escape
from math import ceil, floor, log10

POWERS = "⁰¹²³⁴⁵⁶⁷⁸⁹"
LABEL, LINE = 12.0, 14.0
"""Pixels: letters of a label, distance of its lines."""


@dataclass(frozen=True, slots=True)
class Scale:
    """Values from ``low`` to ``high`` on pixels from ``start`` to ``end``; ``log`` or linear."""

    low: float
    high: float
    start: float
    end: float
    log: bool

    def __call__(self, value: float) -> float:
        """Pixels of a value."""
        if self.log:
            share = (log10(value) - log10(self.low)) / (log10(self.high) - log10(self.low))
        else:
            share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)


def figure(
    kind: str,
    width: float,
    height: float,
    label: str,
    about: str,
    body: Iterable[str],
    key: str = "",
) -> str:
    """One ``svg`` element with a title and a description, no scripts or outside references; ids
    begin with ``key``, without one with its class, and one with a key has a size of its own."""
    style = f' style="max-width:{width * 1.15:.0f}px"' if key else ""
    key = key or kind
    return (
        f'<svg class="{kind}" viewBox="0 0 {width:.0f} {height:.0f}" role="img"{style} '
        f'aria-labelledby="{key}-title {key}-desc"><title id="{key}-title">{escape(label)}'
        f'</title><desc id="{key}-desc">{escape(about)}</desc>{"".join(body)}</svg>'
    )


def named_document(svg: str, title: str, alt: str) -> str:
    """An SVG document as one picture with a name and a description; as it is without both."""
    if not title and not alt:
        return svg
    start = svg.index("<svg")
    end = svg.index(">", start)
    key = f"f{sha256((title + alt).encode()).hexdigest()[:10]}"
    return (
        f'{svg[:end]} role="img" aria-labelledby="{key}-title {key}-desc">\n'
        f' <title id="{key}-title">{escape(title)}</title>\n'
        f' <desc id="{key}-desc">{escape(alt)}</desc>{svg[end + 1 :]}'
    )


def line(kind: str, x1: float, y1: float, x2: float, y2: float) -> str:
    """A straight line of CSS class ``kind``."""
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def path(kind: str, places: Iterable[tuple[float, float]]) -> str:
    """An open path through ``places``."""
    return f'<path class="{kind}" d="M{" L".join(f"{x:.1f} {y:.1f}" for x, y in places)}"/>'


def rect(
    kind: str, x: float, y: float, width: float, height: float, tip: str = "", fill: str = ""
) -> str:
    """A rectangle with its corner at (x, y), filled by its class where ``fill`` is empty."""
    start = (
        f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"'
        + (f' fill="{fill}"' if fill else "")
    )
    return f"{start}><title>{escape(tip)}</title></rect>" if tip else f"{start}/>"


PATHS = {
    "D": "m0 -{r} l{r} {r} l-{r} {r} l-{r} -{r} z",
    "^": "m0 -{r} l{r} {h} h-{d} z",
    "v": "m0 {r} l{r} -{h} h-{d} z",
    "x": "m-{r} -{r} l{d} {d} m0 -{d} l-{d} {d}",
}
"""Shapes from their middle: radius r, twice it d, one and three quarters h."""


def shape(
    form: str, kind: str, x: float, y: float, radius: float, tip: str = "", style: str = ""
) -> str:
    """A mark of matplotlib's ``form`` around (x, y), with a title where there is a ``tip``."""
    look = f'class="{kind}"' + (f' style="{style}"' if style else "")
    if form == "o":
        tag, place = "circle", f'cx="{x:.1f}" cy="{y:.1f}" r="{radius:.3g}"'
    elif form == "s":
        tag, side = "rect", f"{2 * radius:.3g}"
        place = f'x="{x - radius:.1f}" y="{y - radius:.1f}" width="{side}" height="{side}"'
    else:
        sizes = {"r": radius, "h": 1.75 * radius, "d": 2 * radius}
        steps = PATHS[form].format(**{name: f"{size:.3g}" for name, size in sizes.items()})
        tag, place = "path", f'd="M{x:.1f} {y:.1f} {steps}"'
    inside = f"><title>{escape(tip)}</title></{tag}>" if tip else "/>"
    return f"<{tag} {look} {place}{inside}"


def text(x: float, y: float, words: str, anchor: str, kind: str = "tick", colour: str = "") -> str:
    """A line of text."""
    style = f' style="fill:{colour}"' if colour else ""
    return (
        f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{style}>'
        f"{escape(words)}</text>"
    )


def power_of_ten(power: int) -> str:
    """A power of ten, plain between 0.001 and 10,000."""
    if -3 <= power <= 4:
        return f"{10**power:,}" if power >= 0 else f"{10.0**power:.{-power}f}"
    return "10" + ("⁻" if power < 0 else "") + "".join(POWERS[int(d)] for d in str(abs(power)))


def decades(low: float, high: float) -> tuple[tuple[float, str], ...]:
    """Powers of ten between two exponents as ticks."""
    return tuple((10.0**n, power_of_ten(n)) for n in range(ceil(low), floor(high) + 1))


class Labels:
    """Labels beside marks: one that would cover another moves down."""

    def __init__(self, right: float) -> None:
        self.right = right
        self.taken: list[tuple[float, float, float]] = []

    def block(self, x: float, y: float, width: float) -> None:
        """Keep labels off a place."""
        self.taken.append((x, x + width, y))

    def __call__(self, x: float, y: float, words: str, kind: str = "name") -> str:
        """The label of a mark at (x, y), at its right, or its left where there is no room."""
        width = text_width(words, LABEL)
        left = x + 9 + width > self.right
        start = x - 9 - width if left else x + 9
        at = y + 4
        while any(
            start < b and start + width > a and abs(at - other) < LINE - 1
            for a, b, other in self.taken
        ):
            at += 2
        self.taken.append((start, start + width, at))
        return text(x - 9 if left else x + 9, at, words, "end" if left else "start", kind)


SIZE = 13.0
"""Pixels: letters of a chart."""
LATIN, BOLD, IDEOGRAPH = 0.58, 0.63, 1.0
"""Widths of characters in letter sizes, of common sans-serif fonts, rather too wide."""


def text_width(words: str, size: float = SIZE, *, bold: bool = False) -> float:
    """Pixels of a line of text."""
    width = BOLD if bold else LATIN
    return size * sum(IDEOGRAPH if ord(c) > 0x2E80 else width for c in words)


def truncated(words: str, room: float, size: float = SIZE) -> str:
    """The words, or as many characters as there is room for and an ellipsis."""
    if text_width(words, size) <= room:
        return words
    kept = words
    while kept and text_width(kept + "…", size) > room:
        kept = kept[:-1]
    return kept.rstrip() + "…"


def wrapped(words: str, room: float, size: float = SIZE, *, bold: bool = False) -> list[str]:
    """The words in lines of at most ``room`` pixels: broken at spaces, within a word behind a
    hyphen, comma, slash or ideograph, else where it is full."""
    lines = [""]
    for piece in _pieces(words):
        if text_width((lines[-1] + piece).rstrip(), size, bold=bold) <= room:
            lines[-1] += piece
            continue
        if lines[-1]:
            lines.append("")
        for c in piece:
            if text_width(lines[-1] + c, size, bold=bold) > room and lines[-1]:
                lines.append("")
            lines[-1] += c
    return [line.rstrip() for line in lines if line.strip()] or [""]


def _pieces(words: str) -> Iterator[str]:
    """Parts that a line may end behind."""
    start = 0
    for n, c in enumerate(words, 1):
        if c in " -,/·+" or ord(c) > 0x2E80:
            yield words[start:n]
            start = n
    if start < len(words):
        yield words[start:]
