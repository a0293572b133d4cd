"""The human anchor under a plan's headline: what others measured, and who."""

from __future__ import annotations

from planner.base.units import GIB, format_bytes, format_layers, format_rate, format_seconds
from planner.planning.plan.prefix_cache import OffloadedPrefixes, PrefixCache
from planner.planning.plan.record import OffloadInfo, Plan
from planner.quality.anchor import RELEASED, WIDENED, nearest_parts, short_alone
from planner.quality.neighbours import publisher
from planner.report.terminal.columns import width_of_output, wrapped

LEAD = "measured elsewhere: "
SHORT_ALONE = "short benchmarks alone: long reasoning may lose more"
FIRST = (RELEASED, WIDENED)
"""First parts of an anchor that stand on the line of the second."""


def anchor_lines(plan: Plan) -> list[str]:
    """A sentence for the weights and one for the cache; none where a plan file has no anchor.
    That short benchmarks alone were published stands below.

    A sentence that does not fit is broken before its figure. The publisher stands in brackets, its
    owner alone where that lets the line fit; the whole source is in the plan file and the report.
    """
    nearest = nearest_parts(plan.quality.measured_anchor)
    parts = [(part.text, part.source) for part in nearest]
    before = ""
    if len(parts) > 1 and parts[0][0] in FIRST:
        before, parts = f"{parts[0][0]}; ", parts[1:]
    led = next((n for n, (_, source) in enumerate(parts) if source), -1)
    lines: list[str] = []
    for number, (part, source) in enumerate(parts):
        lead = LEAD if number == led else ""
        if before and not number:
            lead = before + lead.replace(" elsewhere", "")
        end = ";" if number + 1 < len(parts) else ""
        lines += _sentence(lead, part, publisher(source), end, "  " * bool(number))
    parts = [(part.text, part.source) for part in plan.quality.measured_anchor[len(nearest) :]]
    for part, source in parts:
        lines += _sentence("", part, publisher(source), "", "  ")
    if short_alone(plan.quality.measured_anchor):
        lines += wrapped(SHORT_ALONE, "    ", first="  ")
    return lines


def _sentence(opening: str, part: str, name: str, end: str, indent: str) -> list[str]:
    if not name:
        return wrapped(opening + part + end, indent + "  ", first=indent)
    subject, _, figure = part.rpartition(": ")
    inner = indent + "  "
    names = [f" ({shown}){end}" for shown in (name, name.partition("/")[0])]
    for shown in names:
        line = f"{indent}{opening}{part}{shown}"
        if len(line) <= width_of_output():
            return [line]
    last = next((n for n in names if len(inner + figure + n) <= width_of_output()), names[-1])
    return wrapped(f"{opening}{subject}:", inner, first=indent) + wrapped(
        figure + last, inner, first=inner
    )


MOST_FORMATS = 3
TIERS = {"host": "host memory", "nvme": "a drive"}


def prefix_lines(prefixes: PrefixCache) -> list[str]:
    """What is found and why, what each cache format is worth, what is loaded from beyond."""
    stays = format_seconds(prefixes.lifetime_seconds)
    lines = [
        f"prefixes: {_percent(prefixes.hit_rate)} of a prompt is found ({prefixes.reuse.workload}: "
        f"{_percent(prefixes.reuse.ideal_hit_rate)} comes back); room for "
        f"{prefixes.capacity_tokens:,} tokens, which stay {stays}"
    ]
    if len(prefixes.by_cache) > 1:
        texts = [
            f"{row.kv} {_percent(row.hit_rate)}, TTFT {format_seconds(row.ttft_seconds)}, "
            f"{format_rate(row.output_tokens_per_second)} tokens/s"
            for row in prefixes.by_cache[:MOST_FORMATS]
        ]
        lines.append(f"by cache: {'; '.join(texts)}")
    if prefixes.offload is not None:
        lines.append(_beyond(prefixes.offload))
    return lines


def _beyond(tier: OffloadedPrefixes) -> str:
    """What the tier beyond the devices adds, or why it does not."""
    name = f"{TIERS.get(tier.tier, tier.tier)} ({format_bytes(tier.bytes_per_device)} a device)"
    if not tier.loads:
        return f"{name}: nothing is loaded: {tier.why}"
    return (
        f"{name}: +{_percent(tier.hit_rate)}, loaded in {format_seconds(tier.load_seconds)} "
        f"over {tier.link} (computing takes {format_seconds(tier.compute_seconds)}), busy "
        f"{_percent(tier.link_busy)}"
    )


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"


DEVICE = "gpu"


def offload_lines(plan: Plan) -> list[str]:
    """What is on the device and what in host memory, and where a step spends its time; nothing
    where all is on the device."""
    offload = plan.offload
    if offload is None:
        return []
    step = offload.step_seconds
    spent = (
        f"step: device {format_seconds(step.device)}, link {format_seconds(step.link)}"
        if offload.mode == "fetched"
        else f"step: device {format_seconds(step.device)}, host {format_seconds(step.host)}, "
        f"link {format_seconds(step.link)}"
    )
    prompts = "" if offload.prompt_mode == offload.mode else f", {offload.prompt_mode} for prompts"
    return [
        f"host memory, {offload.sockets} × {offload.host}: {_what(offload)}; "
        f"{offload.host_bytes / GIB:.1f} of {offload.memory_bytes / GIB:.1f} GiB, "
        f"{offload.mode} there{prompts}".replace("fetched there", "fetched over the link"),
        spent,
    ]


def place_of(plan: Plan, place: str) -> str:
    """The cell of a row of the table."""
    assert plan.offload is not None
    return place or DEVICE


def _what(offload: OffloadInfo) -> str:
    if offload.places == "experts":
        layers = len(offload.layers)
        return (
            f"{offload.experts_in_host // layers} experts of each of {layers} layers, "
            f"{offload.experts_on_device // layers} on the device serve "
            f"{offload.hit_rate:.0%} of the picks"
        )
    kinds = "experts" if offload.experts_in_host else "layers" if len(offload.kinds) > 2 else "MLP"
    return (
        f"{kinds} of layers {format_layers(offload.layers)} ({offload.hit_rate:.0%} of them on the "
        "device)"
    )
