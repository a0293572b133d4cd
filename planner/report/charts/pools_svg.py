"""The way of a request through two pools: prefill workers, the link with its cache, decode workers.

A box is a worker, a square in it a device in the colour of the pool's first scheme.
"""

from __future__ import annotations

from collections.abc import Iterator

from planner.base.units import format_bytes
from planner.planning.plan.deployment import DecodePool, DeploymentInfo, PrefillPool
from planner.planning.plan.picture import format_colour
from planner.planning.plan.record import Plan
from planner.report import words
from planner.report.charts.svg import figure, line, path, text
from planner.report.phrases import Phrases
from planner.report.plan_terms import layout_words

WIDTH, TOP = 760.0, 26.0
LEAST, MOST = 52.0, 112.0
"""Pixels: least and greatest height of the workers of a pool."""
POOL, LINK, END = 214.0, 156.0, 88.0
"""Pixels: width of a pool, of the link, of what comes in and goes out."""
EACH, SQUARE, GAP, ROW = 11.0, 8.0, 6.0, 8
"""Pixels: from one device to the next, of its side, around a worker; devices in a row."""
MOST_DEVICES = 32
Pool = PrefillPool | DecodePool


def flow_svg(t: Phrases, plan: Plan, pools: DeploymentInfo) -> str:
    """One ``svg`` element of a plan's pools."""
    prefill_pool, two = pools.prefill, pools.decode
    left, right = END, END + POOL + LINK
    rate = plan.performance.output_tokens_per_second.value
    requests = words.three_digits(rate / plan.workload.osl)
    inside = max(_Boxes(pool).height for pool in (prefill_pool, two))
    middle = TOP + 30 + inside / 2
    about = t(
        "pools.drawn",
        prefill=_name(t, prefill_pool),
        decode=_name(t, two),
        bytes=format_bytes(pools.transfer.bytes),
        seconds=words.span(pools.transfer.seconds),
    )
    return figure(
        "flow",
        WIDTH,
        TOP + inside + 76,
        t("pools.title"),
        about,
        (
            *_arrow(0, left - 8, middle),
            text(0, middle - 9, requests, "start", "own"),
            text(0, middle + 18, t("pools.requests_a_second"), "start"),
            *_pool(
                t, left, t("pools.prefill"), prefill_pool, inside, sets=pools.limit == "prefill"
            ),
            *_link(t, pools, left + POOL, right, middle),
            *_pool(t, right, t("pools.decode"), two, inside, sets=pools.limit == "decode"),
            *_arrow(right + POOL + 8, WIDTH - 2, middle),
            text(WIDTH, middle - 9, words.three_digits(rate), "end", "own"),
            text(WIDTH, middle + 18, t("figures.rate_unit"), "end"),
        ),
    )


def _name(t: Phrases, pool: Pool) -> str:
    return f"{pool.workers} × {t.original(layout_words(pool.layout))}"


def _arrow(start: float, end: float, y: float) -> Iterator[str]:
    yield line("way", start, y, end, y)
    yield path("way", [(end - 6, y - 5), (end, y), (end - 6, y + 5)])


class _Boxes:
    """Where the boxes of a pool's workers lie: as many as there is room for."""

    def __init__(self, pool: Pool) -> None:
        self.squares = min(pool.devices_per_worker, MOST_DEVICES)
        self.wide = min(self.squares, ROW) * EACH - (EACH - SQUARE) + 2 * GAP
        self.high = -(-self.squares // ROW) * EACH - (EACH - SQUARE) + 2 * GAP
        self.a_row = max(int((POOL - 20 + GAP) // (self.wide + GAP)), 1)
        rows = max(int((MOST - 18 + GAP) // (self.high + GAP)), 1)
        self.shown = min(pool.workers, self.a_row * rows)
        self.more = pool.workers > self.shown or pool.devices_per_worker > self.squares
        used = -(-self.shown // self.a_row) * (self.high + GAP) - GAP
        self.height = max(used + 18 * self.more, LEAST)


def _pool(
    t: Phrases, x: float, title: str, pool: Pool, inside: float, *, sets: bool
) -> Iterator[str]:
    kind = "pool sets" if sets else "pool"
    high = inside + 70
    yield text(x, TOP - 10, title, "start", "name")
    yield text(x + POOL, TOP - 10, _name(t, pool), "end", "name")
    yield (
        f'<rect class="{kind}" x="{x:.1f}" y="{TOP:.1f}" width="{POOL:.0f}" '
        f'height="{high:.0f}" rx="3"/>'
    )
    devices = pool.workers * pool.devices_per_worker
    yield text(x + 10, TOP + 19, f"{words.count(devices)} × {pool.device}", "start")
    yield from _workers(x + 10, TOP + 30, pool)
    at = TOP + high - 18
    share = min(pool.utilisation, 1.0)
    yield f'<rect class="rail" x="{x + 10:.1f}" y="{at:.1f}" width="{POOL - 20:.1f}" height="6"/>'
    yield (
        f'<rect class="{"busy own" if sets else "busy"}" x="{x + 10:.1f}" y="{at:.1f}" '
        f'width="{(POOL - 20) * share:.1f}" height="6"/>'
    )
    busy_text = t("pools.busy", share=f"{share:.0%}")
    yield text(
        x + 10,
        at - 6,
        busy_text + (t("pools.sets") if sets else ""),
        "start",
        "own" if sets else "tick",
    )


def _workers(x: float, y: float, pool: Pool) -> Iterator[str]:
    """Boxes of workers in rows; below them how many there are, where some are not drawn."""
    at = _Boxes(pool)
    colour = format_colour(pool.schemes[0] if pool.schemes else "")
    for n in range(at.shown):
        left, top = x + n % at.a_row * (at.wide + GAP), y + n // at.a_row * (at.high + GAP)
        yield (
            f'<rect class="worker" x="{left:.1f}" y="{top:.1f}" width="{at.wide:.1f}" '
            f'height="{at.high:.1f}" rx="2"/>'
        )
        for d in range(at.squares):
            yield (
                f'<rect class="device" x="{left + GAP + d % ROW * EACH:.1f}" '
                f'y="{top + GAP + d // ROW * EACH:.1f}" width="{SQUARE:g}" '
                f'height="{SQUARE:g}" style="fill:{colour}"/>'
            )
    if at.more:
        yield text(x, y + at.height - 3, f"… {pool.workers} × {pool.devices_per_worker}", "start")


def _link(t: Phrases, pools: DeploymentInfo, start: float, end: float, y: float) -> Iterator[str]:
    over, middle = pools.transfer, (start + end) / 2
    sets = pools.limit == "transfer"
    yield from _arrow(start + 8, end - 8, y)
    yield text(middle, y - 28, t("pools.cache_in", kv=pools.kv), "middle", "name")
    yield text(
        middle,
        y - 11,
        t("pools.a_prompt", bytes=format_bytes(over.bytes)),
        "middle",
        "own" if sets else "tick",
    )
    yield text(middle, y + 20, words.span(over.seconds), "middle", "name")
    yield text(
        middle,
        y + 37,
        f"{link_name(t, over.link)}, {over.bytes_per_second / 1e9:.3g} GB/s",
        "middle",
        "own" if sets else "tick",
    )


LINKS = {"network": "network", "scale-up link": "domain", "given": "given"}


def link_name(t: Phrases, name: str) -> str:
    """A link in words."""
    return t(f"pools.link_{LINKS[name]}") if name in LINKS else name
