"""The page of what engines' own code said of plans and exports."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

from benchmarks.engine_judges_reading import WEIGHT_ONLY, Judged
from evaluation.pages import moved

HEAD = """# Plans judged by vLLM's own code

Each command goes through the parser of `vllm serve` and `create_engine_config` of vLLM {version};
the model is built without weights from the export's configuration, and every module is asked for
its method, number formats, kernel and parameter types. Made by `make engines`
(`benchmarks/engine_judges.py`) on a stand-in of the device, with `--engine vllm@0.32`. Not shown:
that weights load and run, and what a CUDA build with FlashInfer and DeepGEMM would choose.
"""


def page(results: Sequence[Judged], version: str) -> str:
    """The whole page as Markdown."""
    differing = sum(len(one.differing) for one in results)
    failed = [one for one in results if one.error]
    judged = [one for one in results if not one.error]
    said = (
        f"**{len(judged)} of {len(results)} commands and configurations were taken; of "
        f"{sum(one.matrices for one in judged):,} matrices in "
        f"{sum(one.modules for one in judged):,} modules, {differing} differ from the plan.**"
    )
    parts = [HEAD.format(version=version), said, cases(results)]
    if differing:
        parts.append(differences(judged))
    if failed:
        parts.append("\n".join(["## Refused", "", *(f"* {one.id}: {one.error}" for one in failed)]))
    parts += [kernels(judged), commands(judged)]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def cases(results: Sequence[Judged]) -> str:
    """A row a case."""
    out = [
        "| model, device, question or mixture | method | matrices | modules | "
        "differ | flags read otherwise |",
        "|---|---|---:|---:|---:|---|",
    ]
    for one in results:
        out.append(
            f"| {one.id} | {one.method or 'refused'} | {one.matrices:,} | {one.modules:,} | "
            f"{len(one.differing) if not one.error else '–'} | "
            f"{'; '.join(one.flags) or 'none'} |"
        )
    return moved("engines-judged-cases", "Every case", out)


def differences(results: Sequence[Judged]) -> str:
    """What differs, alike ones together."""
    out = [
        "## What differs",
        "",
        "| case | plan | engine | modules | for example |",
        "|---|---|---|---:|---|",
    ]
    for one in results:
        alike: dict[tuple[str, str], list[str]] = defaultdict(list)
        for name, scheme, found in one.differing:
            alike[scheme, found].append(name)
        out += [
            f"| {one.id} | {scheme} | {found} | {len(names)} | `{names[0]}` |"
            for (scheme, found), names in alike.items()
        ]
    return "\n".join(out)


def kernels(results: Sequence[Judged]) -> str:
    """Which kernel each scheme got, by device."""
    table: dict[tuple[str, str, str], Counter[str]] = defaultdict(Counter)
    for one in results:
        device = one.id.split(", ")[1]
        for (scheme, kind), found in one.kernels.items():
            table[device, scheme, kind] += found
    out = [
        "| device | scheme | modules | kernel | weight-only |",
        "|---|---|---|---|---|",
    ]
    for (device, scheme, kind), found in sorted(table.items()):
        for name, _ in found.most_common():
            only = "yes" if WEIGHT_ONLY.search(name) else ""
            out.append(f"| {device} | {scheme} | {kind} | {name} | {only} |")
    return moved("engines-judged-kernels", "Kernels by device and scheme", out)


def commands(results: Sequence[Judged]) -> str:
    """The commands as they were parsed."""
    lines = ["```text", *dict.fromkeys(one.command for one in results), "```"]
    return moved("engines-judged-commands", "Commands as they were parsed", lines)
